"""A trainee's way through a sitting: sessions and trials as they are kept."""

from __future__ import annotations

from dataclasses import dataclass

from fr_training.answers import Answer
from fr_training.keys import ListKey
from fr_training.prompts import Step


@dataclass(frozen=True, slots=True)
class Locked:
    """An answer that cannot change any more.

    Attributes:
        step: that it answered.
        answer: as it was sent, picture ids included.
        at_ms: when it was locked, milliseconds since 1970, UTC.
        took_ms: since the step was first shown, pauses left out.
        paused: whether the session was paused meanwhile; its time then says little.
    """

    step: Step
    answer: Answer
    at_ms: int
    took_ms: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class OwnList:
    """What a search for an own probe found.

    Attributes:
        photos: numbers of the course's pictures of the candidates, best first.
        key: what is right, as far as it is known.
    """

    photos: tuple[int, ...]
    key: ListKey


@dataclass(frozen=True, slots=True)
class Trial:
    """An item, as it was shown.

    Attributes:
        trial_id: 32 hexadecimal digits.
        ordinal: in the session, from 0.
        block_id: of the plan.
        form: name of the form.
        item_id: of the form.
        order: shown position -> index in the photos of the item; of an own probe, in those of `own`.
        shown_ms: when its present step was first shown, milliseconds since 1970, UTC.
        paused_ms: pauses since then.
        locked: the answers so far, one for each step, in their order.
        done: whether no further step follows.
        own: of an own probe that was sent; None elsewhere.
    """

    trial_id: str
    ordinal: int
    block_id: str
    form: str
    item_id: str
    order: tuple[int, ...]
    shown_ms: int
    paused_ms: int = 0
    locked: tuple[Locked, ...] = ()
    done: bool = False
    own: OwnList | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A trainee in a sitting.

    Attributes:
        session_id: 32 hexadecimal digits, unguessable.
        trainee_id: pseudonym.
        course_id: of the course.
        sitting: its name in the plan.
        group: 0 or 1; says which of two equated forms comes first.
        secret: 32 bytes; ids of trials and pictures, and every order, follow from it.
        started_ms: milliseconds since 1970, UTC.
        block: index of the block that is running or comes next.
        block_started_ms: when the running block began; None where it has not.
        block_paused_ms: pauses since then.
        paused_ms: when the session was paused; None while it is not.
        finished_ms: when it ended; None while it has not.
        trials: that were shown, in their order; the last may wait for an answer.
    """

    session_id: str
    trainee_id: str
    course_id: str
    sitting: str
    group: int
    secret: bytes
    started_ms: int
    block: int = 0
    block_started_ms: int | None = None
    block_paused_ms: int = 0
    paused_ms: int | None = None
    finished_ms: int | None = None
    trials: tuple[Trial, ...] = ()

    def __repr__(self) -> str:
        return f"Session(trials={len(self.trials)})"  # its id and its secret are nobody's to read in a log
