"""Unit tests of the DET curve, the equal error rate and the table of thresholds."""

from __future__ import annotations

import time
import tracemalloc
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.det import UNSUPPORTED, det_curve, equal_error_rate, fnmr_at_fmr, threshold_table
from fr_core.scoring.intervals import UndefinedRate, rate
from fr_core.scoring.verification import OperatingPoint

F64 = npt.NDArray[np.float64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def normal(seed: int, mean: float, n: int) -> F64:
    return np.random.default_rng(seed).normal(mean, 0.1, n)


def test_a_similarity_at_the_threshold_is_accepted_and_a_failure_never_is() -> None:
    curve = det_curve(f64(0.5, 0.9), f64(0.1, 0.5), mated_failures=2)
    assert list(curve.thresholds) == [0.1, 0.5, 0.9, np.nextafter(0.9, 1)]
    assert list(curve.fmr) == [1.0, 0.5, 0.0, 0.0]
    assert list(curve.fnmr) == [0.5, 0.5, 0.75, 1.0]
    assert (curve.n_mated, curve.n_nonmated, curve.mated_failures) == (4, 2, 2)


def test_the_scores_are_left_as_they_were() -> None:
    mated, nonmated = f64(0.9, 0.5), f64(0.5, 0.1)
    det_curve(mated, nonmated)
    assert (list(mated), list(nonmated)) == ([0.9, 0.5], [0.5, 0.1])


@pytest.mark.parametrize(("mated", "nonmated"), [(f64(), f64(0.1)), (f64(0.1), f64())])
def test_a_curve_of_one_kind_is_undefined(mated: F64, nonmated: F64) -> None:
    with pytest.raises(UndefinedRate, match="at least one mated and one non-mated"):
        det_curve(mated, nonmated)


@pytest.mark.parametrize("bad", [f64(0.1, np.nan), f64(np.inf), f64(0.1).astype(np.float32), f64(0.1)[None]])
def test_a_curve_of_anything_but_finite_f64_is_refused(bad: F64) -> None:
    with pytest.raises(ValueError, match=r"f64|finite"):
        det_curve(bad, f64(0.1))
    with pytest.raises(ValueError, match=r"f64|finite"):
        det_curve(f64(0.1), bad)


def test_negative_failures_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be -1"):
        det_curve(f64(0.1), f64(0.1), mated_failures=-1)


def test_equal_rates_at_a_threshold_are_the_equal_error_rate() -> None:
    found = equal_error_rate(det_curve(f64(0.3, 0.8, 0.9, 0.9), f64(0.1, 0.2, 0.2, 0.6)))
    assert (found.value, found.threshold, found.fmr, found.fnmr) == (0.25, 0.6, 0.25, 0.25)


def test_a_perfect_matcher_has_no_equal_errors_and_one_of_failures_alone_has_nothing_else() -> None:
    perfect = equal_error_rate(det_curve(f64(0.8, 0.9), f64(0.1, 0.2)))
    assert (perfect.value, perfect.threshold) == (0.0, 0.8)
    failed = equal_error_rate(det_curve(f64(), f64(0.1, 0.2), mated_failures=3))
    assert (failed.value, failed.threshold, failed.fmr, failed.fnmr) == (1.0, 0.1, 1.0, 1.0)


def test_between_two_thresholds_the_equal_error_rate_is_on_their_line() -> None:
    # From (FMR, FNMR) = (1/2, 0) at .5 to (0, 1/4) above it: they meet at 1/6, and .25 differs less than .5.
    found = equal_error_rate(det_curve(f64(0.5, 0.9, 0.9, 0.9), f64(0.1, 0.5)))
    assert found.value == pytest.approx(1 / 6)
    assert (found.threshold, found.fmr, found.fnmr) == (0.9, 0.0, 0.25)


def test_of_two_thresholds_that_differ_alike_the_lower_is_taken() -> None:
    found = equal_error_rate(det_curve(f64(0.5, 0.9), f64(0.1, 0.5)))
    assert (found.value, found.threshold, found.fmr, found.fnmr) == (0.25, 0.5, 0.5, 0.0)


def test_a_thinned_curve_takes_equal_steps_of_normal_deviates() -> None:
    z = NormalDist().inv_cdf
    curve = det_curve(normal(1, 0.5, 20_000), normal(2, 0.1, 200_000))
    thin = curve.thinned(100)
    assert 60 < len(thin.thresholds) <= 100
    inside = (thin.fmr > 1e-3) & (thin.fnmr > 1e-3) & (thin.fmr < 0.999) & (thin.fnmr < 0.999)
    steps = np.diff([z(y) - z(x) for x, y in zip(thin.fmr[inside], thin.fnmr[inside], strict=True)])
    assert len(steps) > 15
    assert steps.max() < 1.1 * steps.min()
    assert (thin.n_mated, thin.n_nonmated) == (curve.n_mated, curve.n_nonmated)


def test_a_curve_of_few_points_is_not_thinned_and_no_curve_has_one_point() -> None:
    curve = det_curve(f64(0.5), f64(0.1))
    assert curve.thinned(3) is curve
    assert len(curve.thinned(2).thresholds) == 2
    with pytest.raises(ValueError, match="at least 2 points"):
        curve.thinned(1)


def test_the_miss_rate_at_a_false_match_rate_counts_failures() -> None:
    found = fnmr_at_fmr(f64(0.2, 0.3, 0.9), f64(0.1, 0.1, 0.2, 0.3), 0.25, mated_failures=1)
    assert found == OperatingPoint(np.nextafter(0.2, 1), rate(1, 4), rate(2, 4), 1)
    with pytest.raises(UndefinedRate, match="cannot support"):
        fnmr_at_fmr(f64(0.2), f64(0.1, 0.1, 0.2, 0.3), 0.1)
    with pytest.raises(UndefinedRate, match="no trials"):
        fnmr_at_fmr(f64(), f64(0.1), 1.0)


def test_the_table_says_which_targets_the_comparisons_do_not_support() -> None:
    rows = threshold_table(normal(1, 0.5, 1000), normal(2, 0.1, 5000), mated_failures=10)
    assert [row.target for row in rows] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    assert [row.point.fmr.count if row.point else row.note for row in rows] == [50, 5] + [UNSUPPORTED] * 3
    assert "rate is known to 30 %" in rows[0].note
    assert "5 errors in 5,000 comparisons: too few" in rows[1].note
    assert rows[0].point == fnmr_at_fmr(normal(1, 0.5, 1000), normal(2, 0.1, 5000), 1e-2, mated_failures=10)


def test_a_table_without_mated_pairs_is_undefined_and_one_of_bad_input_is_refused() -> None:
    with pytest.raises(UndefinedRate, match="at least one mated pair"):
        threshold_table(f64(), f64(0.1))
    for bad in ({"mated": f64(np.nan)}, {"targets": (2.0,)}, {"confidence": 1.0}, {"mated_failures": -1}):
        with pytest.raises(ValueError) as refused:
            threshold_table(**{"mated": f64(0.5), "nonmated": normal(2, 0.1, 200), **bad})  # type: ignore[arg-type]
        assert not isinstance(refused.value, UndefinedRate)
    with pytest.raises(ValueError, match="finite"):
        threshold_table(f64(np.nan), f64(0.1))  # supports no target


@pytest.mark.slow
@pytest.mark.nightly
def test_ten_million_comparisons_take_five_seconds_and_a_gigabyte_at_most() -> None:
    mated, nonmated = normal(1, 0.6, 1_000_000), normal(2, 0.0, 9_000_000)
    tracemalloc.start()
    begun = time.process_time()
    curve = det_curve(mated, nonmated)
    thin, equal = curve.thinned(), equal_error_rate(curve)
    taken = time.process_time() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(curve.thresholds) == 10_000_001
    assert len(thin.thresholds) <= 2000
    assert equal.value == pytest.approx(0.00135, abs=0.0001)
    assert taken <= 5.0
    assert peak <= 1e9
