"""The oracles of training: every figure of a trainee's report, computed once by hand and held to four decimals."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from fr_training.statistics.advice import Aided, automation_bias, misled
from fr_training.statistics.change import change_of_tests
from fr_training.statistics.item_response import eap, mle, offset_for, probability
from fr_training.statistics.signal_detection import prevalence_ppv, sensitivity

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


@pytest.mark.parametrize(("g", "theta", "sd"), [(0.0, 0.2471, 0.7041), (1 / 3, -0.0669, 0.8028)])
def test_ability_by_posterior(g: float, theta: float, sd: float) -> None:
    found = eap(RASCH_B, RASCH_X, g)
    assert (found.theta, found.sd) == (near(theta), near(sd))


def test_ability_by_likelihood() -> None:
    found = mle(RASCH_B, RASCH_X)
    assert (found.theta, found.sd) == (near(0.4545), near(0.9650))


@pytest.mark.parametrize(("reliability", "points"), [(0.774, 9.83), (0.631, 12.56)])
def test_reliable_change(reliability: float, points: float) -> None:
    assert change_of_tests((8_000, 10_000), (9_000, 10_000), 7.46, reliability).needed == near(points, 2)


@pytest.mark.parametrize(("prevalence", "ppv"), [(0.5, 0.85), (0.1, 0.3864), (0.01, 0.0541)])
def test_prevalence(prevalence: float, ppv: float) -> None:
    assert prevalence_ppv(0.85, 0.15, prevalence) == near(ppv)


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
    ("target", "g", "offset"), [(0.75, 0.5, 0.0), (0.75, 1 / 3, 0.5108), (0.85, 0.5, 0.8473), (0.85, 1 / 3, 1.2368)]
)
def test_offset_for_a_target(target: float, g: float, offset: float) -> None:
    assert offset_for(target, g) == near(offset)
    assert float(probability(offset_for(target, g), 0.0, g)) == near(target)
