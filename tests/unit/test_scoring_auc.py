"""Unit tests of the area under the ROC curve."""

from __future__ import annotations

from math import nan, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.auc import auc, auc_delong, auc_to_dprime
from fr_core.scoring.intervals import UndefinedRate

F64 = npt.NDArray[np.float64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def test_a_tie_counts_one_half_and_a_failure_is_below_everything() -> None:
    assert auc(f64(0.5), f64(0.5)) == 0.5
    assert auc(f64(0.9, 0.5), f64(0.5, 0.1)) == 0.875
    assert auc(f64(0.9), f64(0.5, 0.1), mated_failures=3) == 0.25
    assert auc(f64(), f64(0.5), mated_failures=3) == 0.0


@pytest.mark.parametrize(("mated", "nonmated"), [(f64(), f64(0.1)), (f64(0.1), f64())])
def test_an_area_of_one_kind_is_undefined(mated: F64, nonmated: F64) -> None:
    with pytest.raises(UndefinedRate, match="at least one mated and one non-mated"):
        auc(mated, nonmated)


@pytest.mark.parametrize("area", [1.0, 0.0, 0.5])
def test_an_error_of_nothing_is_not_said_to_be_none(area: float) -> None:
    """Complete separation, or all tied: DeLong's variance is 0 however few pairs there are."""
    mated, nonmated = {1.0: (0.9, 0.1), 0.0: (0.1, 0.9), 0.5: (0.5, 0.5)}[area]
    assert auc(f64(mated, mated), f64(nonmated, nonmated)) == area
    with pytest.raises(UndefinedRate, match="cannot show how far"):
        auc_delong(f64(mated, mated), f64(nonmated, nonmated))


def test_a_standard_error_needs_two_of_each() -> None:
    with pytest.raises(UndefinedRate, match="two mated and two non-mated"):
        auc_delong(f64(0.5), f64(0.1, 0.7))
    with pytest.raises(UndefinedRate, match="two mated and two non-mated"):
        auc_delong(f64(0.1, 0.7), f64(0.5))


def test_the_interval_is_normal_on_the_logit_scale() -> None:
    found = auc_delong(f64(0.2, 0.6, 0.7, 0.8), f64(0.1, 0.3, 0.5, 0.65), confidence=0.9)
    logits = [np.log(x / (1 - x)) for x in (found.interval.low, found.value, found.interval.high)]
    margin = NormalDist().inv_cdf(0.95) * found.standard_error / (found.value * (1 - found.value))
    assert np.diff(logits) == pytest.approx([margin, margin])
    assert found.interval.confidence == 0.9
    assert (found.n_mated, found.n_nonmated) == (4, 4)


def test_the_interval_holds_the_true_area_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    true = NormalDist().cdf(1.5 / sqrt(2))
    tests = [auc_delong(rng.normal(1.5, 1, 60), rng.normal(0, 1, 90)).interval for _ in range(400)]
    assert sum(test.low <= true <= test.high for test in tests) / 400 == pytest.approx(0.95, abs=0.025)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        auc(f64(nan), f64(0.1))
    with pytest.raises(ValueError, match="finite"):
        auc(f64(0.1), f64(nan))
    with pytest.raises(ValueError, match="cannot be -1"):
        auc(f64(0.1), f64(0.1), mated_failures=-1)
    with pytest.raises(ValueError, match="confidence"):
        auc_delong(f64(0.1, 0.2), f64(0.1, 0.3), confidence=0.0)


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_the_dprime_of_no_overlap_is_undefined(area: float) -> None:
    with pytest.raises(UndefinedRate, match="no finite"):
        auc_to_dprime(area)


@pytest.mark.parametrize("area", [-0.1, 1.1, nan])
def test_what_is_no_area_is_refused(area: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        auc_to_dprime(area)
