"""A trial and what became of it, flat: what figures are computed from, and what a row of the export holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fr_training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class Result:
    """One trial that is done, or that was shown and left without an answer.

    Attributes:
        trainee_id: pseudonym.
        sitting: name.
        block_id: of the plan.
        form: name of the form.
        test: "pre", "post" or "retention" where the block measures so; "" elsewhere.
        exercise: what was done.
        ordinal: in the session, from 0.
        item_id: of the form.
        b: difficulty of the item; None where it has none.
        truth: "same", "different"; "odd:1"; "mate:3", "absent"; "usable", "limited", "reject"; "" where nobody knows.
        answer: in the same words, with "none" and "inconclusive" for lists, "undecided" for a rating of 0; "" where
            there is none.
        correct: whether the answer was right; None where it is neither (no answer, undecided, inconclusive, unscored).
        rating: the last rating of a pair, -3 to 3; None elsewhere.
        rating_before: in an aided exercise, the rating before the advice; None elsewhere.
        p_same: as it was given; None elsewhere.
        advice: "same", "different", or "" where there was none.
        similarity: of the machine, of a pair; None elsewhere.
        log10_lr: of the machine, of a pair; None elsewhere or where the model has no calibration.
        machine: what the machine would answer, in the words of `answer`; "" where it says nothing.
        mate_rank: of a list with a mate, the machine's rank of the mate from 1; None elsewhere.
        candidates: of a list, how many; 0 elsewhere.
        difficulty: as the trainee found it, 1 to 5; None where it was not given.
        known_to_me: whether it is in no figure for that reason.
        feedback: whether what was right was told after each answer of the block.
        shown_ms: when it was first shown, milliseconds since 1970, UTC.
        took_ms: of all its steps, pauses left out; None where it was not answered to the end.
        paused: whether there was a pause in it.
        reasons: of a triage, what the trainee named, sorted and joined by "+"; "" elsewhere.
        degraded: of a triage, what was done to the photo; "" elsewhere.
        partner: of a blind verification, the trainee whose trial was verified; "" where nobody had judged it yet.
        notes: on a probe, as the trainee wrote them; "" elsewhere.
        observations: of facial components, as "nose:similar:7+ears:not_visible"; "" elsewhere.
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
