"""Agreement, change and differences of shares: published examples, limits, and what is undefined."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_core.types import I64
from fr_training.statistics.agreement import icc_agreement, icc_consistency, kappa
from fr_training.statistics.change import Verdict, change_of_tests, percentile_in, percentile_of_norm
from fr_training.statistics.estimates import difference_of_rates

LEVELS = (-3, -2, -1, 0, 1, 2, 3)
# P. E. Shrout and J. L. Fleiss (1979), table 2: six targets, four judges
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=np.float64
)


def test_intraclass_correlations_of_the_published_example() -> None:
    agreement, consistency = icc_agreement(JUDGES), icc_consistency(JUDGES)
    assert agreement.value == pytest.approx(0.29, abs=0.005)
    assert consistency.value == pytest.approx(0.71, abs=0.005)
    assert [agreement.low, agreement.high] == pytest.approx([0.019, 0.761], abs=5e-4)
    assert [consistency.low, consistency.high] == pytest.approx([0.342, 0.946], abs=5e-4)
    assert (agreement.subjects, agreement.raters) == (6, 4)


def test_intraclass_undefined() -> None:
    with pytest.raises(UndefinedRate, match="intraclass"):
        icc_agreement(np.zeros((1, 2)))
    with pytest.raises(UndefinedRate, match="scores_without_error"):
        icc_consistency(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    with pytest.raises(UndefinedRate, match="scores_without_error"):
        icc_agreement(np.ones((4, 2)))
    with pytest.raises(ValueError, match="finite"):
        icc_agreement(np.array([[1.0, np.nan], [2.0, 1.0]]))


def test_kappas_interval_covers_what_it_says() -> None:
    """Two people who rate 100 pairs, each the truth or a neighbour of it; the true kappa is that of very many pairs."""
    rng = np.random.default_rng(3)

    def rated(n: int) -> tuple[I64, I64]:
        truth = rng.integers(-3, 4, n)
        first, second = (np.clip(truth + rng.integers(-1, 2, n), -3, 3) for _ in range(2))
        return first, second

    true = kappa(*rated(400_000), LEVELS, 2).value
    runs = 500
    found = [kappa(*rated(100), LEVELS, 2) for _ in range(runs)]
    covered = sum(one.low <= true <= one.high for one in found)
    assert covered >= 0.91 * runs
    scatter = float(np.std([one.value for one in found]))
    assert float(np.mean([one.standard_error for one in found])) == pytest.approx(scatter, rel=0.15)


def test_kappa_undefined_and_refused() -> None:
    with pytest.raises(UndefinedRate):
        kappa(np.array([], dtype=np.int64), np.array([], dtype=np.int64), LEVELS, 1)
    with pytest.raises(UndefinedRate, match="one_level"):
        kappa(np.array([2, 2]), np.array([2, 2]), LEVELS, 1)
    with pytest.raises(ValueError, match="levels of the scale"):
        kappa(np.array([4]), np.array([2]), LEVELS, 1)
    with pytest.raises(ValueError, match="each once"):
        kappa(np.array([1]), np.array([1]), (1, 1), 1)
    with pytest.raises(ValueError, match="i64"):
        kappa(np.array([1, 2]), np.array([1]), LEVELS, 1)


def test_percentiles() -> None:
    assert percentile_of_norm(82.9, 82.9, 7.46) == pytest.approx(50.0)
    assert percentile_of_norm(82.9 + 1.959964 * 7.46, 82.9, 7.46) == pytest.approx(97.5)
    cohort = np.array([60.0, 70.0, 70.0, 80.0])
    assert percentile_in(70.0, cohort) == pytest.approx(50.0)
    assert percentile_in(80.0, cohort) == pytest.approx(100 - 50 / 4)
    assert percentile_in(60.0, cohort) == pytest.approx(50 / 4)
    assert percentile_in(10.0, cohort) == 0.0
    with pytest.raises(UndefinedRate):
        percentile_in(70.0, np.array([]))
    with pytest.raises(ValueError, match="finite"):
        percentile_in(float("nan"), cohort)
    with pytest.raises(ValueError, match="above 0"):
        percentile_of_norm(1.0, 1.0, 0.0)


def test_difference_of_shares_of_the_published_examples() -> None:
    """R. G. Newcombe (1998), table II, method 10."""
    for counts, low, high in [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ]:
        found = difference_of_rates(*counts)
        assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)
    with pytest.raises(UndefinedRate):
        difference_of_rates(0, 0, 1, 2)


@pytest.mark.parametrize("pairs", [20, 40, 80])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.81, 0.9, 0.97])
def test_of_people_who_do_not_change_about_one_in_twenty_at_most_is_said_to_have(pairs: int, share: float) -> None:
    chances = [comb(pairs, right) * share**right * (1 - share) ** (pairs - right) for right in range(pairs + 1)]
    said = sum(
        chances[before] * chances[after]
        for before in range(pairs + 1)
        for after in range(pairs + 1)
        if change_of_tests((before, pairs), (after, pairs), 7.46, 0.774).verdict != Verdict.NO_RELIABLE_CHANGE
    )
    assert said < 0.06


def test_a_change_of_long_tests_is_judged_by_the_published_test() -> None:
    found = change_of_tests((800, 1000), (900, 1000), 7.46, 0.774)
    assert found.needed == pytest.approx(9.83, abs=0.005)
    assert found.points == pytest.approx(10.0)
    assert found.index == pytest.approx(10.0 * 1.959964 / found.needed)
    assert found.verdict == Verdict.BETTER
    assert change_of_tests((900, 1000), (800, 1000), 7.46, 0.774).verdict == Verdict.WORSE


@pytest.mark.parametrize(("before", "after"), [((1, 0), (1, 2)), ((3, 2), (1, 2)), ((1, 2), (-1, 2)), ((0, 0), (1, 2))])
def test_scores_of_tests_that_cannot_be_are_refused(before: tuple[int, int], after: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="are no score"):
        change_of_tests(before, after, 7.46, 0.774)


@pytest.mark.parametrize(("sd", "reliability"), [(0.0, 0.5), (-1.0, 0.5), (1.0, 1.0), (1.0, -0.1)])
def test_a_spread_or_reliability_out_of_range_is_refused(sd: float, reliability: float) -> None:
    with pytest.raises(ValueError, match="SD"):
        change_of_tests((1, 2), (1, 2), sd, reliability)
