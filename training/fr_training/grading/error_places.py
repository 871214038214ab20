"""Where errors of pairs lie, by what a pair shows and by how hard it is, and whether one place stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate
from fr_training.grading.splitting import by
from fr_training.grading.values import Maybe, share
from fr_training.results import Result
from fr_training.statistics.clustered import t_quantile
from fr_training.statistics.proportions import difference_of_rates

THIRDS = ("easy", "middle", "hard")
"""Of the pairs of one truth, by the difficulty of their items."""

CELLS = 2 * len(THIRDS)

FEWEST = 5
"""Trials below which a place of errors is not named."""


@dataclass(frozen=True, slots=True)
class ErrorsAt:
    """Where errors lie.

    Attributes:
        truth: "same" or "different".
        third: one of THIRDS.
        wrong: share of wrong answers.
        stands_out: whether it is higher than in all other pairs, by more than chance makes in one of six places.
    """

    truth: str
    third: str
    wrong: Maybe[Rate]
    stands_out: bool


def errors_at(pairs: Sequence[Result]) -> tuple[ErrorsAt, ...]:
    """The pairs of each truth in thirds by the difficulty of their items; equal difficulties stay together."""
    placed = [one for one in pairs if one.b is not None]
    cells = {
        (truth, third): some
        for truth in ("same", "different")
        for third, some in zip(THIRDS, _thirds([one for one in placed if one.truth == truth]), strict=True)
    }
    return tuple(
        ErrorsAt(
            truth,
            third,
            share(sum(one.correct is False for one in some), len(some), f"{third} pairs"),
            _stands_out(some, [one for place, others in cells.items() if place != (truth, third) for one in others]),
        )
        for (truth, third), some in cells.items()
    )


def _thirds(placed: Sequence[Result]) -> list[list[Result]]:
    ordered = sorted(placed, key=lambda one: one.b or 0.0)
    hardness = np.array([one.b for one in ordered], dtype=np.float64)
    rank = np.searchsorted(hardness, hardness, side="left")
    third = np.minimum(rank * len(THIRDS) // max(1, len(ordered)), len(THIRDS) - 1).tolist()
    return [[one for one, its in zip(ordered, third, strict=True) if its == place] for place in range(len(THIRDS))]


def _stands_out(here: Sequence[Result], others: Sequence[Result]) -> bool:
    """Newcombe's interval of the difference, with the correction of Bonferroni for six cells; and of items, as well.

    The answers of several trainees to one item go together, so that their items must differ too.
    """
    if len(here) < FEWEST or not others:
        return False
    confidence = 1.0 - (1.0 - DEFAULT_CONFIDENCE) / CELLS
    wrong = [sum(one.correct is False for one in some) for some in (here, others)]
    if difference_of_rates(wrong[0], len(here), wrong[1], len(others), confidence).low <= 0.0:
        return False
    return len({one.trainee_id for one in here}) == 1 or _items_differ(_of_items(here), _of_items(others), confidence)


def _of_items(pairs: Sequence[Result]) -> F64:
    """f64[items]: of each, the share of wrong answers."""
    items = by(pairs, lambda one: (one.form, one.item_id)).values()
    return np.array([sum(one.correct is False for one in some) / len(some) for some in items], dtype=np.float64)


def _items_differ(here: F64, others: F64, confidence: float) -> bool:
    """Whether the first mean is above the second beyond chance.

    It is the interval of B. L. Welch, "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34 (1947) 28-35.
    """
    if len(here) < FEWEST or len(others) < FEWEST:
        return False
    errors = here.var(ddof=1) / len(here), others.var(ddof=1) / len(others)
    if not sum(errors):
        return bool(here.mean() > others.mean())
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (len(here) - 1) + errors[1] ** 2 / (len(others) - 1))
    return bool(here.mean() - others.mean() > t_quantile(0.5 + confidence / 2, float(freedom)) * sqrt(sum(errors)))
