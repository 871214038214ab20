"""Property tests of curves, areas and resampling: each against a slow direct computation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.scoring.auc import auc, auc_delong
from fr_core.scoring.bootstrap import fmr_statistic, fnmr_at_fmr_statistic, fnmr_statistic, threshold_statistic
from fr_core.scoring.det import det_curve, equal_error_rate
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.verification import false_match_rate, false_non_match_rate, threshold_at_fmr

F64 = npt.NDArray[np.float64]


def few_values(min_size: int, max_size: int = 12) -> st.SearchStrategy[F64]:
    """Of nine values, so that ties are common."""
    values = st.integers(-4, 4).map(lambda i: i / 4)
    return st.lists(values, min_size=min_size, max_size=max_size).map(lambda v: np.array(v, dtype=np.float64))


failures = st.integers(0, 3)
targets = st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0])


@given(few_values(0), few_values(1), failures)
def test_the_curve_has_the_rates_of_each_threshold(mated: F64, nonmated: F64, failed: int) -> None:
    if len(mated) + failed == 0:
        with pytest.raises(UndefinedRate):
            det_curve(mated, nonmated, failed)
        return
    curve = det_curve(mated, nonmated, failed)
    assert list(curve.thresholds[:-1]) == sorted({*mated, *nonmated})
    assert curve.thresholds[-1] == np.nextafter(curve.thresholds[-2], np.inf)
    for threshold, fmr, fnmr in zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True):
        assert fmr == false_match_rate(nonmated, threshold).value
        assert fnmr == false_non_match_rate(mated, threshold, failed).value


@given(few_values(1), few_values(1), failures)
def test_the_equal_error_rate_lies_on_the_line_between_two_neighbours(mated: F64, nonmated: F64, failed: int) -> None:
    curve = det_curve(mated, nonmated, failed)
    found = equal_error_rate(curve)
    meeting = [
        x
        for a, b, c, d in zip(curve.fmr, curve.fmr[1:], curve.fnmr, curve.fnmr[1:], strict=False)
        if a >= c and b < d
        # The point x = FMR = FNMR of the line from (a, c) to (b, d).
        for x in [(a * d - b * c) / (a - b + d - c)]
    ]
    assert [found.value] == pytest.approx(meeting, abs=1e-12)
    at = int(np.flatnonzero(curve.thresholds == found.threshold)[0])
    assert (found.fmr, found.fnmr) == (curve.fmr[at], curve.fnmr[at])
    assert abs(found.fmr - found.fnmr) == np.abs(curve.fmr - curve.fnmr).min()


@given(few_values(1, 40), few_values(1, 40), failures, st.integers(2, 12))
def test_a_thinned_curve_holds_both_ends_and_points_of_the_curve(
    mated: F64, nonmated: F64, failed: int, points: int
) -> None:
    curve = det_curve(mated, nonmated, failed)
    thin = curve.thinned(points)
    assert len(thin.thresholds) <= points
    assert [thin.thresholds[0], thin.thresholds[-1]] == [curve.thresholds[0], curve.thresholds[-1]]
    assert (np.diff(thin.thresholds) > 0).all()
    whole = set(zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True))
    assert set(zip(thin.thresholds, thin.fmr, thin.fnmr, strict=True)) <= whole


@given(few_values(0), few_values(1), failures)
def test_the_area_counts_every_couple(mated: F64, nonmated: F64, failed: int) -> None:
    with_failed = [*mated, *[-np.inf] * failed]
    if not with_failed:
        return
    wins = [1.0 if x > y else 0.5 if x == y else 0.0 for x in with_failed for y in nonmated]
    assert auc(mated, nonmated, failed) == pytest.approx(sum(wins) / len(wins), abs=1e-12)


@given(few_values(2), few_values(2), failures)
def test_the_standard_error_is_that_of_delongs_matrix(mated: F64, nonmated: F64, failed: int) -> None:
    with_failed = np.concatenate([mated, np.full(failed, -np.inf)])
    wins = (with_failed[:, None] > nonmated) + 0.5 * (with_failed[:, None] == nonmated)
    rows, columns = wins.mean(axis=1), wins.mean(axis=0)
    error = sqrt(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))
    if error < 1e-9:
        with pytest.raises(UndefinedRate):
            auc_delong(mated, nonmated, mated_failures=failed)
        return
    found = auc_delong(mated, nonmated, mated_failures=failed)
    assert (found.value, found.standard_error) == pytest.approx((wins.mean(), error), abs=1e-9)
    assert 0.0 < found.interval.low < found.value < found.interval.high < 1.0


def repeated(values: F64, weights: list[int]) -> F64:
    return np.repeat(values, weights[: len(values)])


weights_of_twelve = st.lists(st.integers(0, 3), min_size=12, max_size=12)


@given(few_values(1), weights_of_twelve, st.integers(-5, 5).map(lambda i: i / 4))
def test_a_weight_counts_a_comparison_that_often(scores: F64, weights: list[int], threshold: float) -> None:
    many = repeated(scores, weights)
    as_array = np.array(weights[: len(scores)], dtype=np.float64)
    if len(many) == 0:
        with pytest.raises(UndefinedRate):
            fmr_statistic(scores, threshold)(as_array)
        return
    fmr, fnmr = fmr_statistic(scores, threshold)(as_array), fnmr_statistic(scores, threshold)(as_array)
    assert fmr == pytest.approx(false_match_rate(many, threshold).value, abs=1e-12)
    assert fnmr == pytest.approx(false_non_match_rate(many, threshold).value, abs=1e-12)


@given(few_values(1), weights_of_twelve, targets)
def test_the_weighted_threshold_is_the_lowest_that_holds_the_target(
    scores: F64, weights: list[int], target: float
) -> None:
    if len(scores) * target < 1.0:
        with pytest.raises(UndefinedRate):
            threshold_statistic(scores, target)
        return
    many = repeated(scores, weights)
    as_array = np.array(weights[: len(scores)], dtype=np.float64)
    if len(many) == 0:
        return
    threshold = threshold_statistic(scores, target)(as_array)
    assert (many >= threshold).mean() <= target
    if target < 1.0:
        assert (many >= np.nextafter(threshold, -np.inf)).mean() > target
    assert threshold_statistic(scores, target)(np.ones(len(scores))) == threshold_at_fmr(scores, target)


@given(few_values(1, 5), few_values(4, 5), st.integers(0, 2), weights_of_twelve)
def test_the_weighted_miss_rate_is_that_at_the_weighted_threshold(
    mated: F64, nonmated: F64, failed: int, weights: list[int]
) -> None:
    n, n_mated = len(mated), len(mated) + failed
    as_array = np.array(weights[: n_mated + len(nonmated)], dtype=np.float64)
    if as_array[:n_mated].sum() == 0 or as_array[n_mated:].sum() == 0:
        return
    at = threshold_statistic(nonmated, 0.25)(as_array[n_mated:])
    missed = np.concatenate([mated < at, np.ones(failed, dtype=np.bool_)])
    expected = np.average(missed, weights=as_array[:n_mated])
    found = fnmr_at_fmr_statistic(mated, nonmated, 0.25, failed)(as_array)
    assert found == pytest.approx(float(expected), abs=1e-12)
    assert n + failed + len(nonmated) == len(as_array)
