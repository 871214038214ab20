"""d' and the criterion: known values, undefined ones, and intervals that cover what they say they cover."""

from __future__ import annotations

from math import comb, inf, isfinite
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_training.statistics.decisions import signal_counts
from fr_training.statistics.signal_detection import (
    Sensitivity,
    difference,
    expected,
    prevalence_ppv,
    rates_of,
    sensitivity,
)


def outcomes(trials: int, share: float) -> npt.NDArray[np.float64]:
    """f64[trials + 1]: how likely each count is."""
    return np.array([comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)])


def within(true: float, ends: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """bool[...]: whether each interval, ends in the last axis, holds the true value."""
    return np.asarray((ends[..., 0] <= true) & (true <= ends[..., 1]))


class Enumerated:
    """Every outcome of n + m trials, as `sensitivity` answers it."""

    def __init__(self, mated: int, nonmated: int) -> None:
        self.mated, self.nonmated = mated, nonmated
        self.all: list[list[Sensitivity]] = [
            [sensitivity(hits, mated, false_alarms, nonmated) for false_alarms in range(nonmated + 1)]
            for hits in range(mated + 1)
        ]

    def weights(self, dprime: float, criterion: float) -> npt.NDArray[np.float64]:
        hit_rate, false_rate = rates_of(dprime, criterion)
        return np.outer(outcomes(self.mated, hit_rate), outcomes(self.nonmated, false_rate))

    def coverage(self, people: list[tuple[float, float]]) -> tuple[float, float]:
        """Mean coverage of d' and of c over people of some true d' and c."""
        of_dprime = np.array([[(s.dprime.low, s.dprime.high) for s in row] for row in self.all])
        of_criterion = np.array([[(s.criterion.low, s.criterion.high) for s in row] for row in self.all])
        found = []
        for dprime, criterion in people:
            weights = self.weights(dprime, criterion)
            found.append(
                (
                    float((weights * within(dprime, of_dprime)).sum()),
                    float((weights * within(criterion, of_criterion)).sum()),
                )
            )
        means = np.mean(found, axis=0)
        return float(means[0]), float(means[1])


@pytest.fixture(scope="module")
def twenty() -> Enumerated:
    return Enumerated(20, 20)


def some_people() -> list[tuple[float, float]]:
    rng = np.random.default_rng(3)
    return list(
        zip(
            np.clip(rng.normal(1.8, 0.6, 300), 0.0, None).tolist(),
            rng.normal(0.0, 0.35, 300).tolist(),
            strict=True,
        )
    )


def test_intervals_cover_what_they_say(twenty: Enumerated) -> None:
    of_dprime, of_criterion = twenty.coverage(some_people())
    assert 0.94 < of_dprime < 0.96
    assert 0.94 < of_criterion < 0.96


def test_the_normal_interval_would_not_do(twenty: Enumerated) -> None:
    """The control: the interval of Gourevitch and Galanter (1967) covers too much of the criterion."""
    normal = NormalDist()
    shares = [(count + 0.5) / 21 for count in range(21)]
    z = np.array([normal.inv_cdf(share) for share in shares])
    variance = np.array([share * (1 - share) / 20 / normal.pdf(normal.inv_cdf(share)) ** 2 for share in shares])
    value = -(z[:, None] + z[None, :]) / 2
    margin = 1.959964 * np.sqrt(variance[:, None] + variance[None, :]) / 2
    ends = np.stack([value - margin, value + margin], axis=-1)
    covered = np.mean([(twenty.weights(d, c) * within(c, ends)).sum() for d, c in some_people()])
    assert covered > 0.965


@pytest.mark.parametrize(("dprime", "criterion"), [(0.0, 0.0), (1.0, -0.5), (1.8, 0.0), (3.0, 0.4)])
def test_expected_is_the_mean_of_all_outcomes(twenty: Enumerated, dprime: float, criterion: float) -> None:
    weights = twenty.weights(dprime, criterion)
    d = np.array([[s.dprime.value for s in row] for row in twenty.all])
    c = np.array([[s.criterion.value for s in row] for row in twenty.all])
    found = expected(dprime, criterion, 20, 20)
    assert found.dprime == pytest.approx((weights * d).sum(), abs=1e-12)
    assert found.criterion == pytest.approx((weights * c).sum(), abs=1e-12)
    assert found.dprime_sd == pytest.approx(np.sqrt((weights * (d - found.dprime) ** 2).sum()), abs=1e-12)
    assert found.criterion_sd == pytest.approx(np.sqrt((weights * (c - found.criterion) ** 2).sum()), abs=1e-12)


def test_standard_error_is_how_estimates_scatter(twenty: Enumerated) -> None:
    people = some_people()[:100]
    squares = np.array([[s.dprime.standard_error**2 for s in row] for row in twenty.all])
    claimed = np.mean([(twenty.weights(d, c) * squares).sum() for d, c in people])
    true = np.mean([expected(d, c, 20, 20).dprime_sd ** 2 for d, c in people])
    assert claimed == pytest.approx(true, rel=0.06)


@pytest.mark.parametrize(
    ("hits", "mated", "false_alarms", "nonmated"),
    [(0, 1, 1, 1), (20, 20, 0, 20), (0, 20, 20, 20), (999_999, 1_000_000, 0, 1), (17_000, 20_000, 3_000, 20_000)],
)
def test_extremes_are_finite(hits: int, mated: int, false_alarms: int, nonmated: int) -> None:
    found = sensitivity(hits, mated, false_alarms, nonmated)
    for one in (found.dprime, found.criterion):
        assert isfinite(one.low)
        assert isfinite(one.high)
        assert one.low < one.value < one.high
        assert one.standard_error > 0.0


def test_intervals_of_differences_cover_what_they_say() -> None:
    rng = np.random.default_rng(5)
    shift = 0.5
    covered = [0, 0]
    runs = 300
    for _ in range(runs):
        dprime, criterion = rng.normal(1.8, 0.4), rng.normal(0.0, 0.3)
        parts = []
        for sign in (0.5, -0.5):
            hit_rate, false_rate = rates_of(dprime, criterion + sign * shift)
            parts.append(sensitivity(int(rng.binomial(20, hit_rate)), 20, int(rng.binomial(20, false_rate)), 20))
        found = difference(*parts)
        covered[0] += found.dprime.low <= 0.0 <= found.dprime.high
        covered[1] += found.criterion.low <= shift <= found.criterion.high
    # 95 % of 300 is 285, give or take 3 standard deviations of 3.8
    assert 274 <= covered[0] <= 296
    assert 274 <= covered[1] <= 296


def test_undefined_and_refused() -> None:
    with pytest.raises(UndefinedRate):
        sensitivity(0, 0, 1, 2)
    with pytest.raises(UndefinedRate):
        sensitivity(1, 2, 0, 0)
    with pytest.raises(UndefinedRate):
        expected(1.0, 0.0, 0, 5)
    for counts in [(3, 2, 0, 1), (-1, 2, 0, 1), (1, 2, 2, 1), (0, -1, 0, 1)]:
        with pytest.raises(ValueError, match="no share"):
            sensitivity(*counts)
    with pytest.raises(ValueError, match="finite"):
        rates_of(inf, 0.0)
    with pytest.raises(UndefinedRate):
        prevalence_ppv(0.0, 0.0, 0.5)
    with pytest.raises(UndefinedRate):
        prevalence_ppv(0.5, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        prevalence_ppv(0.5, 1.5, 0.5)


def test_rates_that_round_to_the_ends_are_expected_all_the_same() -> None:
    found = expected(90.0, 0.0, 10, 10)
    assert found.dprime == pytest.approx(sensitivity(10, 10, 0, 10).dprime.value)
    assert found.dprime_sd == pytest.approx(0.0, abs=1e-9)


def test_ratings_are_counted_and_checked() -> None:
    ratings = np.array([3, 1, 0, -1, -3, -2, 0, 0, 1, 2])
    mated = np.array([True] * 4 + [False] * 6)
    counts = signal_counts(ratings, mated)
    assert (counts.hits, counts.mated, counts.false_alarms, counts.nonmated) == (2, 4, 2, 6)
    with pytest.raises(UndefinedRate):
        signal_counts(np.array([1, 2]), np.array([True, True]))
    with pytest.raises(ValueError, match="i64"):
        signal_counts(np.array([1.0, 2.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="booleans"):
        signal_counts(np.array([1, 2]), np.array([True]))
