"""Triage of photos by quality: what was let through, what was thrown away, and whether the reason was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fr_core.scoring.intervals import Rate
from fr_training.answers import Usability
from fr_training.grading.splitting import by
from fr_training.grading.values import Maybe, Times, share, times
from fr_training.results import Result

LEVELS = tuple(level.value for level in Usability)
"""From usable to reject."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Photos of one usability, by what was answered."""

    truth: str
    usable: int
    limited: int
    reject: int


@dataclass(frozen=True, slots=True)
class Degradation:
    """A kind of fault in photos.

    Attributes:
        degraded: its word.
        photos: that have it.
        judged: share that was judged rightly.
        named: share in which the trainee named this reason.
    """

    degraded: str
    photos: int
    judged: Maybe[Rate]
    named: Maybe[Rate]


@dataclass(frozen=True, slots=True)
class TriageFigures:
    """Of triage.

    Attributes:
        trials: answered.
        right: share of right answers.
        let_through: photos to be rejected that were called usable or of limited use.
        thrown_away: usable photos that were rejected.
        confusion: one for each usability, from usable to reject.
        degradations: in the order of the alphabet.
        times: of right and of wrong answers.
    """

    trials: int
    right: Maybe[Rate]
    let_through: Maybe[Rate]
    thrown_away: Maybe[Rate]
    confusion: tuple[Confusion, ...]
    degradations: tuple[Degradation, ...]
    times: Times


def triage_figures(photos: Sequence[Result]) -> TriageFigures:
    """Of judged photos."""
    table = {truth: dict.fromkeys(LEVELS, 0) for truth in LEVELS}
    for one in photos:
        table[one.truth][one.answer] += 1
    reject, usable = table["reject"], table["usable"]
    faulty = sorted(by((one for one in photos if one.degraded), lambda one: one.degraded).items())
    return TriageFigures(
        trials=len(photos),
        right=share(sum(one.correct is True for one in photos), len(photos), "photos that were judged"),
        let_through=share(reject["usable"] + reject["limited"], sum(reject.values()), "photos to be rejected"),
        thrown_away=share(usable["reject"], sum(usable.values()), "usable photos"),
        confusion=tuple(Confusion(truth, **table[truth]) for truth in LEVELS),
        degradations=tuple(_degradation(word, some) for word, some in faulty),
        times=times(photos),
    )


def _degradation(word: str, photos: Sequence[Result]) -> Degradation:
    named = sum(word in one.reasons.split("+") for one in photos)
    right = sum(one.correct is True for one in photos)
    lacking = "photos of this kind"
    return Degradation(word, len(photos), share(right, len(photos), lacking), share(named, len(photos), lacking))
