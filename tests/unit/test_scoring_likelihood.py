"""Strength of evidence: costs of likelihood ratios and probabilities, and the curves from similarity to ratio."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, log10, nan

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring import calibrators
from fr_core.scoring.calibrators import LogisticCurve, LrCalibrator, StepCurve, fit_logistic, fit_steps
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import (
    brier,
    cllr,
    expected_calibration_error,
    level_ratios,
    log_loss,
    lr_calibration_error,
    min_cllr,
    ratio_ceiling,
)

F64 = npt.NDArray[np.float64]

MATED = np.log10([100.0, 50.0, 10.0, 3.0, 0.5])
NONMATED = np.log10([0.01, 0.1, 0.2, 0.5, 4.0])
PROBABILITIES = np.array([0.95, 0.8, 0.6, 0.5, 0.3, 0.9, 0.1, 0.2, 0.4, 0.05])
TRUTH = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], dtype=np.bool_)
RATED_MATED = np.array([3, 3, 2, 2, 1, 0, -1, 3, 2, 1])
RATED_NONMATED = np.array([-3, -2, -2, -1, 0, 1, -3, -1, -2, 2])
SCALE = (3, 2, 1, 0, -1, -2, -3)


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def i64(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def test_costs_of_a_published_case_and_of_strengths_beyond_all_floats() -> None:
    assert cllr(MATED, NONMATED) == pytest.approx(0.55022, abs=5e-6)
    # Pooled: non-mated .01 to .2 alone; .5 (one of each), 3 and 4 (one of each); mated 10 to 100 alone.
    # The middle blocks have LR 1 and cost a bit each: 2 of 5 mated and 2 of 5 non-mated comparisons.
    assert min_cllr(MATED, NONMATED) == pytest.approx(0.4)
    assert cllr(f64(1000.0), f64(-1000.0)) == 0.0
    # A wrong LR of 10^1000 costs log2 of it, and half of the cost is that of non-mated comparisons.
    assert cllr(f64(1000.0), f64(1000.0)) == pytest.approx(500 * np.log2(10))


def test_brier_log_loss_and_calibration_error_of_a_published_case() -> None:
    assert brier(PROBABILITIES, TRUTH) == pytest.approx(0.1765)
    assert log_loss(PROBABILITIES, TRUTH) == pytest.approx(0.54338, abs=5e-6)
    assert expected_calibration_error(PROBABILITIES, TRUTH) == pytest.approx(0.28)
    # .5 falls into the upper of two bins, beside 1: |(.5 + 1) - (0 + 1)| / 2.
    assert expected_calibration_error(f64(0.5, 1.0), np.array([False, True]), bins=2) == 0.25
    assert expected_calibration_error(f64(0.49, 1.0), np.array([True, True]), bins=2) == pytest.approx(0.255)


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


def test_the_ratio_of_each_level_of_a_published_case() -> None:
    found = level_ratios(RATED_MATED, RATED_NONMATED, SCALE)
    assert [level.level for level in found] == list(SCALE)
    assert [round(level.ratio, 3) for level in found] == [7.0, 2.333, 1.667, 1.0, 0.6, 0.143, 0.2]
    assert [(level.mated, level.nonmated) for level in found][:2] == [(3, 0), (3, 1)]
    assert ratio_ceiling(10, 10) == 21.0
    assert level_ratios(np.full(4, 1), np.full(6, -1), (1, 0, -1))[0].ratio == pytest.approx(ratio_ceiling(4, 6, 3))


def gaussians(seed: int = 3, mated: int = 4000, nonmated: int = 20000) -> tuple[F64, F64]:
    """Similarities whose true log LR is known: equal spread .1, so ln LR = 40 (s - .3)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.1, mated), rng.normal(0.1, 0.1, nonmated)


