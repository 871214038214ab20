"""Strength of evidence: the costs of likelihood ratios and of probabilities, against values worked out elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import (
    brier,
    calibration_loss,
    cllr,
    expected_calibration_error,
    level_ratios,
    log_loss,
    lr_calibration_error,
    min_cllr,
    ratio_ceiling,
)

MATED = np.log10([100.0, 50.0, 10.0, 3.0, 0.5])
NONMATED = np.log10([0.01, 0.1, 0.2, 0.5, 4.0])
PROBABILITIES = np.array([0.95, 0.8, 0.6, 0.5, 0.3, 0.9, 0.1, 0.2, 0.4, 0.05])
TRUTH = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], dtype=np.bool_)
RATED_MATED = np.array([3, 3, 2, 2, 1, 0, -1, 3, 2, 1])
RATED_NONMATED = np.array([-3, -2, -2, -1, 0, 1, -3, -1, -2, 2])
SCALE = (3, 2, 1, 0, -1, -2, -3)


def f64(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64)


def test_cllr_of_a_published_case() -> None:
    assert cllr(MATED, NONMATED) == pytest.approx(0.55022, abs=5e-6)


def test_evidence_of_nothing_costs_one_bit() -> None:
    assert cllr(np.zeros(3), np.zeros(5)) == 1.0


def test_strengths_beyond_all_floats_do_not_overflow() -> None:
    assert cllr(f64(1000.0), f64(-1000.0)) == 0.0
    # A wrong LR of 10^1000 costs log2 of it, and half of the cost is that of non-mated comparisons.
    assert cllr(f64(1000.0), f64(1000.0)) == pytest.approx(500 * np.log2(10))


def test_min_cllr_of_a_case_worked_by_hand() -> None:
    # Pooled: non-mated .01 to .2 alone; .5 (one of each), 3 and 4 (one of each); mated 10 to 100 alone.
    # The middle blocks have LR 1 and cost a bit each: 2 of 5 mated and 2 of 5 non-mated comparisons.
    assert min_cllr(MATED, NONMATED) == pytest.approx(0.4)
    assert calibration_loss(MATED, NONMATED) == pytest.approx(0.55022 - 0.4, abs=5e-6)


def test_min_cllr_of_what_order_divides_is_nothing() -> None:
    assert min_cllr(f64(0.5, 0.6), f64(0.1, 0.2, 0.3)) == 0.0


def test_min_cllr_pools_equal_values() -> None:
    assert min_cllr(f64(0.5, 0.5), f64(0.5)) == 1.0


def test_min_cllr_of_a_reversed_order_is_that_of_no_evidence() -> None:
    assert min_cllr(f64(0.1, 0.2), f64(0.5, 0.6)) == 1.0


@pytest.mark.parametrize("cost", [cllr, min_cllr])
def test_costs_need_both_kinds_and_finite_numbers(cost: Callable[..., float]) -> None:
    for mated, nonmated in ((f64(), f64(1.0)), (f64(1.0), f64())):
        with pytest.raises(UndefinedRate, match="one mated and one non-mated"):
            cost(mated, nonmated)
    for bad in (nan, inf, -inf):
        with pytest.raises(ValueError, match="finite"):
            cost(f64(0.0, bad), f64(0.0))
    with pytest.raises(ValueError, match="f64"):
        cost(np.zeros((2, 2)), f64(0.0))


def test_brier_log_loss_and_calibration_error_of_a_published_case() -> None:
    assert brier(PROBABILITIES, TRUTH) == pytest.approx(0.1765)
    assert log_loss(PROBABILITIES, TRUTH) == pytest.approx(0.54338, abs=5e-6)
    assert expected_calibration_error(PROBABILITIES, TRUTH) == pytest.approx(0.28)


def test_a_bin_holds_its_lower_end_and_the_last_one_both() -> None:
    # .5 falls into the upper of two bins, beside 1: |(.5 + 1) - (0 + 1)| / 2.
    assert expected_calibration_error(f64(0.5, 1.0), np.array([False, True]), bins=2) == 0.25
    assert expected_calibration_error(f64(0.49, 1.0), np.array([True, True]), bins=2) == pytest.approx(0.255)


def test_a_certainty_that_was_wrong_has_no_log_loss() -> None:
    assert log_loss(f64(1.0, 0.0), np.array([True, False])) == 0.0
    for probability, mated in ((1.0, False), (0.0, True)):
        with pytest.raises(UndefinedRate, match="infinite"):
            log_loss(f64(probability), np.array([mated]))


@pytest.mark.parametrize("cost", [brier, log_loss, expected_calibration_error])
def test_probabilities_are_checked(cost: Callable[..., float]) -> None:
    for bad in (-0.1, 1.1, nan):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            cost(f64(bad), np.array([True]))
    with pytest.raises(ValueError, match="booleans"):
        cost(f64(0.5), np.array([1]))
    with pytest.raises(ValueError, match="f64"):
        cost(np.array([1]), np.array([True]))
    with pytest.raises(UndefinedRate, match="no probabilities"):
        cost(f64(), np.array([], dtype=np.bool_))


def test_a_calibration_error_needs_a_bin() -> None:
    with pytest.raises(ValueError, match="one bin"):
        expected_calibration_error(f64(0.5), np.array([True]), bins=0)


@pytest.mark.parametrize(("mated", "nonmated"), [(3000, 57_000), (1000, 99_000), (5000, 5000)])
def test_perfect_ratios_have_no_calibration_error_however_many_there_are_of_a_kind(mated: int, nonmated: int) -> None:
    # Natural logarithms of normal LRs are perfect where their mean is half of their variance, here 2 of 4.
    rng = np.random.default_rng(4)
    of_mated, of_nonmated = rng.normal(2.0, 2.0, mated) / np.log(10), rng.normal(-2.0, 2.0, nonmated) / np.log(10)
    assert lr_calibration_error(of_mated, of_nonmated) < 0.015
    assert lr_calibration_error(of_mated + 0.5, of_nonmated + 0.5) > 0.05
    # The share of each kind is not even odds.
    probabilities = 1 / (1 + 10 ** -np.concatenate([of_mated, of_nonmated]))
    unweighted = expected_calibration_error(probabilities, np.arange(mated + nonmated) < mated)
    assert (unweighted > 0.1) is (mated != nonmated)


def test_the_calibration_error_of_ratios_worked_by_hand() -> None:
    # Even LRs are probabilities of a half, in one bin: |(.5 - 1) / 2 + .5 / 2|. A third of 1 000 : 1 is beside them.
    assert lr_calibration_error(f64(0.0), f64(0.0, 0.0, 0.0)) == pytest.approx(0.0, abs=1e-15)
    assert lr_calibration_error(f64(0.0), f64(0.0, 0.0, 1000.0)) == pytest.approx(1 / 12 + 1 / 6)
    assert lr_calibration_error(f64(1e6), f64(-1e6)) == 0.0
    with pytest.raises(UndefinedRate, match="one mated and one non-mated"):
        lr_calibration_error(f64(), f64(0.0))
    with pytest.raises(ValueError, match="one bin"):
        lr_calibration_error(f64(0.0), f64(0.0), bins=0)


def test_the_ratio_of_each_level_of_a_published_case() -> None:
    found = level_ratios(RATED_MATED, RATED_NONMATED, SCALE)
    assert [level.level for level in found] == list(SCALE)
    assert [round(level.ratio, 3) for level in found] == [7.0, 2.333, 1.667, 1.0, 0.6, 0.143, 0.2]
    assert [(level.mated, level.nonmated) for level in found][:2] == [(3, 0), (3, 1)]


def test_the_ceiling_is_the_ratio_of_a_level_that_divides_all() -> None:
    assert ratio_ceiling(10, 10) == 21.0
    found = level_ratios(np.full(4, 1), np.full(6, -1), (1, 0, -1))
    assert found[0].ratio == pytest.approx(ratio_ceiling(4, 6, levels=3))


def test_ratings_are_checked() -> None:
    for scale in ((1,), (1, 1)):
        with pytest.raises(ValueError, match="two levels, each once"):
            level_ratios(np.array([1]), np.array([1]), scale)
    with pytest.raises(ValueError, match="not one of the levels"):
        level_ratios(np.array([4]), np.array([1]), SCALE)
    with pytest.raises(UndefinedRate, match="one mated"):
        level_ratios(np.array([], dtype=np.int64), np.array([1]), SCALE)
    with pytest.raises(UndefinedRate, match="one mated"):
        ratio_ceiling(0, 10)
    for mated, levels in ((-1, 7), (10, 1)):
        with pytest.raises(ValueError, match="counted from 0"):
            ratio_ceiling(mated, 10, levels)
