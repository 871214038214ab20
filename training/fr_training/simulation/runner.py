"""Sittings of simulated trainees: through the real flow of sessions, by a clock that is simulated too.

A trainee of a real server takes a course through the API as anybody does; `StoreOracle` tells it what is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fr_training.answers import Answer, ProbeSent
from fr_training.courses import Course, Item
from fr_training.errors import UnknownTrial
from fr_training.keys import AnswerKey
from fr_training.prompts import Step
from fr_training.sessions.flow import find, lock, new_session, show
from fr_training.sessions.order import item_of
from fr_training.sessions.probes import lock_probe
from fr_training.sessions.shown import ShowBlock, ShowTrial, key_of, show_trial
from fr_training.simulation.made_courses import made_own_list
from fr_training.simulation.trainee import SimulatedTrainee
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Session

BETWEEN_MS = 500
"""From an answer to the next trial."""

Items = Mapping[tuple[str, str], Item]
"""Items by the name of their form and their id."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody who takes a course.

    Attributes:
        trainee_id: pseudonym.
        group: 0 or 1.
        trainee: who it is.
    """

    trainee_id: str
    group: int
    trainee: SimulatedTrainee


def items_of(course: Course) -> Items:
    """All items of a course."""
    return {(form.name, item.item_id): item for form in course.forms.values() for item in form.items}


def run_sitting(
    course: Course, items: Items, seat: Seat, sitting: str, rng: np.random.Generator, start_ms: int
) -> Session:
    """Take a sitting from its first block to its end, and return the session that is over.

    A trainee who is slower than a block allows is cut off, as anybody would be.

    Args:
        course: that is taken.
        items: of it, by `items_of`.
        seat: who takes it.
        sitting: its name.
        rng: draws the secret of the session, the answers and the times.
        start_ms: milliseconds since 1970, UTC.

    Raises:
        UnknownSitting: the course has none of that name.
    """
    session = new_session(course, seat.trainee_id, seat.group, sitting, rng.bytes(16).hex(), rng.bytes(32), start_ms)
    now_ms, begin = start_ms, ""
    while session.finished_ms is None:
        session, shown = show(course, session, begin, now_ms)
        if isinstance(shown, ShowBlock):
            begin = shown.block.block_id
        elif isinstance(shown, ShowTrial):
            session, now_ms = _done(course, items, seat.trainee, session, shown, rng)
    return session


def _done(
    course: Course,
    items: Items,
    trainee: SimulatedTrainee,
    session: Session,
    shown: ShowTrial,
    rng: np.random.Generator,
) -> tuple[Session, int]:
    """Answer a trial at all its steps, as far as its time goes; also what the clock shows then."""
    now_ms, item = shown.trial.shown_ms, items[shown.trial.form, shown.trial.item_id]
    following: ShowTrial | None = shown
    while following is not None:
        took_ms = trainee.took_ms(following, rng)
        now_ms += took_ms
        if following.left_ms is not None and took_ms >= following.left_ms:
            return session, now_ms  # too late; the next look closes the block
        trial = following.trial
        key = item.key if trial.own is None else key_of(course, trial)
        answer = trainee.answer(following, key, item.b, rng)
        if following.prompt.step == Step.SEND_PROBE and isinstance(answer.given, ProbeSent):
            own = made_own_list(following.block, rng)
            session, following = lock_probe(course, session, trial.trial_id, answer.given, own, now_ms)
        else:
            session, locked = lock(course, session, trial.trial_id, following.prompt.step, answer, now_ms)
            following = locked.trial
    return session, now_ms + BETWEEN_MS


@dataclass(frozen=True, slots=True)
class Told:
    """A trial, and what is right.

    Attributes:
        show: the trial at the step that it waits for, with the ids under which its pictures are shown, and `order` from
            shown position to the photos of the item.
        key: what is right; None for an own probe that was not sent yet.
        b: difficulty of the item; None where it has none.
    """

    show: ShowTrial
    key: AnswerKey | None
    b: float | None


class StoreOracle:
    """Looks into a store of training that a server of the same machine may have open too.

    Args:
        store: with the courses and sessions that are asked for.
    """

    def __init__(self, store: TrainingStore) -> None:
        self._store = store

    def look(self, session_id: str, trial_id: str) -> Told:
        """Read what a trial of a session shows, and what is right; nothing is written.

        Raises:
            UnknownSession: the store has no session of that id.
            UnknownTrial: the session has shown no trial of that id, or it waits for no answer any more.
        """
        session = self._store.session(session_id)
        course = self._store.course(session.course_id)
        trial = find(session, trial_id)
        if trial.done:
            raise UnknownTrial("The trial waits for no answer any more.")
        show = show_trial(course, session, trial, trial.shown_ms)
        return Told(show, key_of(course, trial), item_of(course, trial).b)

    def answer(self, trainee: SimulatedTrainee, session_id: str, trial_id: str, rng: np.random.Generator) -> Answer:
        """Answer as a simulated trainee at the step that a trial waits for, in the picture ids of that trial.

        The answer of SEND_PROBE is the hash of a photo that nobody has: through the API a photo is sent.

        Raises:
            UnknownSession: as `look`.
            UnknownTrial: as `look`.
        """
        told = self.look(session_id, trial_id)
        return trainee.answer(told.show, told.key, told.b, rng)
