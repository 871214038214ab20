"""Defines the records of training: sessions and trials as they are kept, and a flat result for each trial.

Figures are computed from results, and a row of the export holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fr_training.answers import Answer
from fr_training.keys import ListKey
from fr_training.prompts import ExerciseKind, Step


@dataclass(frozen=True, slots=True)
class Locked:
    """An answer that cannot change any more.

    Attributes:
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
    """The candidates that a search for an own probe found: numbers of pictures, best first, and the key."""

    photos: tuple[int, ...]
    key: ListKey


@dataclass(frozen=True, slots=True)
class Trial:
    """An item, as it was shown.

    Attributes:
        trial_id: 32 hexadecimal digits.
        ordinal: in the session, from 0.
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
        group: 0 or 1; says which of two equated forms comes first.
        secret: 32 bytes; ids of trials and pictures, and every order, follow from it.
        started_ms: milliseconds since 1970, UTC, as all times here.
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


@dataclass(frozen=True, slots=True)
class Result:
    """One trial that is done, or was shown and left without an answer; "" and None stand where there is nothing to say.

    Attributes:
        trainee_id: pseudonym.
        sitting: its name in the plan.
        test: "pre", "post" or "retention" where the block measures so.
        ordinal: in the session, from 0.
        b: difficulty of the item.
        truth: "same", "different"; "odd:1"; "mate:3", "absent"; "usable", "limited", "reject"; "" where it is unknown.
        answer: in the same words, with "none" and "inconclusive" for lists, "undecided" for a rating of 0.
        correct: whether the answer was right; None where it is neither (no answer, undecided, inconclusive, unscored).
        feedback: whether what was right was told after each answer of the block.
        rating: the last rating of a pair, -3 to 3.
        rating_before: in an aided exercise, the rating before the advice.
        p_same: as it was given.
        advice: "same" or "different".
        similarity: of the machine, of a pair.
        log10_lr: of the machine, of a pair, where the model has a calibration.
        machine: what the machine would answer, in the words of `answer`.
        mate_rank: of a list with a mate, the machine's rank of the mate from 1.
        candidates: of a list, how many; 0 elsewhere.
        difficulty: as the trainee found it, 1 to 5.
        known_to_me: whether it is in no figure for that reason.
        shown_ms: when it was first shown, milliseconds since 1970, UTC.
        took_ms: of all its steps, pauses left out; None where it was not answered to the end.
        paused: whether there was a pause in it.
        reasons: of a triage, what the trainee named, sorted and joined by "+".
        degraded: of a triage, what was done to the photo.
        partner: of a blind verification, the trainee whose trial was verified, where somebody had judged it.
        notes: on a probe, as the trainee wrote them.
        observations: of facial components, as "nose:similar:7+ears:not_visible".
        groups: labels of the people shown.
    """

    trainee_id: str
    sitting: str
    block_id: str
    form: str
    test: str
    exercise: ExerciseKind
    ordinal: int
    item_id: str
    b: float | None
    truth: str
    answer: str
    correct: bool | None
    shown_ms: int
    feedback: bool = False
    rating: int | None = None
    rating_before: int | None = None
    p_same: float | None = None
    advice: str = ""
    similarity: float | None = None
    log10_lr: float | None = None
    machine: str = ""
    mate_rank: int | None = None
    candidates: int = 0
    difficulty: int | None = None
    known_to_me: bool = False
    took_ms: int | None = None
    paused: bool = False
    reasons: str = ""
    degraded: str = ""
    partner: str = ""
    notes: str = ""
    observations: str = ""
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)