@pytest.mark.parametrize("fit", [fit_logistic, fit_steps])
def test_the_true_likelihood_ratio_is_learnt(fit: Callable[..., LrCalibrator]) -> None:
    found = fit(*gaussians())
    for similarity, tolerance in ((0.25, 0.25), (0.3, 0.25), (0.35, 0.25)):
        assert found.evidence(similarity).log10_lr == pytest.approx(40 * (similarity - 0.3) / np.log(10), abs=tolerance)
    mated, nonmated = gaussians(seed=4)
    cost = cllr(found.log10_lrs(mated), found.log10_lrs(nonmated))
    assert cost == pytest.approx(min_cllr(mated, nonmated), abs=0.01)


def test_a_logistic_curve_of_a_case_worked_by_hand() -> None:
    # Mated: 1 of 4 at 0, 3 of 4 at 1; non-mated the other way round. LR is 1/3 at 0 and 3 at 1, which a line can say.
    mated, nonmated = f64(0, 1, 1, 1), f64(1, 0, 0, 0)
    found = fit_logistic(mated, nonmated)
    assert isinstance(found.curve, LogisticCurve)
    assert (found.curve.intercept, found.curve.slope) == pytest.approx((-log10(3), 2 * log10(3)))
    assert fit_logistic(mated, nonmated, prior=0.01).curve.log10_lrs(f64(0, 1)) == pytest.approx([-log10(3), log10(3)])


def test_the_logistic_curve_finds_a_steep_slope() -> None:
    # One pair in a hundred overlaps, by a hair.
    mated = np.append(np.linspace(0.5, 0.9, 99), 0.4999)
    nonmated = np.append(np.linspace(0.0, 0.4998, 99), 0.5001)
    found = fit_logistic(mated, nonmated)
    assert found.evidence(0.5).log10_lr == pytest.approx(0.0, abs=0.3)
    assert found.curve.log10_lrs(f64(0.6))[0] > 1.0


@pytest.mark.parametrize(
    ("mated", "nonmated", "why"),
    [
        (f64(0.5, 0.9), f64(0.1, 0.4), "do not overlap"),
        (f64(0.4, 0.9), f64(0.1, 0.4), "do not overlap"),
        (f64(0.1), f64(0.5, 0.6), "do not overlap"),
        (f64(0.5, 0.5), f64(0.5), "do not overlap"),
        (f64(0.1, 0.2, 0.5), f64(0.15, 0.6, 0.7), "not the more similar"),
    ],
)
def test_similarities_that_do_not_overlap_or_fall_have_no_logistic_curve(mated: F64, nonmated: F64, why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        fit_logistic(mated, nonmated)


def test_a_logistic_curve_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrators, "MAX_NEWTON_STEPS", 2)
    with pytest.raises(UndefinedRate, match="does not settle"):
        fit_logistic(*gaussians())


def test_steps_of_a_case_worked_by_hand() -> None:
    found = fit_steps(f64(0.4, 0.6, 0.8), f64(0.1, 0.2, 0.5))
    assert isinstance(found.curve, StepCurve)
    # Blocks: .1 and .2 (0 to 2), .4 and .5 (1 to 1), .6 and .8 (2 to 0), half of each added at both ends.
    assert found.curve.starts == (0.1, 0.4, 0.6)
    assert [10**level for level in found.curve.levels] == pytest.approx([0.5 / 2.5, 1.0, 2.5 / 0.5])
    divided = fit_steps(f64(0.5, 0.6), f64(0.1, 0.2))
    assert [10**level for level in divided.curve.log10_lrs(f64(0.1, 0.5))] == pytest.approx([0.2, 5.0])
    for mated, nonmated in ((f64(0.1), f64(0.5)), (f64(0.5), f64(0.5))):
        assert fit_steps(mated, nonmated).evidence(0.5).log10_lr == 0.0


def test_evidence_says_when_it_is_cut_off_and_when_it_is_beyond_the_comparisons() -> None:
    found = LrCalibrator(LogisticCurve(-2.0, 10.0), weakest=-1.5, strongest=2.0, lowest=-0.2, highest=0.7)
    inside, cut, beyond, below = (found.evidence(similarity) for similarity in (0.3, 0.7, 0.71, -0.3))
    assert (inside.log10_lr, inside.at_limit, inside.supported) == (1.0, False, True)
    assert (cut.log10_lr, cut.at_limit, cut.supported) == (2.0, True, True)
    assert (beyond.log10_lr, beyond.at_limit, beyond.supported) == (2.0, True, False)
    assert (below.log10_lr, below.at_limit, below.supported) == (-1.5, True, False)


