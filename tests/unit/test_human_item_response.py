"""Ability and difficulty: against direct sums, at their limits, and how well intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics.item_analysis import human_difficulty, item_figures
from fr_training.statistics.item_response import (
    closest,
    eap,
    information,
    mle,
    offset_for,
    probability,
    update_difficulty,
)

B = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
X = np.array([True, True, True, False, False])


def test_probability_has_guessing_as_its_floor() -> None:
    found = probability(np.array([-800.0, 0.0, 800.0]), 0.0, 1 / 3)
    assert found.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert float(probability(1.0, 0.0)) == pytest.approx(1 / (1 + np.exp(-1.0)))


@pytest.mark.parametrize("g", [0.0, 1 / 3, 0.5])
def test_information_is_the_squared_slope_over_the_variance(g: float) -> None:
    theta = np.linspace(-3, 3, 13)
    slope = (probability(theta + 1e-6, 0.4, g) - probability(theta - 1e-6, 0.4, g)) / 2e-6
    p = probability(theta, 0.4, g)
    assert information(theta, 0.4, g) == pytest.approx(slope**2 / (p * (1 - p)), rel=1e-6)


def test_without_answers_the_prior_comes_out() -> None:
    none = np.array([]), np.array([], dtype=np.bool_)
    found = eap(*none, mean=1.0, sd=0.5)
    assert found.theta == pytest.approx(1.0)
    assert found.sd == pytest.approx(0.5, abs=1e-3)
    assert [found.low, found.high] == pytest.approx([1 - 0.98, 1 + 0.98], abs=0.01)


def test_posterior_covers_what_it_says_over_the_prior() -> None:
    rng = np.random.default_rng(2)
    runs = 2000
    covered = 0
    off = []
    for _ in range(runs):
        theta, b = rng.normal(), rng.normal(size=40)
        found = eap(b, rng.random(40) < probability(theta, b, 0.5), 0.5)
        covered += found.low <= theta <= found.high
        off.append(found.theta - theta)
    assert 1871 <= covered <= 1929  # 1900, give or take 3 standard deviations of 9.7
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(runs)


def test_all_right_has_a_posterior_but_no_likeliest_ability() -> None:
    for x in (np.ones(5, dtype=np.bool_), np.zeros(5, dtype=np.bool_)):
        assert np.isfinite(eap(B, x).theta)
        with pytest.raises(UndefinedRate):
            mle(B, x)
    with pytest.raises(UndefinedRate):
        mle(np.array([]), np.array([], dtype=np.bool_))


def test_no_better_than_guessing_has_no_likeliest_ability() -> None:
    b = np.zeros(20)
    x = np.arange(20) < 6  # of pairs, half are right by guessing
    with pytest.raises(UndefinedRate, match="ability_guessing"):
        mle(b, x, 0.5)
    assert eap(b, x, 0.5).theta < -0.5


def test_guessing_may_differ_between_items() -> None:
    assert eap(B, X, np.full(5, 1 / 3)).theta == pytest.approx(eap(B, X, 1 / 3).theta)
    mixed = eap(B, X, np.array([0.5, 0.5, 0.5, 1 / 3, 1 / 3])).theta
    assert eap(B, X, 0.5).theta != mixed


def test_choosing_the_next_item() -> None:
    b = np.array([-1.0, 0.2, 0.4, 2.0])
    assert closest(b, 0.31) == 2
    assert closest(b, 0.3) in (1, 2)
    assert closest(np.array([1.0, 3.0]), 2.0) == 0
    theta = 1.0
    assert closest(b, theta - offset_for(0.75, 0.5)) == 2
    with pytest.raises(ValueError, match="at least one"):
        closest(np.array([]), 0.0)


def test_refused() -> None:
    with pytest.raises(ValueError, match="guessing"):
        probability(0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="between"):
        offset_for(0.5, 0.5)
    with pytest.raises(ValueError, match="between"):
        offset_for(1.0, 0.0)
    with pytest.raises(ValueError, match="booleans"):
        eap(B, X[:3])
    with pytest.raises(ValueError, match="finite"):
        eap(np.array([np.nan]), np.array([True]))
    with pytest.raises(ValueError, match="or as many"):
        eap(B, X, np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="prior"):
        eap(B, X, sd=0.0)
    with pytest.raises(ValueError, match="at least 0"):
        update_difficulty(0.0, 0.0, -1)
    assert [update_difficulty(*of) for of in ((1.0, 2.0, 10), (1.0, 2.0, 0), (0.4, -0.8, 5))] == pytest.approx(
        [1.5, 1, 0]
    )


def test_an_item_with_a_wrong_key_is_found() -> None:
    rng = np.random.default_rng(4)
    theta, b = rng.normal(size=200), rng.normal(size=30)
    answers = (rng.random((200, 30)) < probability(theta[:, None], b[None, :], 0.0)).astype(np.float64)
    answers[:, 7] = 1 - answers[:, 7]
    below = [place for place, one in enumerate(item_figures(answers)) if one.high is not None and one.high < 0.0]
    assert below == [7]


def test_the_item_itself_is_left_out_of_the_total() -> None:
    answers = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]], dtype=np.float64)
    found = item_figures(answers)[0]
    assert found.correlation == pytest.approx(np.corrcoef(answers[:, 0], answers[:, 1:].sum(axis=1))[0, 1])
    assert found.right is not None
    assert (found.right.count, found.right.total) == (3, 5)


def test_items_that_tell_nothing_have_no_correlation() -> None:
    answers = np.array([[1, 1, np.nan], [1, 0, np.nan], [1, 1, np.nan], [1, 0, np.nan], [1, 1, np.nan]])
    alike, constant_rest, unanswered = item_figures(answers)
    assert alike.correlation is None
    assert alike.note == message("undefined.answers_alike")
    assert constant_rest.correlation is None
    assert unanswered.right is None
    assert unanswered.people == 0
    assert unanswered.note == message("undefined.few_people", least=4)
    with pytest.raises(ValueError, match="0, 1 or NaN"):
        item_figures(np.array([[0.5]]))


def test_difficulty_from_peoples_answers() -> None:
    rng = np.random.default_rng(6)
    theta = rng.normal(size=2000)
    right = rng.random(2000) < probability(theta, 0.7, 0.5)
    found = human_difficulty(theta, right, 0.5)
    assert found.b == pytest.approx(0.7, abs=3 * found.sd)
    assert found.low < found.b < found.high
    assert found.sd < 0.15
    with pytest.raises(UndefinedRate):
        human_difficulty(np.zeros(5), np.ones(5, dtype=np.bool_))
