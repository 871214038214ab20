"""Sittings of simulated trainees: through the real flow of sessions, by a clock that is simulated too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fr_training.answers import ProbeSent
from fr_training.courses import Course, Item
from fr_training.prompts import Step
from fr_training.sessions.flow import lock, new_session, show
from fr_training.sessions.probes import lock_probe
from fr_training.sessions.shown import ShowBlock, ShowTrial, key_of
from fr_training.simulation.made_courses import made_own_list
from fr_training.simulation.trainee import SimulatedTrainee
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
