"""Defines the records of training: sessions and trials as they are kept, and a flat result for each trial.

Figures are computed from results, and a row of the export holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fr_training.answers import Answer, Draft
from fr_training.keys import ListKey
from fr_training.prompts import ExerciseKind, Step


@dataclass(frozen=True, slots=True)
class Locked:
    """An answer that cannot change any more."""

    step: Step
    answer: Answer  # as it was sent, picture ids included
    at_ms: int  # when it was locked, milliseconds since 1970, UTC
    took_ms: int  # since the step was first shown, pauses left out
    paused: bool = False  # whether the session was paused meanwhile; its time then says little


@dataclass(frozen=True, slots=True)
class OwnList:
    """The candidates that a search for an own probe found: numbers of pictures, best first, and the key."""

    photos: tuple[int, ...]
    key: ListKey


@dataclass(frozen=True, slots=True)
class Trial:
    """An item, as it was shown."""

    trial_id: str  # 32 hexadecimal digits
    ordinal: int  # in the session, from 0
    block_id: str
    form: str
    item_id: str
    order: tuple[int, ...]  # shown position -> index in the photos of the item; of an own probe, in those of `own`
    shown_ms: int  # when its present step was first shown, milliseconds since 1970, UTC
    paused_ms: int = 0  # pauses since then
    locked: tuple[Locked, ...] = ()  # the answers so far, one for each step, in their order
    done: bool = False  # whether no further step follows
    own: OwnList | None = None  # of an own probe that was sent; None elsewhere
    draft: Draft | None = None  # of the answer to the present step; None where none was saved
    drafted_ms: int | None = None  # when it was saved, milliseconds since 1970, UTC; None likewise


@dataclass(frozen=True, slots=True)
class Session:
    """A trainee in a sitting."""

    session_id: str  # 32 hexadecimal digits, unguessable
    trainee_id: str  # pseudonym
    course_id: str
    sitting: str
    group: int  # 0 or 1; says which of two equated forms comes first
    secret: bytes  # 32 bytes; ids of trials and pictures, and every order, follow from it
    started_ms: int  # milliseconds since 1970, UTC, as all times here
    block: int = 0  # index of the block that is running or comes next
    block_started_ms: int | None = None  # when the running block began; None where it has not
    block_paused_ms: int = 0  # pauses since then
    paused_ms: int | None = None  # when the session was paused; None while it is not
    finished_ms: int | None = None  # when it ended; None while it has not
    trials: tuple[Trial, ...] = ()  # that were shown, in their order; the last may wait for an answer
    # Milliseconds that a trainer added to the limits of blocks, by their ids.
    extended: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        return f"Session(trials={len(self.trials)})"  # its id and its secret are nobody's to read in a log


@dataclass(frozen=True, slots=True)
class Result:
    """One trial that is done, or was shown and left without an answer; "" and None mean that there is nothing."""

    trainee_id: str  # pseudonym
    sitting: str  # its name in the plan
    block_id: str
    form: str
    test: str  # "pre", "post" or "retention" where the block measures so
    exercise: ExerciseKind
    ordinal: int  # in the session, from 0
    item_id: str
    b: float | None  # difficulty of the item
    # "same", "different"; "odd:1"; "mate:3", "absent"; "usable", "limited", "reject"; "row:2"; "record:3"; "option:2",
    # from 1; "" where it is unknown.
    truth: str
    answer: str  # in the same words, with "none" and "inconclusive" for lists, "undecided" for a rating of 0
    # Whether the answer was right; None where it is neither (no answer, undecided, inconclusive, unscored).
    correct: bool | None
    shown_ms: int  # when it was first shown, milliseconds since 1970, UTC
    feedback: bool = False  # whether what was right was told after each answer of the block
    # Whether the block chose its items by how the trainee did, so that they are in no figure of how well.
    adaptive: bool = False
    rating: int | None = None  # the last rating of a pair, -3 to 3
    rating_before: int | None = None  # in an aided exercise, the rating before the advice
    p_same: float | None = None  # as it was given
    advice: str = ""  # "same" or "different"
    similarity: float | None = None  # of the machine, of a pair
    log10_lr: float | None = None  # of the machine, of a pair, where the model has a calibration
    machine: str = ""  # what the machine would answer, in the words of `answer`
    # What it says of a pair at the threshold of a search, and at the false match rate of the plan, in the same words.
    machine_search: str = ""
    machine_at_fmr: str = ""
    mate_rank: int | None = None  # of a list with a mate, the machine's rank of the mate from 1
    candidates: int = 0  # of a list, how many; 0 elsewhere
    difficulty: int | None = None  # as the trainee found it, 1 to 5
    known_to_me: bool = False  # whether it is in no figure for that reason
    took_ms: int | None = None  # of all its steps, pauses left out; None where it was not answered to the end
    paused: bool = False  # whether there was a pause in it
    reasons: str = ""  # of a triage, what the trainee named; of evidence, what was right; joined by "+"
    degraded: str = ""  # of a triage, what was done to the photo
    partner: str = ""  # of a blind verification, the trainee whose trial was verified, where somebody had judged it
    notes: str = ""  # on a probe, or on the limitations of evidence, as the trainee wrote them
    observations: str = ""  # of facial components, as "nose:similar:7+ears:not_visible"
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)  # labels of the people shown
    lab: str = ""  # of a lab, its question, as the plan has it
    predicted: float | None = None  # of a lab, what the trainee expected, percent
    measured: float | None = None  # of a lab, what was measured, percent
    near: bool | None = None  # of a lab, whether the prediction was near; None where there is none
    lesson: str = ""  # of a lesson, its name and the id of the part, joined by ":"
    read_ms: int | None = None  # of a lesson, for how long the part was read, pauses left out
