"""From similarity to likelihood ratio: both curves, the limits of what they may state, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log10, nan

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring import calibrators
from fr_core.scoring.calibrators import (
    LogisticCurve,
    LrCalibrator,
    StepCurve,
    fit_logistic,
    fit_steps,
    supported_limits,
)
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import cllr, min_cllr

F64 = npt.NDArray[np.float64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


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


def test_the_number_of_comparisons_of_a_kind_does_not_move_the_logistic_curve() -> None:
    mated, nonmated = gaussians()
    once, often = fit_logistic(mated, nonmated), fit_logistic(mated, np.tile(nonmated, 3))
    assert (once.curve.log10_lrs(mated)) == pytest.approx(often.curve.log10_lrs(mated), abs=1e-6)


def test_a_logistic_curve_of_a_case_worked_by_hand() -> None:
    # Mated: 1 of 4 at 0, 3 of 4 at 1; non-mated the other way round. LR is 1/3 at 0 and 3 at 1, which a line can say.
    found = fit_logistic(f64(0, 1, 1, 1), f64(1, 0, 0, 0))
    assert isinstance(found.curve, LogisticCurve)
    assert (found.curve.intercept, found.curve.slope) == pytest.approx((-log10(3), 2 * log10(3)))


def test_the_prior_of_a_logistic_curve_is_not_in_its_ratios() -> None:
    mated, nonmated = f64(0, 1, 1, 1), f64(1, 0, 0, 0)
    assert fit_logistic(mated, nonmated, prior=0.01).curve.log10_lrs(f64(0, 1)) == pytest.approx([-log10(3), log10(3)])


def test_the_logistic_curve_finds_a_steep_slope() -> None:
    # One pair in a hundred overlaps, by a hair.
    mated = np.append(np.linspace(0.5, 0.9, 99), 0.4999)
    nonmated = np.append(np.linspace(0.0, 0.4998, 99), 0.5001)
    found = fit_logistic(mated, nonmated)
    assert found.evidence(0.5).log10_lr == pytest.approx(0.0, abs=0.3)
    assert found.curve.log10_lrs(f64(0.6))[0] > 1.0


@pytest.mark.parametrize(
    ("mated", "nonmated"),
    [((0.5, 0.9), (0.1, 0.4)), ((0.4, 0.9), (0.1, 0.4)), ((0.1,), (0.5, 0.6)), ((0.5, 0.5), (0.5,))],
)
def test_similarities_that_do_not_overlap_have_no_logistic_curve(
    mated: tuple[float, ...], nonmated: tuple[float, ...]
) -> None:
    with pytest.raises(UndefinedRate, match="do not overlap"):
        fit_logistic(f64(*mated), f64(*nonmated))


def test_similarities_that_fall_have_no_logistic_curve() -> None:
    with pytest.raises(UndefinedRate, match="not the more similar"):
        fit_logistic(f64(0.1, 0.2, 0.5), f64(0.15, 0.6, 0.7))


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


def test_steps_hold_from_their_start_up_to_the_next() -> None:
    curve = StepCurve((0.2, 0.5), (-1.0, 1.0))
    assert curve.log10_lrs(f64(-1.0, 0.2, 0.49, 0.5, 2.0)).tolist() == [-1.0, -1.0, -1.0, 1.0, 1.0]


def test_steps_take_what_does_not_overlap_and_what_says_nothing() -> None:
    divided = fit_steps(f64(0.5, 0.6), f64(0.1, 0.2))
    assert [10**level for level in divided.curve.log10_lrs(f64(0.1, 0.5))] == pytest.approx([0.2, 5.0])
    for mated, nonmated in ((f64(0.1), f64(0.5)), (f64(0.5), f64(0.5))):
        assert fit_steps(mated, nonmated).evidence(0.5).log10_lr == 0.0


def test_steps_stay_rising_where_one_kind_is_rare() -> None:
    for mated, nonmated in ((np.linspace(0, 1, 500), f64(0.3)), (f64(0.3), np.linspace(0, 1, 500))):
        levels = fit_steps(mated, nonmated).curve.log10_lrs(np.linspace(-1, 2, 100))
        assert (np.diff(levels) >= 0).all()
        assert np.isfinite(levels).all()


@pytest.mark.parametrize("fit", [fit_logistic, fit_steps])
def test_calibration_needs_both_kinds_and_finite_numbers(fit: Callable[..., LrCalibrator]) -> None:
    for mated, nonmated in ((f64(), f64(0.1)), (f64(0.1), f64())):
        with pytest.raises(UndefinedRate, match="one mated and one non-mated"):
            fit(mated, nonmated)
    with pytest.raises(ValueError, match="finite"):
        fit(f64(0.1, nan), f64(0.1))


@pytest.mark.parametrize("prior", [0.0, 1.0, nan])
def test_a_prior_lies_between_0_and_1(prior: float) -> None:
    with pytest.raises(ValueError, match="prior"):
        fit_logistic(f64(0.1, 0.5), f64(0.2, 0.4), prior)


# --- limits -------------------------------------------------------------------------------------------------


def test_no_ratio_exceeds_what_the_number_of_comparisons_supports() -> None:
    # Far apart: the curve alone would claim far more than the 50 comparisons of a kind.
    weakest, strongest = supported_limits(np.full(50, 30.0), np.full(50, -30.0))
    assert 10**strongest == pytest.approx(50)  # (50 + 1) * 50 / (50 + 1)
    assert 10**weakest == pytest.approx(1 / 50)


def test_misleading_evidence_lowers_the_limit() -> None:
    mated, nonmated = np.full(1000, 30.0), np.full(1000, -30.0)
    nonmated[:9] = 4.0
    # 10 of 1001 non-mated comparisons, the added one included, are stated to be 10^4 or more.
    assert 10 ** supported_limits(mated, nonmated)[1] == pytest.approx(100, rel=0.01)


def test_what_is_not_borne_out_at_once_is_not_stated() -> None:
    assert supported_limits(np.full(9, 1.0), np.full(1, 1.0)) == (0.0, 0.0)
    assert supported_limits(np.zeros(5), np.zeros(5)) == (0.0, 0.0)


def test_evidence_says_when_it_is_cut_off_and_when_it_is_beyond_the_comparisons() -> None:
    found = LrCalibrator(LogisticCurve(-2.0, 10.0), weakest=-1.5, strongest=2.0, lowest=-0.2, highest=0.7)
    inside, cut, beyond, below = (found.evidence(similarity) for similarity in (0.3, 0.7, 0.71, -0.3))
    assert (inside.log10_lr, inside.at_limit, inside.supported) == (1.0, False, True)
    assert (cut.log10_lr, cut.at_limit, cut.supported) == (2.0, True, True)
    assert (beyond.log10_lr, beyond.at_limit, beyond.supported) == (2.0, True, False)
    assert (below.log10_lr, below.at_limit, below.supported) == (-1.5, True, False)


def test_a_similarity_that_is_no_number_is_no_evidence() -> None:
    found = fit_steps(f64(0.5), f64(0.1))
    for bad in (nan, inf):
        with pytest.raises(ValueError, match="finite"):
            found.evidence(bad)


def test_a_curve_or_limits_that_contradict_themselves_are_refused() -> None:
    for intercept, slope in ((nan, 1.0), (0.0, 0.0), (0.0, inf)):
        with pytest.raises(ValueError, match="logistic curve"):
            LogisticCurve(intercept, slope)
    for starts, levels in (((), ()), ((0.1,), (0.0, 1.0))):
        with pytest.raises(ValueError, match="one step"):
            StepCurve(starts, levels)
    for pair in ((0.1, 0.1), (0.2, 0.1), (0.0, inf)):
        with pytest.raises(ValueError, match="rise"):
            StepCurve(pair, (0.0, 1.0))
        with pytest.raises(ValueError, match="rise"):
            StepCurve((0.0, 1.0), pair)
    curve = LogisticCurve(0.0, 1.0)
    for weakest, strongest in ((0.1, 1.0), (-1.0, -0.1), (-inf, 1.0)):
        with pytest.raises(ValueError, match="enclose 0"):
            LrCalibrator(curve, weakest, strongest, 0.0, 1.0)
    for lowest, highest in ((1.0, 0.0), (nan, 1.0)):
        with pytest.raises(ValueError, match="lowest and a highest"):
            LrCalibrator(curve, -1.0, 1.0, lowest, highest)
