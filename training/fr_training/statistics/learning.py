"""Computes learning curves: the share of right answers in each stretch of trials, with bands for chance.

The band is the percentile one of a bootstrap: of one person the trials within each stretch are drawn again, of a cohort
whole people are, as one person's trials go together. Source: B. Efron and R. J. Tibshirani, "An introduction to the
bootstrap", Chapman and Hall (1993), chapters 8 and 13. In a stretch where all draws agree, as where every answer was
right, there is no band; the share always has its Wilson interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, Rate, UndefinedRate, rate
from fr_locales.messages import message
from fr_training.statistics.estimates import ENDS

REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One stretch of trials."""

    first: int  # number of its first trial, from 0
    last: int  # number of its last trial
    right: Rate  # share of right answers, with its Wilson interval, which takes the trials for independent
    band: Interval | None  # of the bootstrap; None where all draws agree


def stretches(trials: int, length: int) -> tuple[tuple[int, int], ...]:
    """Divide trials into stretches, each a beginning and an end (not included); the last is at least half as long.

    Without trials it is an UndefinedRate.
    """
    if trials < 0 or length < 1:
        raise ValueError(f"{trials} trials have no stretches of {length}.")
    if trials == 0:
        raise UndefinedRate(message("undefined.no_trials"))
    starts = list(range(0, trials, length))
    if len(starts) > 1 and 2 * (trials - starts[-1]) < length:
        starts.pop()  # what is left is too short to stand alone, and goes to the stretch before
    return tuple(zip(starts, [*starts[1:], trials], strict=True))


def person_curve(right: Bools, bounds: Sequence[tuple[int, int]], rng: np.random.Generator) -> tuple[CurvePoint, ...]:
    """One person's curve.

    Args:
        right: bool[trials], in the order in which they were answered.
        bounds: begin and end (not included) of each stretch, none empty; see `stretches`. Blocks serve as well.
        rng: draws the resamples.

    Raises:
        ValueError: shape or dtype differs from the above, or a stretch is empty.
    """
    if right.ndim != 1 or right.dtype != np.bool_:
        raise ValueError(f"Answers are bool[trials], not {right.dtype}{list(right.shape)}.")
    _check(len(right), bounds)
    points = []
    for start, end in bounds:
        count, total = int(right[start:end].sum()), end - start
        # Drawing trials that are right or wrong with replacement is drawing the number of right ones.
        drawn = rng.binomial(total, count / total, size=REPLICATES) / total
        points.append(CurvePoint(start, end - 1, rate(count, total), _band(drawn)))
    return tuple(points)


def cohort_curve(right: F64, bounds: Sequence[tuple[int, int]], rng: np.random.Generator) -> tuple[CurvePoint, ...]:
    """A cohort's curve; each answer weighs the same. Bounds are those of `person_curve`, and `rng` draws people.

    Args:
        right: f64[people, trials]: 1 right, 0 wrong, NaN not answered; trials in each person's own order.

    Raises:
        UndefinedRate: nobody answered in a stretch.
        ValueError: shape or dtype differs from the above, or a stretch is empty.
    """
    if right.ndim != 2 or right.dtype != np.float64 or not np.isin(right[~np.isnan(right)], [0.0, 1.0]).all():
        raise ValueError("Answers are f64[people, trials], each 0, 1 or NaN.")
    _check(right.shape[1], bounds)
    people = len(right)
    given = ~np.isnan(right)
    known = np.where(given, right, 0.0)
    weights = rng.multinomial(people, np.full(people, 1 / people), size=REPLICATES) if people else np.zeros((1, 0))
    points = []
    for start, end in bounds:
        counts, totals = known[:, start:end].sum(axis=1), given[:, start:end].sum(axis=1)
        whole = rate(int(counts.sum()), int(totals.sum()))
        answered = weights @ totals
        drawn = (weights @ counts)[answered > 0] / answered[answered > 0]
        points.append(CurvePoint(start, end - 1, whole, _band(drawn)))
    return tuple(points)


def _band(drawn: F64) -> Interval | None:
    if len(drawn) < 2 or drawn.min() == drawn.max():
        return None
    low, high = np.quantile(drawn, ENDS)
    return Interval(float(low), float(high), DEFAULT_CONFIDENCE)


def _check(trials: int, bounds: Sequence[tuple[int, int]]) -> None:
    if not all(0 <= start < end <= trials for start, end in bounds):
        raise ValueError(f"A stretch is empty, or not within the {trials} trials.")