OF_TWO = (cllr, min_cllr, fit_logistic, fit_steps)
OF_PROBABILITIES = (brier, log_loss, expected_calibration_error)
TRUE, LINE = np.array([True]), LogisticCurve(0.0, 1.0)
BAD: list[tuple[Callable[[], object], str]] = [
    *[(partial(of, f64(0.1, bad), f64(0.1)), "finite") for of in OF_TWO for bad in (nan, inf, -inf)],
    *[(partial(of, np.zeros((2, 2)), f64(0.0)), "f64") for of in OF_TWO],
    *[(partial(of, f64(bad), TRUE), r"\[0, 1\]") for of in OF_PROBABILITIES for bad in (-0.1, 1.1, nan)],
    *[(partial(of, f64(0.5), np.array([1])), "booleans") for of in OF_PROBABILITIES],
    *[(partial(of, np.array([1]), TRUE), "f64") for of in OF_PROBABILITIES],
    (partial(expected_calibration_error, f64(0.5), TRUE, bins=0), "one bin"),
    (partial(lr_calibration_error, f64(0.0), f64(0.0), bins=0), "one bin"),
    *[(partial(level_ratios, i64(1), i64(1), scale), "two levels, each once") for scale in ((1,), (1, 1))],
    (partial(level_ratios, i64(4), i64(1), SCALE), "not one of the levels"),
    *[(partial(ratio_ceiling, *counts), "counted from 0") for counts in ((-1, 10, 7), (10, 10, 1))],
    *[(partial(fit_logistic, f64(0.1, 0.5), f64(0.2, 0.4), prior), "prior") for prior in (0.0, 1.0, nan)],
    *[(partial(fit_steps(f64(0.5), f64(0.1)).evidence, bad), "finite") for bad in (nan, inf)],
    *[(partial(LogisticCurve, *line), "logistic curve") for line in ((nan, 1.0), (0.0, 0.0), (0.0, inf))],
    *[(partial(StepCurve, *steps), "one step") for steps in (((), ()), ((0.1,), (0.0, 1.0)))],
    *[(partial(StepCurve, pair, (0.0, 1.0)), "rise") for pair in ((0.1, 0.1), (0.2, 0.1), (0.0, inf))],
    *[(partial(StepCurve, (0.0, 1.0), pair), "rise") for pair in ((0.1, 0.1), (0.2, 0.1), (0.0, inf))],
    *[(partial(LrCalibrator, LINE, *ends, 0.0, 1.0), "enclose 0") for ends in ((0.1, 1.0), (-1.0, -0.1), (-inf, 1.0))],
    *[(partial(LrCalibrator, LINE, -1.0, 1.0, *ends), "lowest and a highest") for ends in ((1.0, 0.0), (nan, 1.0))],
]


@pytest.mark.parametrize(("ask", "why"), BAD)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        ask()
    assert not isinstance(refused.value, UndefinedRate)


UNDEFINED: list[tuple[Callable[[], object], str]] = [
    *[(partial(of, f64(), f64(0.1)), "one mated and one non-mated") for of in (*OF_TWO, lr_calibration_error)],
    *[(partial(of, f64(0.1), f64()), "one mated and one non-mated") for of in OF_TWO],
    *[(partial(of, f64(), TRUE[:0]), "no probabilities") for of in OF_PROBABILITIES],
    *[(partial(log_loss, f64(p), np.array([mated])), "infinite") for p, mated in ((1.0, False), (0.0, True))],
    (partial(level_ratios, i64(), i64(1), SCALE), "one mated"),
    (partial(ratio_ceiling, 0, 10), "one mated"),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_nothing_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        ask()


def test_certainties_that_were_right_cost_nothing() -> None:
    assert log_loss(f64(1.0, 0.0), np.array([True, False])) == 0.0
