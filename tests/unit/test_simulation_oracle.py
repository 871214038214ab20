"""The oracle tells what is right of a trial as it is shown, out of a store that others write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from fr_training.answers import Answer, ProbeSent
from fr_training.courses import Course
from fr_training.errors import UnknownSession, UnknownTrial
from fr_training.plan import read_plan
from fr_training.prompts import ExerciseKind
from fr_training.sessions.flow import lock, new_session, show
from fr_training.sessions.probes import lock_probe
from fr_training.sessions.results import results
from fr_training.sessions.views import ShowBlock, ShowTrial
from fr_training.simulation.runner import StoreOracle, made_course, made_own_list
from fr_training.simulation.trainee import Abilities, SimulatedTrainee
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Session
from support.training_stores import DAY_MS, NOW_MS, Clock, open_store

R = TypeVar("R")

PLAN = """
format = 1
title = "Most exercises"
[[sittings]]
name = "day"
blocks = [
  {id = "pairs", exercise = "verification", same = 2, different = 2, adaptive = true, trials = 3},
  {id = "triads", exercise = "triad", trials = 3},
  {id = "lists", exercise = "candidates", present = 3, absent = 1, size = 4},
  {id = "parts", exercise = "features", same = 1, different = 1},
  {id = "quality", exercise = "triage", usable = 1, limited = 1, reject = 1},
  {id = "aid", exercise = "aided", same = 2, different = 2, wrong = 2},
  {id = "own", exercise = "own_probe", trials = 3, size = 5},
]
"""

CERTAIN = Abilities(20.0, theta=40.0, picks_mate=1.0, picks_foil=0.0, false_alarm=0.0, inconclusive=0.0, triage=1.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TrainingStore]:
    with open_store(tmp_path / "training", Clock()) as store:
        yield store


class Served:
    """A sitting whose every step goes through the store, as a server's does."""

    def __init__(self, store: TrainingStore) -> None:
        self.course = made_course(read_plan(PLAN), 1, NOW_MS)
        photos = sum(len(item.photos) for form in self.course.forms.values() for item in form.items)
        store.add_course(self.course, [b"picture"] * photos, {}, {}, {})
        cohort, _ = store.create_cohort(self.course.course_id, "Monday", 1, DAY_MS)
        (trainee,) = store.trainees(cohort.cohort_id)
        made = new_session(self.course, trainee.trainee_id, 0, "day", "a" * 32, bytes(range(32)), NOW_MS)
        self.session_id = store.start_session(trainee, "day", lambda: made).session_id
        self.store = store

    def change(self, change: Callable[[Course, Session], tuple[Session, R]]) -> R:
        """Change the session, and wait until it is kept."""
        return self.store.change(self.session_id, change).result()

    def show(self) -> ShowTrial | None:
        """The next trial; None at the end."""
        seen = self.change(lambda course, now: show(course, now, "", NOW_MS + 1_000))
        if isinstance(seen, ShowBlock):
            block = seen.block.block_id
            seen = self.change(lambda course, now: show(course, now, block, NOW_MS + 1_000))
        return seen if isinstance(seen, ShowTrial) else None

    def lock(self, seen: ShowTrial, answer: Answer, rng: np.random.Generator) -> ShowTrial | None:
        """Lock an answer; the trial at its next step, where there is one."""
        trial_id = seen.trial.trial_id
        if isinstance(answer.given, ProbeSent):
            sent, own = answer.given, made_own_list(seen.block, rng)
            return self.change(lambda course, now: lock_probe(course, now, trial_id, sent, own, NOW_MS + 2_000))
        step = seen.prompt.step
        return self.change(lambda course, now: lock(course, now, trial_id, step, answer, NOW_MS + 2_000)).trial

    def answer(self, seen: ShowTrial, oracle: StoreOracle, who: SimulatedTrainee, rng: np.random.Generator) -> None:
        """Answer a trial at all its steps, told by the oracle."""
        following: ShowTrial | None = seen
        while following is not None:
            told = oracle.look(self.session_id, following.trial.trial_id)
            assert told.show.prompt == following.prompt
            assert told.show.photos == following.photos
            given = oracle.answer(who, self.session_id, following.trial.trial_id, rng)
            following = self.lock(following, given, rng)


def test_who_is_told_what_is_right_and_errs_never_has_everything_right(store: TrainingStore) -> None:
    served, oracle, rng = Served(store), StoreOracle(store), np.random.default_rng(1)
    while (seen := served.show()) is not None:
        served.answer(seen, oracle, SimulatedTrainee(CERTAIN), rng)
    rows = results(served.course, store.session(served.session_id))
    assert len(rows) == served.course.plan.sittings[0].trials
    assert all(row.correct is True for row in rows)
    assert {row.exercise for row in rows} == set(ExerciseKind) - {ExerciseKind.BLIND, ExerciseKind.LOW_PREVALENCE}


def test_the_oracle_tells_difficulty_and_nothing_of_what_there_is_not(store: TrainingStore) -> None:
    served, oracle, rng = Served(store), StoreOracle(store), np.random.default_rng(1)
    seen = served.show()
    assert seen is not None
    trial_id = seen.trial.trial_id
    item = next(one for one in served.course.forms[seen.trial.form].items if one.item_id == seen.trial.item_id)
    told = oracle.look(served.session_id, trial_id)
    assert (told.key, told.b, told.show.trial.order) == (item.key, item.b, seen.trial.order)
    with pytest.raises(UnknownSession):
        oracle.look("b" * 32, trial_id)
    with pytest.raises(UnknownTrial):
        oracle.look(served.session_id, "0" * 32)
    served.answer(seen, oracle, SimulatedTrainee(CERTAIN), rng)
    with pytest.raises(UnknownTrial):
        oracle.look(served.session_id, trial_id)
