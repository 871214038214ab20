"""A simulated trainee who takes a sitting over the API: told by an oracle what is right, it errs by its abilities."""

from pathlib import Path

import numpy as np

from fr_api.v1 import training_pb2
from fr_client.requests import Decision
from fr_client.sync.training import Training
from fr_training.answers import (
    Answer,
    Conclusion,
    FileHash,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    OptionChosen,
    PairRating,
    Prediction,
    Read,
    Triage,
)
from fr_training.simulation.runner import StoreOracle
from fr_training.simulation.trainee import SimulatedTrainee


def take_sitting(
    training: Training,
    oracle: StoreOracle,
    trainee: SimulatedTrainee,
    code: str,
    sitting: str,
    probe: Path,
    rng: np.random.Generator,
) -> int:
    """Take a sitting to its end; return the number of answered trials.

    `oracle` looks into the store of the server; `probe` is the photo to send as an own one.
    """
    session_id = training.start_session(code, sitting, consent=True).session_id
    begin = ""
    while True:
        found = training.next_trial(session_id, begin)
        begin = ""
        match found.WhichOneof("next"):
            case "block":
                begin = found.block.block.block_id
            case "over":
                return found.over.answered
            case _:
                _answer(training, oracle, trainee, session_id, found.trial, probe, rng)


def _answer(
    training: Training,
    oracle: StoreOracle,
    trainee: SimulatedTrainee,
    session_id: str,
    trial: training_pb2.Trial,
    probe: Path,
    rng: np.random.Generator,
) -> None:
    waiting = True
    while waiting:
        if trial.step == training_pb2.TRIAL_STEP_SEND_PROBE:
            trial = training.submit_probe(session_id, trial.trial_id, probe)
            continue
        answer = oracle.answer(trainee, session_id, trial.trial_id, rng)
        match answer.given:
            case Notes(text):
                trial = training.lock_notes(session_id, trial.trial_id, text)
            case Observations(observations):
                trial = training.lock_notes(session_id, trial.trial_id, list(map(_observation, observations)))
            case _:
                response = training.submit_decision(
                    session_id, trial, _decision(answer), difficulty=answer.difficulty, known_to_me=answer.known_to_me
                )
                waiting, trial = response.HasField("trial"), response.trial


def _decision(answer: Answer) -> Decision:
    match answer.given:
        case PairRating(rating, p_same):
            return training_pb2.PairRating(rating=rating, p_same=p_same)
        case OddOneOut(picture_id):
            return picture_id
        case ListDecision(choice, picture_id, ratings):
            decision = training_pb2.CandidateDecision(ratings=ratings)
            if picture_id is not None:
                decision.picture_id = picture_id
            elif choice == ListChoice.NONE:
                decision.none = True
            else:
                decision.inconclusive = True
            return decision
        case Triage(usability, reasons):
            return training_pb2.QualityDecision(
                usability=training_pb2.Usability.Value(f"USABILITY_{usability.name}"),
                reasons=[training_pb2.Degradation.Value(f"DEGRADATION_{one.name}") for one in sorted(reasons)],
            )
        case Prediction(percent):
            return training_pb2.Prediction(percent=percent)
        case FileHash(sha256):
            return training_pb2.FileHash(sha256=sha256)
        case Conclusion(row):
            return training_pb2.Conclusion(row=row)
        case Read():
            return training_pb2.LessonPage()
        case OptionChosen(option_id):
            return training_pb2.LessonOption(option_id=option_id)
    raise TypeError(f"a {type(answer.given).__name__} is no decision")


def _observation(one: Observation) -> training_pb2.Observation:
    comparison = training_pb2.Comparison.Value(f"COMPARISON_{one.compared.name}")
    return training_pb2.Observation(component_id=one.component_id, comparison=comparison, similarity=one.similarity)
