"""Golden tests of curves and areas: scikit-learn, SciPy, and values worked out by others."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.auc import auc, auc_delong, auc_to_dprime
from fr_core.scoring.bootstrap import fmr_statistic, subject_bootstrap
from fr_core.scoring.det import det_curve, equal_error_rate
from fr_core.scoring.support import comparisons_needed, rule_of_three

F64 = npt.NDArray[np.float64]

SAME = np.array([3, 3, 2, 2, 1, 0, -1, 3, 2, 1], dtype=np.float64)
DIFFERENT = np.array([-3, -2, -2, -1, 0, 1, -3, -1, -2, 2], dtype=np.float64)


def similarities(seed: int, decimals: int) -> tuple[F64, F64]:
    """300 mated and 2000 non-mated ones; with few decimals many are tied."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.2, 300).round(decimals), rng.normal(0.1, 0.2, 2000).round(decimals)


def labelled(mated: F64, nonmated: F64) -> tuple[npt.NDArray[np.int64], F64]:
    labels = np.repeat([1, 0], [len(mated), len(nonmated)])
    return labels, np.concatenate([mated, nonmated])


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_the_det_curve_is_that_of_scikit_learn(decimals: int) -> None:
    metrics = import_module("sklearn.metrics")
    mated, nonmated = similarities(1, decimals)
    fmr, fnmr, thresholds = metrics.det_curve(*labelled(mated, nonmated))
    curve = det_curve(mated, nonmated)
    # scikit-learn leaves out the point that accepts nothing, and repeats of the two ends.
    inside = np.isin(curve.thresholds, thresholds)
    assert inside.sum() == len(thresholds)
    np.testing.assert_allclose(curve.fmr[inside], fmr, atol=1e-12)
    np.testing.assert_allclose(curve.fnmr[inside], fnmr, atol=1e-12)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_the_equal_error_rate_is_the_crossing_of_the_roc_curve(decimals: int) -> None:
    metrics, optimize = import_module("sklearn.metrics"), import_module("scipy.optimize")
    mated, nonmated = similarities(2, decimals)
    false, true, _ = metrics.roc_curve(*labelled(mated, nonmated))
    crossing = optimize.brentq(lambda x: 1.0 - x - np.interp(x, false, true), 0.0, 1.0)
    assert equal_error_rate(det_curve(mated, nonmated)).value == pytest.approx(crossing, abs=1e-9)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_the_area_is_that_of_scikit_learn_and_of_the_mann_whitney_test(decimals: int) -> None:
    metrics, stats = import_module("sklearn.metrics"), import_module("scipy.stats")
    mated, nonmated = similarities(3, decimals)
    area = auc(mated, nonmated)
    assert area == pytest.approx(metrics.roc_auc_score(*labelled(mated, nonmated)), abs=1e-12)
    assert area == pytest.approx(stats.mannwhitneyu(mated, nonmated).statistic / (300 * 2000), abs=1e-12)


def test_the_area_of_ten_and_ten_ratings_with_its_standard_error() -> None:
    found = auc_delong(SAME, DIFFERENT)
    assert found.value == pytest.approx(0.89, abs=1e-12)
    assert round(found.standard_error, 4) == 0.0709


@pytest.mark.parametrize(("area", "dprime"), [(0.93, 2.0871), (0.68, 0.6614), (0.5, 0.0)])
def test_the_dprime_of_an_area(area: float, dprime: float) -> None:
    assert auc_to_dprime(area) == pytest.approx(dprime, abs=5e-5)


@pytest.mark.parametrize("comparisons", [300, 10_000, 667_590])
def test_the_rule_of_three_is_the_exact_limit_rounded_up(comparisons: int) -> None:
    stats = import_module("scipy.stats")
    test = stats.binomtest(0, comparisons, alternative="less")
    exact = test.proportion_ci(0.95, method="exact").high
    assert exact <= rule_of_three(comparisons) <= exact * 1.01


def test_the_rule_of_thirty_gives_thirty_per_cent_with_ninety_per_cent_confidence() -> None:
    stats = import_module("scipy.stats")
    needed = comparisons_needed(1e-4).to_measure
    errors = stats.binom(needed, 1e-4)
    assert errors.mean() == pytest.approx(30)
    assert stats.norm.ppf(0.95) * errors.std() / errors.mean() == pytest.approx(0.3, abs=0.001)


def test_resampling_people_of_one_comparison_each_is_resampling_comparisons() -> None:
    stats = import_module("scipy.stats")
    scores = np.random.default_rng(4).normal(size=400)
    people = np.arange(400)
    found = subject_bootstrap(fmr_statistic(scores, 1.0), people, people, seed=5, replicates=4000)
    accepted = (scores >= 1.0).astype(np.float64)
    other = stats.bootstrap((accepted,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(6))
    assert found.value == accepted.mean()
    assert (found.low, found.high) == pytest.approx(tuple(other.confidence_interval), abs=0.004)
    assert found.standard_error == pytest.approx(float(other.standard_error), rel=0.05)
