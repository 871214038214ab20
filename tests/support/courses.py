"""A course on a server without models, of people who are coloured squares, and a trainee who takes it call by call."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_datasets.links import Link, datasets_folder, write_link
from fr_training.store.training_store import TrainingStore
from support.photos import face
from support.servers import Running, photo, running
from support.videos import draw_chokepoint

Stub = training_pb2_grpc.TrainingServiceStub
Trial = training_pb2.Trial

# Every exercise, in blocks that are short, with feedback in some.
PLAN = """
format = 1
title = "A course of squares"
claims = false
[[sittings]]
name = "all"
title = "Everything"
blocks = [
  {id = "pre", exercise = "verification", same = 2, different = 2, minutes = 30, equated = "test", occasion = "pre"},
  {id = "odd", exercise = "triad", trials = 2},
  {id = "features", exercise = "features", same = 1, different = 1, feedback = true},
  {id = "practice", exercise = "verification", adaptive = true, same = 3, different = 3, trials = 4, feedback = true},
  {id = "lists", exercise = "candidates", size = 3, present = 1, absent = 1},
  {id = "triage", exercise = "triage", usable = 1, limited = 1, reject = 1, feedback = true},
  {id = "aided", exercise = "aided", same = 1, different = 2, wrong = 1},
  {id = "rare", exercise = "low_prevalence", same = 2, different = 1},
  {id = "opinion", exercise = "verification", same = 1, different = 1},
  {id = "second", exercise = "blind", verifies = "opinion"},
  {id = "post", exercise = "verification", same = 2, different = 2, equated = "test", occasion = "post"},
]
[[sittings]]
name = "own"
blocks = [
  {id = "own", exercise = "own_probe", trials = 1, size = 3},
]
"""
PEOPLE = 100
FILMED = 7


def link_people(root: Path, people: int = PEOPLE) -> None:
    """Draw people with two photos each, and link them as `people_folder`; `FR_HOME` tells where the link is kept."""
    for number in range(people):
        for which in (1, 2):
            drawn = root / f"Jane_Roe_{number:03}" / f"{which}.png"
            face(drawn, 2 * number)
            drawn.write_bytes(drawn.read_bytes() + bytes([which]))  # two files of one picture are one photo
    write_link("people_folder", Link(root), datasets_folder())


def link_footage(root: Path, people: int = FILMED) -> None:
    """Draw people who are filmed twice, and their stills, in colours of their own, and link them as `chokepoint`."""
    draw_chokepoint(root, {f"{number:04}": 255 - 2 * number for number in range(people)})
    write_link("chokepoint", Link(root), datasets_folder())


def create(stub: Stub, plan: str = PLAN, **fields: Any) -> training_pb2.Course:
    """Make a course of people, and of those who are filmed if the plan has footage."""
    source = training_pb2.PlanSource(toml=plan)
    datasets = ["people_folder", "chokepoint"] if '"footage"' in plan else ["people_folder"]
    request = training_pb2.CreateCourseRequest(plan=source, datasets=datasets, **fields)
    return list(stub.CreateCourse(request))[-1].course


def enrol(stub: Stub, course_id: str, trainees: int = 1) -> training_pb2.CreateCohortResponse:
    request = training_pb2.CreateCohortRequest(course_id=course_id, display_name="Squares", trainees=trainees)
    return stub.CreateCohort(request)


def start(stub: Stub, code: str, sitting: str = "all") -> str:
    request = training_pb2.StartSessionRequest(code=code, sitting=sitting, consent=True)
    return stub.StartSession(request).session.session_id


def ask(stub: Stub, session_id: str, begin: str = "") -> training_pb2.NextTrialResponse:
    return stub.NextTrial(training_pb2.NextTrialRequest(session_id=session_id, begin_block=begin))


def next_trial(stub: Stub, session_id: str) -> Trial | None:
    """The next trial, its block begun where that is needed; None at the end."""
    found = ask(stub, session_id)
    while found.WhichOneof("next") == "block":
        found = ask(stub, session_id, found.block.block.block_id)
    return found.trial if found.WhichOneof("next") == "trial" else None


@dataclass
class Chance:
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    probe: bytes = field(default_factory=lambda: photo(6))

    def decision(self, session_id: str, trial: Trial) -> training_pb2.SubmitDecisionRequest:
        request = training_pb2.SubmitDecisionRequest(session_id=session_id, trial_id=trial.trial_id, step=trial.step)
        ids = [one.picture_id for one in trial.pictures]
        if trial.step in (training_pb2.TRIAL_STEP_RATE, training_pb2.TRIAL_STEP_RATE_AGAIN):
            request.rating.rating = self.rng.randint(-3, 3)
        elif trial.step == training_pb2.TRIAL_STEP_CHOOSE:
            request.odd_picture_id = self.rng.choice(ids)
        elif trial.step == training_pb2.TRIAL_STEP_DECIDE:
            candidates = [one.picture_id for one in trial.pictures if one.role == training_pb2.PICTURE_ROLE_CANDIDATE]
            for one in candidates:
                request.candidates.ratings[one] = self.rng.randint(-3, 3)
            request.candidates.picture_id = self.rng.choice(candidates)
        elif trial.step == training_pb2.TRIAL_STEP_PREDICT:
            request.prediction.percent = self.rng.uniform(0.0, 100.0)
        elif trial.step == training_pb2.TRIAL_STEP_CONCLUDE:
            request.conclusion.row = self.rng.randint(0, len(trial.question.rows) or 6)
        elif trial.step == training_pb2.TRIAL_STEP_READ:
            request.read = True
        elif trial.step == training_pb2.TRIAL_STEP_ANSWER:
            request.option_id = self.rng.choice(trial.lesson.options).option_id
        elif trial.step in (training_pb2.TRIAL_STEP_HASH, training_pb2.TRIAL_STEP_DERIVE):
            request.file_hash.sha256 = f"{self.rng.getrandbits(256):064x}"
        else:
            request.quality.usability = training_pb2.USABILITY_USABLE
        return request

    def notes(self, session_id: str, trial: Trial) -> training_pb2.LockNotesRequest:
        request = training_pb2.LockNotesRequest(session_id=session_id, trial_id=trial.trial_id)
        if trial.step == training_pb2.TRIAL_STEP_NOTE:
            request.notes = "A red square."
        for component in trial.components:
            request.observations.add(
                component_id=component.component_id, comparison=training_pb2.COMPARISON_SIMILAR, similarity=7
            )
        return request

    def probe_of(self, session_id: str, trial: Trial) -> training_pb2.SubmitProbeRequest:
        request = training_pb2.SubmitProbeRequest(session_id=session_id, trial_id=trial.trial_id)
        request.image.data = self.probe
        return request


def answer(stub: Stub, session_id: str, trial: Trial, how: Chance) -> tuple[Any, Trial | None]:
    """Answer the step that a trial waits for; returns the response, and the trial at its next step."""
    response: Any
    if trial.step in (training_pb2.TRIAL_STEP_NOTE, training_pb2.TRIAL_STEP_OBSERVE):
        response = stub.LockNotes(how.notes(session_id, trial))
    elif trial.step == training_pb2.TRIAL_STEP_SEND_PROBE:
        response = stub.SubmitProbe(how.probe_of(session_id, trial))
    else:
        response = stub.SubmitDecision(how.decision(session_id, trial))
    return response, response.trial if response.HasField("trial") else None


def answer_until(
    stub: Stub, session_id: str, step: training_pb2.TrialStep.ValueType, how: Chance | None = None
) -> Trial:
    """Answer trials until one waits for a step."""
    while (trial := next_trial(stub, session_id)) is not None:
        if trial.step == step:
            return trial
        answer(stub, session_id, trial, how or Chance())
    raise AssertionError(f"no trial comes to {training_pb2.TrialStep.Name(step)}")


def finish(stub: Stub, code: str, sitting: str = "all", how: Chance | None = None) -> None:
    """Take a sitting from its beginning to its end."""
    session_id = start(stub, code, sitting)
    assert list(take(stub, session_id, how or Chance()))
    stub.FinishSession(training_pb2.FinishSessionRequest(session_id=session_id))


def take(
    stub: Stub, session_id: str, how: Chance, on_trial: Callable[[Trial], None] = lambda trial: None
) -> Iterator[Any]:
    while (trial := next_trial(stub, session_id)) is not None:
        step: Trial | None = trial
        while step is not None:
            on_trial(step)
            response, step = answer(stub, session_id, step, how)
            yield response


def store_of(server: Running) -> TrainingStore:
    """The course data of a server, with the keys of all items: no trainee ever receives them."""
    return server.stores.training


@dataclass
class Clock:
    ahead_ms: int = 0
    stopped_ms: int | None = None

    def __call__(self) -> int:
        return (time.time_ns() // 1_000_000 if self.stopped_ms is None else self.stopped_ms) + self.ahead_ms


@contextmanager
def running_by(clock: Clock, folder: Path) -> Iterator[Running]:
    with running(folder, clock=clock) as server:
        yield server
