"""The oracles of training: every figure of a trainee's report, computed once by hand and held to four decimals."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from fr_core.scoring.auc import auc_delong
from fr_core.scoring.differentials import max_to_min, ratios_to_geometric_mean
from fr_core.scoring.intervals import Rate, wilson_interval
from fr_core.scoring.likelihood import brier, cllr, expected_calibration_error, level_ratios, log_loss, ratio_ceiling
from fr_locales.messages import message
from fr_training.grading.kinds import list_figures
from fr_training.grading.rates import with_undecided
from fr_training.statistics.advice import Aided, automation_bias, misled
from fr_training.statistics.agreement import kappa, mcnemar
from fr_training.statistics.change import change_of_tests
from fr_training.statistics.item_response import eap, mle, offset_for, probability, update_difficulty
from fr_training.statistics.signal_detection import prevalence_ppv, sensitivity
from support.results import listed

LEVELS = (3, 2, 1, 0, -1, -2, -3)
RATED_MATED = [3, 3, 2, 2, 1, 0, -1, 3, 2, 1]
RATED_NONMATED = [-3, -2, -2, -1, 0, 1, -3, -1, -2, 2]
RASCH_B = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
RASCH_X = np.array([True, True, True, False, False])


def near(value: float, decimals: int = 4) -> object:
    """Equal after rounding to so many decimals."""
    return pytest.approx(value, abs=0.5 * 10**-decimals + 1e-9)


@pytest.mark.parametrize(
    ("hits", "false_alarms", "dprime", "criterion"),
    [(13, 4, 1.1577, 0.2128), (20, 0, 3.9615, 0.0), (16, 16, 0.0, -0.7916), (20, 6, 2.4780, -0.7418)],
)
def test_dprime_and_criterion(hits: int, false_alarms: int, dprime: float, criterion: float) -> None:
    found = sensitivity(hits, 20, false_alarms, 20)
    assert found.dprime.value == near(dprime)
    assert found.criterion.value == near(criterion)


def test_dprime_is_not_divided_by_n_and_a_half_too_many() -> None:
    found = sensitivity(9, 10, 2, 9)
    assert found.dprime.value == near(1.7713)
    z = NormalDist().inv_cdf
    buggy = z(9.5 / 11.5) - z(2.5 / 10.5)
    assert buggy == near(1.6513)
    assert abs(found.dprime.value - buggy) > 0.1


def test_area_with_delongs_error() -> None:
    found = auc_delong(np.array(RATED_MATED, dtype=np.float64), np.array(RATED_NONMATED, dtype=np.float64))
    assert found.value == near(0.89)
    assert found.standard_error == near(0.0709)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(34, 40, 0.7093, 0.9294), (0, 20, 0.0, 0.1611), (13, 20, 0.4329, 0.8188), (5, 20, 0.1119, 0.4687)],
)
def test_wilson(count: int, total: int, low: float, high: float) -> None:
    found = wilson_interval(count, total)
    assert (found.low, found.high) == (near(low), near(high))


def test_brier_log_loss_and_calibration_error() -> None:
    stated = np.array([0.95, 0.8, 0.6, 0.5, 0.3, 0.9, 0.1, 0.2, 0.4, 0.05])
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], dtype=np.bool_)
    assert brier(stated, truth) == near(0.1765)
    assert log_loss(stated, truth) == near(0.54338, 5)
    assert expected_calibration_error(stated, truth, bins=5) == near(0.28)


def test_cllr() -> None:
    mated, nonmated = np.array([100, 50, 10, 3, 0.5]), np.array([0.01, 0.1, 0.2, 0.5, 4])
    assert cllr(np.log10(mated), np.log10(nonmated)) == near(0.55022, 5)
    assert cllr(np.zeros(5), np.zeros(4)) == near(1.0)


def test_ratio_of_each_level() -> None:
    found = level_ratios(np.array(RATED_MATED), np.array(RATED_NONMATED), LEVELS)
    assert [one.level for one in found] == list(LEVELS)
    wanted = [7.0, 7 / 3, 5 / 3, 1.0, 0.6, 1 / 7, 0.2]  # 7, 2.333, 1.667, 1, .6, .143, .2
    assert [one.ratio for one in found] == [near(ratio) for ratio in wanted]


def test_ceiling_of_ratios() -> None:
    assert ratio_ceiling(10, 10) == near(21.0)
    best = level_ratios(np.full(10, 3), np.full(10, -3), LEVELS)
    assert best[0].ratio == near(21.0)


def test_candidate_lists() -> None:
    with_mate = ["candidate:0"] * 13 + ["candidate:1"] * 4 + ["none"] * 3
    without = ["candidate:0"] * 5 + ["none"] * 15
    lists = [listed(0, answer) for answer in with_mate] + [listed(None, answer) for answer in without]
    found = list_figures(lists).picks
    rates = [rate for rate in (found.right, found.false_alarms, found.foils) if isinstance(rate, Rate)]
    assert [rate.value for rate in rates] == [near(0.65), near(0.25), near(0.2)]


def test_inconclusive() -> None:
    found = with_undecided(15, 3, 20, message("none.lists"), message("undecided.lists"))
    rates = [rate for rate in (found.of_all, found.of_decided, found.coverage) if isinstance(rate, Rate)]
    assert [rate.value for rate in rates] == [near(0.15), near(0.1667), near(0.90)]


@pytest.mark.parametrize(("g", "theta", "sd"), [(0.0, 0.2471, 0.7041), (1 / 3, -0.0669, 0.8028)])
def test_ability_by_posterior(g: float, theta: float, sd: float) -> None:
    found = eap(RASCH_B, RASCH_X, g)
    assert (found.theta, found.sd) == (near(theta), near(sd))


def test_ability_by_likelihood() -> None:
    found = mle(RASCH_B, RASCH_X)
    assert (found.theta, found.sd) == (near(0.4545), near(0.9650))


def test_chance_of_a_right_answer() -> None:
    assert float(probability(0.0, 0.8, 1 / 3)) == near(0.5400)


@pytest.mark.parametrize(("power", "value"), [(1, 0.7895), (2, 0.9429)])
def test_weighted_kappa(power: int, value: float) -> None:
    first, second = np.array([3, 2, 1, 0, -1, -2, -3, 2]), np.array([2, 2, 1, -1, -1, -3, -3, 3])
    assert kappa(first, second, LEVELS, power).value == near(value)


def test_mcnemar() -> None:
    assert mcnemar(10, 2) == near(0.03857, 5)
    assert mcnemar(2, 10) == mcnemar(10, 2)


@pytest.mark.parametrize(("reliability", "points"), [(0.774, 9.83), (0.631, 12.56)])
def test_reliable_change(reliability: float, points: float) -> None:
    assert change_of_tests((8_000, 10_000), (9_000, 10_000), 7.46, reliability).needed == near(points, 2)


@pytest.mark.parametrize(("prevalence", "ppv"), [(0.5, 0.85), (0.1, 0.3864), (0.01, 0.0541)])
def test_prevalence(prevalence: float, ppv: float) -> None:
    assert prevalence_ppv(0.85, 0.15, prevalence) == near(ppv)


def test_demographic_ratios() -> None:
    rates = np.array([0.1, 0.2, 0.4])
    assert ratios_to_geometric_mean(rates).tolist() == [near(0.5), near(1.0), near(2.0)]
    assert max_to_min(rates) == near(4.0)


def test_automation_bias_of_somebody_healthy() -> None:
    """Answers that do not depend on the advice: the criterion is the same under both labels, and nobody is misled."""
    mated = np.tile([True, False], 20)
    aid_same = np.repeat([True, False], 20)
    ratings = np.where(mated, 2, -2)
    ratings[[0, 1, 20, 21]] *= -1  # the same errors under both labels
    found = automation_bias(Aided(ratings, ratings, mated, aid_same), np.random.default_rng(1))
    assert found.shift.criterion.value == near(0.0)
    assert found.shift.dprime.value == near(0.0)
    assert found.net.value == near(0.0)
    assert misled(Aided(ratings, ratings, mated, aid_same)).value == 0.0


def test_automation_bias_of_somebody_who_leans() -> None:
    """10 + 10 pairs under each label: H, F of .8, .4 told "same", of .6, .2 told "different"."""
    mated = np.tile(np.repeat([True, False], 10), 2)
    aid_same = np.repeat([True, False], 20)
    said_same = np.concatenate([np.arange(10) < count for count in (8, 4, 6, 2)])
    before = np.where(mated, 1, -1)
    found = automation_bias(Aided(before, np.where(said_same, 1, -1), mated, aid_same), np.random.default_rng(1))
    z = NormalDist().inv_cdf
    wanted = -(z(6.5 / 11) + z(2.5 / 11)) / 2 + (z(8.5 / 11) + z(4.5 / 11)) / 2
    assert found.shift.criterion.value == near(wanted)
    assert found.shift.dprime.value == near(0.0)
    wrong_advice = misled(Aided(before, np.where(said_same, 1, -1), mated, aid_same))
    assert (wrong_advice.count, wrong_advice.total) == (4 + 4, 20)


@pytest.mark.parametrize(
    ("target", "g", "offset"),
    [(0.75, 0.5, 0.0), (0.75, 1 / 3, 0.5108), (0.85, 0.5, 0.8473), (0.85, 1 / 3, 1.2368)],
)
def test_offset_for_a_target(target: float, g: float, offset: float) -> None:
    assert offset_for(target, g) == near(offset)
    assert float(probability(offset_for(target, g), 0.0, g)) == near(target)


def test_difficulty_after_people_answered() -> None:
    assert update_difficulty(1.0, 2.0, 10) == near(1.5)
    assert update_difficulty(1.0, 2.0, 0) == near(1.0)
    assert update_difficulty(0.4, -0.8, 5) == near(0.0)
