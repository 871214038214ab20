"""ROC curves of ratings, of the machine, and of both together, with their areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.auc import auc, auc_delong
from fr_core.scoring.checks import F64
from fr_core.scoring.det import det_curve
from fr_core.scoring.intervals import UndefinedRate
from fr_training.grading.values import Area, Maybe, Undefined
from fr_training.results import Result

MOST_POINTS = 60
"""Of a curve that is kept for a plot."""


@dataclass(frozen=True, slots=True)
class RocPoint:
    """What one threshold does.

    Attributes:
        false_same: share of pairs of two people at or above it.
        hits: share of pairs of one person at or above it.
    """

    false_same: float
    hits: float


@dataclass(frozen=True, slots=True)
class Roc:
    """A curve.

    Attributes:
        points: from (0, 0) to (1, 1), MOST_POINTS at most.
        area: under all of it.
    """

    points: tuple[RocPoint, ...]
    area: Area


def roc_of_ratings(pairs: Sequence[Result]) -> Maybe[Roc]:
    """Of the ratings of pairs of known truth."""
    return roc(*scores(pairs, [float(one.rating or 0) for one in pairs]))


def roc_of_machine(pairs: Sequence[Result]) -> Maybe[Roc]:
    """Of the machine's similarities, of the pairs that have one."""
    compared = [one for one in pairs if one.similarity is not None]
    return roc(*scores(compared, [one.similarity or 0.0 for one in compared]))


def scores(pairs: Sequence[Result], values: Sequence[float]) -> tuple[F64, F64]:
    """f64[n], f64[m]: the values of pairs of one person, and of two people."""
    same = [value for one, value in zip(pairs, values, strict=True) if one.truth == "same"]
    different = [value for one, value in zip(pairs, values, strict=True) if one.truth == "different"]
    return np.array(same, dtype=np.float64), np.array(different, dtype=np.float64)


def roc(same: F64, different: F64) -> Maybe[Roc]:
    """Of values that are higher where a pair looks more like one person.

    Args:
        same: f64[n], finite, of pairs of one person.
        different: f64[m], finite, of pairs of two people.
    """
    if not len(same) or not len(different):
        return Undefined("A curve needs pairs of one person and of two.")
    curve = det_curve(same, different).thinned(MOST_POINTS)
    points = [RocPoint(float(fmr), float(1 - fnmr)) for fmr, fnmr in zip(curve.fmr, curve.fnmr, strict=True)]
    return Roc(tuple(reversed(points)), area(same, different))


def area(same: F64, different: F64) -> Area:
    """With DeLong's interval where there is one; both are not empty."""
    try:
        found = auc_delong(same, different)
    except UndefinedRate as undefined:
        return Area(auc(same, different), Undefined(str(undefined)))
    return Area(found.value, found.interval, found.standard_error)
