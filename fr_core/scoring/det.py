"""Detection error trade-off: what every threshold does, the equal error rate, and thresholds for a false match rate.

A pair is accepted iff similarity >= threshold. Source of the curve: A. Martin, G. Doddington, T. Kamm, M. Ordowski
and M. Przybocki, "The DET curve in assessment of detection task performance", Eurospeech (1997) 1895-1898.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fr_core.errors.base import english
from fr_core.scoring.checks import F64, check_failures, check_similarities
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.support import support
from fr_core.scoring.verification import OperatingPoint, false_match_rate, false_non_match_rate, threshold_at_fmr
from fr_locales.messages import message

UNSUPPORTED = "not supported by this many comparisons"
TARGETS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class DetCurve:
    """Both error rates at every threshold that makes a difference."""

    thresholds: F64  # f64[m], ascending: each similarity that occurs, then the next number above them all
    fmr: F64  # f64[m] in [0, 1], falling: non-mated comparisons accepted / n_nonmated
    fnmr: F64  # f64[m] in [0, 1], rising: mated pairs rejected or not comparable / n_mated
    n_mated: int  # mated pairs, failures included
    n_nonmated: int  # non-mated comparisons
    mated_failures: int  # mated pairs that could not be compared

    def thinned(self, points: int = 2000) -> DetCurve:
        """At most so many operating points of the curve, evenly spread over a DET plot.

        Both axes of the plot show normal deviates. Along the curve z(FNMR) - z(FMR) only rises, and is the distance
        travelled over both axes together: the points are those next to equal steps of it. Rates of 0 and 1, whose
        deviate is infinite, count as half a trial. Both ends are kept.

        Raises `ValueError`: fewer than 2 points are asked for.
        """
        if points < 2:
            raise ValueError(f"A curve has at least 2 points, not {points}.")
        last = len(self.thresholds) - 1
        if last < points:
            return self
        steps = np.linspace(self._distance(0), self._distance(last), points)[1:-1]
        inner = [bisect_left(range(last), step, key=self._distance) for step in steps]
        kept = np.unique([0, *inner, last])
        return DetCurve(
            self.thresholds[kept], self.fmr[kept], self.fnmr[kept], self.n_mated, self.n_nonmated, self.mated_failures
        )

    def _distance(self, index: int) -> float:
        return _deviate(self.fnmr[index], self.n_mated) - _deviate(self.fmr[index], self.n_nonmated)


@dataclass(frozen=True, slots=True)
class EqualErrorRate:
    """The point where the two error rates are equal."""

    value: float  # the rate, in [0, 1], on the line between the two operating points around the crossing
    threshold: float  # that of the two points whose rates differ less, the lower if both do alike
    fmr: float  # false match rate at that threshold
    fnmr: float  # false non-match rate at that threshold


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """A line of a table of thresholds."""

    target: float  # the false match rate asked for
    # The lowest threshold that holds it, with both rates; None where the comparisons are too few.
    point: OperatingPoint | None
    note: str  # how far the false matches support it, or that this many comparisons do not


def det_curve(mated: F64, nonmated: F64, mated_failures: int = 0) -> DetCurve:
    """The error rates at every threshold, by two sorts: O(n log n) time, about 35 bytes a comparison.

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        nonmated: f64[k], finite similarities of non-mated comparisons.
        mated_failures: further mated pairs that could not be compared: rejected at every threshold.

    Raises `UndefinedRate`: there is no mated pair, or no non-mated comparison; `ValueError`: a shape, a dtype or a
    number differs from the above.
    """
    check_similarities(mated)
    check_similarities(nonmated)
    check_failures(mated_failures)
    n_mated = len(mated) + mated_failures
    if n_mated == 0 or len(nonmated) == 0:
        raise UndefinedRate(message("undefined.core.det_curve_needs_least"))
    thresholds = _distinct(mated, nonmated)
    fmr = (len(nonmated) - _below(nonmated, thresholds)) / len(nonmated)
    fnmr = (_below(mated, thresholds) + mated_failures) / n_mated
    return DetCurve(thresholds, fmr, fnmr, n_mated, len(nonmated), mated_failures)


def equal_error_rate(curve: DetCurve) -> EqualErrorRate:
    """The rate at which both error rates are equal.

    Where no threshold makes them equal, the two operating points around the crossing are joined by a straight line, and
    the rate is where FMR = FNMR on it: what a matcher reaches that decides by the one or the other threshold at random.
    Source: T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006) 861-874, of
    interpolating between points. Take the whole curve: a thinned one has a longer line.
    """
    excess = curve.fmr - curve.fnmr  # falls from at least 0 to -1
    after = int(np.searchsorted(-excess, 0.0, "right"))
    before = after - 1
    share = excess[before] / (excess[before] - excess[after])
    value = curve.fmr[before] + share * (curve.fmr[after] - curve.fmr[before])
    nearer = after if -excess[after] < excess[before] else before
    return EqualErrorRate(
        float(value), float(curve.thresholds[nearer]), float(curve.fmr[nearer]), float(curve.fnmr[nearer])
    )


def fnmr_at_fmr(mated: F64, nonmated: F64, target: float, mated_failures: int = 0) -> OperatingPoint:
    """Both error rates at the lowest threshold whose observed false match rate is at most `target`.

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        nonmated: f64[k], finite similarities of non-mated comparisons.
        target: false match rate, in (0, 1].
        mated_failures: further mated pairs that could not be compared; each counts as a non-match.

    Raises `UndefinedRate`: fewer than 1 / target non-mated comparisons, or there is no mated pair; `ValueError`: a
    shape, a dtype or a number differs from the above.
    """
    threshold = threshold_at_fmr(nonmated, target)
    return OperatingPoint(
        threshold,
        false_match_rate(nonmated, threshold),
        false_non_match_rate(mated, threshold, mated_failures),
        mated_failures,
    )


def threshold_table(
    mated: F64, nonmated: F64, targets: Sequence[float] = TARGETS, mated_failures: int = 0
) -> tuple[ThresholdRow, ...]:
    """A row for each target; one that asks for more comparisons than there are says so, and has no point.

    Arguments and errors are those of `fnmr_at_fmr`, but for UndefinedRate: there is no mated pair.
    """
    check_similarities(mated)
    check_failures(mated_failures)
    if len(mated) + mated_failures == 0:
        raise UndefinedRate(message("undefined.core.table_thresholds_needs_least"))
    return tuple(_row(mated, nonmated, target, mated_failures) for target in targets)


def _row(mated: F64, nonmated: F64, target: float, mated_failures: int) -> ThresholdRow:
    try:
        point = fnmr_at_fmr(mated, nonmated, target, mated_failures)
    except UndefinedRate:
        return ThresholdRow(target, None, UNSUPPORTED)
    return ThresholdRow(target, point, english(support(point.fmr.count, point.fmr.total).sentence))


def _distinct(mated: F64, nonmated: F64) -> F64:
    values = np.concatenate([mated, nonmated, [np.inf]])
    values.sort()
    values[-1] = np.nextafter(values[-2], np.inf)
    new = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def _below(similarities: F64, thresholds: F64) -> F64:
    """f64[m]: how many similarities each threshold rejects, for ascending thresholds."""
    return np.searchsorted(np.sort(similarities), thresholds, "left").astype(np.float64)


def _deviate(rate: float, trials: int) -> float:
    """The normal deviate of a rate, kept half a trial away from 0 and 1."""
    half = 0.5 / trials
    return NormalDist().inv_cdf(min(max(rate, half), 1.0 - half))
