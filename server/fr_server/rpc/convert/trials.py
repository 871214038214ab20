"""Messages of trials, to and from values: what is shown, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from fr_api.v1 import training_pb2 as pb
from fr_core.errors import InvalidField, MissingField, message
from fr_locales.rendering import render
from fr_server.rpc.convert.common import by_name, duration
from fr_server.rpc.convert.training import SHOWN_AS, block_message
from fr_training.answers import (
    Answer,
    Compared,
    Degraded,
    Given,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    PairRating,
    Triage,
    Usability,
)
from fr_training.courses import Course
from fr_training.errors import InvalidRating
from fr_training.prompts import Reveal, Role, Step
from fr_training.sessions.views import Over, ShowBlock, ShowTrial

STEPS = by_name(Step, pb.TrialStep, "TRIAL_STEP")
_ROLES = by_name(Role, pb.PictureRole, "PICTURE_ROLE")
_STEP_OF = {value: step for step, value in STEPS.items()}
_COMPARED = {value: one for one, value in by_name(Compared, pb.Comparison, "COMPARISON").items()}
_USABILITY = {value: one for one, value in by_name(Usability, pb.Usability, "USABILITY").items()}
_DEGRADED = {value: one for one, value in by_name(Degraded, pb.Degradation, "DEGRADATION").items()}

# --- what is shown ---------------------------------------------------------------------------------------------


def trial_message(shown: ShowTrial, pictures: Sequence[bytes]) -> pb.Trial:
    """Build the message of a trial, with the JPEG files of its prompt's pictures in their order."""
    prompt = shown.prompt
    advice = prompt.advice
    return pb.Trial(
        trial_id=shown.trial.trial_id,
        block_id=shown.block.block_id,
        number=shown.number,
        of=shown.of,
        exercise=SHOWN_AS[prompt.exercise],
        step=STEPS[prompt.step],
        pictures=[
            pb.Picture(picture_id=one.picture_id, data=data, role=_ROLES[one.role])
            for one, data in zip(prompt.pictures, pictures, strict=True)
        ],
        components=[
            pb.Component(component_id=one.component_id, name=render(one.name), look_at=render(one.look_at))
            for one in prompt.components
        ],
        advice=None if advice is None else pb.Advice(same=advice.same, text=render(advice.text)),
        left=None if shown.left_ms is None else duration(timedelta(milliseconds=shown.left_ms)),
    )


def block_to_begin(course: Course, shown: ShowBlock) -> pb.BlockToBegin:
    """Build the message of a block that comes next."""
    enlarged = max((one.enlarged for one in course.forecasts if one.form in shown.block.forms), default=0.0)
    block = block_message(shown.block)
    return pb.BlockToBegin(block=block, number=shown.number, of=shown.of, enlarged=enlarged)


def over_message(over: Over) -> pb.SessionOver:
    """Build the message of the end."""
    return pb.SessionOver(answered=over.answered, trials=over.trials)


def reveal_message(reveal: Reveal) -> pb.Reveal:
    """Build the message of what was right."""
    text = "" if reveal.text is None else render(reveal.text)
    return pb.Reveal(correct=reveal.correct, text=text, similarities=reveal.similarities, picture_id=reveal.picture_id)


# --- what is answered ------------------------------------------------------------------------------------------


def sent_notes(request: pb.LockNotesRequest) -> tuple[Step, Answer]:
    """Return what was noted or observed, and its step; raises `MissingField` for neither, `InvalidField` for both."""
    if request.notes and request.observations:
        raise InvalidField(message("error.rpc.send_either_notes_observations"), field="notes")
    if request.observations:
        return Step.OBSERVE, Answer(Observations(tuple(map(_observation, request.observations))))
    if not request.notes:
        raise MissingField(message("error.rpc.neither_notes_nor_observations"), field="notes")
    return Step.NOTE, Answer(Notes(request.notes))


def sent_decision(request: pb.SubmitDecisionRequest) -> tuple[Step, Answer]:
    """Return the decision, and its step; raises `MissingField`, or `InvalidField` for unknown values."""
    if not request.step:
        raise MissingField(message("error.rpc.step_not_set"), field="step")
    if request.step not in _STEP_OF:
        raise InvalidField(message("error.rpc.step_value_call_does"), field="step")
    given = _given(request)
    difficulty = request.difficulty if request.HasField("difficulty") else None
    return _STEP_OF[request.step], Answer(given, difficulty, request.known_to_me)


def _given(request: pb.SubmitDecisionRequest) -> Given:
    which = request.WhichOneof("answer")
    if which == "rating":
        rating = request.rating
        return PairRating(rating.rating, rating.p_same if rating.HasField("p_same") else None)
    if which == "odd_picture_id":
        return OddOneOut(request.odd_picture_id)
    if which == "candidates":
        return _list_decision(request.candidates)
    if which == "quality":
        return _triage(request.quality)
    raise MissingField(message("error.rpc.no_answer"), field="answer")


def _list_decision(decision: pb.CandidateDecision) -> ListDecision:
    which = decision.WhichOneof("decision")
    ratings = dict(decision.ratings)
    if which == "picture_id":
        return ListDecision(ListChoice.CANDIDATE, decision.picture_id, ratings)
    if which == "none" and decision.none:
        return ListDecision(ListChoice.NONE, None, ratings)
    if which == "inconclusive" and decision.inconclusive:
        return ListDecision(ListChoice.INCONCLUSIVE, None, ratings)
    raise MissingField(message("error.rpc.no_decision"), field="candidates.decision")


def _triage(decision: pb.QualityDecision) -> Triage:
    if not decision.usability:
        raise MissingField(message("error.rpc.quality_usability_not_set"), field="quality.usability")
    if decision.usability not in _USABILITY:
        raise InvalidField(message("error.rpc.quality_usability_value_call"), field="quality.usability")
    if any(reason not in _DEGRADED for reason in decision.reasons):
        raise InvalidField(message("error.rpc.quality_reasons_holds_value"), field="quality.reasons")
    return Triage(_USABILITY[decision.usability], frozenset(_DEGRADED[reason] for reason in decision.reasons))


def _observation(sent: pb.Observation) -> Observation:
    if sent.comparison not in _COMPARED:
        raise InvalidRating(message("error.rpc.comparison_component_similar_different"), field="comparison")
    similarity = sent.similarity if sent.HasField("similarity") else None
    return Observation(sent.component_id, _COMPARED[sent.comparison], similarity)
