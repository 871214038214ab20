"""The statistics of opinions, of the machine and of many, and of signal detection."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from math import comb, isfinite

import numpy as np
import pytest

from fr_core.scoring.auc import auc
from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import UndefinedRate
from fr_training.statistics.advice import (
    Aided,
    PairedCounts,
    advice_gain,
    automation_bias,
    by_label,
    drawn_change,
    helped,
    misled,
)
from fr_training.statistics.decisions import signal_counts
from fr_training.statistics.estimates import Term, central_interval
from fr_training.statistics.fusion import GroupArea, fuse, fuse_with_machine, group_area
from fr_training.statistics.learning import cohort_curve, person_curve, stretches
from fr_training.statistics.signal_detection import (
    Sensitivity,
    difference,
    expected,
    prevalence_ppv,
    rates_of,
    sensitivity,
)
from support.results import defined


def crowd(people: int, items: int, dprime: float, seed: int) -> tuple[F64, Bools]:
    """Independent ratings from -3 to 3, half of the items mated."""
    rng = np.random.default_rng(seed)
    mated = np.arange(items) % 2 == 0
    seen = rng.normal(size=(people, items)) + np.where(mated, dprime / 2, -dprime / 2)
    return np.clip(np.round(2 * seen), -3, 3), mated


def area_of(ratings: F64, mated: Bools, size: int, seed: int = 0, most: int = 200, replicates: int = 1000) -> GroupArea:
    return group_area(ratings, mated, size, np.random.default_rng(seed), most_groups=most, replicates=replicates)


def test_groups_of_one_are_the_people_and_more_people_are_better() -> None:
    ratings, mated = crowd(6, 60, 1.2, 1)
    found = area_of(ratings, mated, 1)
    single = [auc(row[mated], row[~mated]) for row in ratings]
    assert found.area == pytest.approx(np.mean(single))
    assert (found.groups, found.every) == (6, True)
    assert found.low < found.area < found.high
    assert min(single) <= found.worst <= found.best <= max(single)
    ratings, mated = crowd(12, 80, 1.0, 3)
    areas = [area_of(ratings, mated, size, 1, 30) for size in (1, 2, 4, 8)]
    assert [one.area for one in areas] == sorted(one.area for one in areas)
    assert areas[3].area > areas[0].area + 0.1
    assert (areas[3].groups, areas[3].every) == (30, False)
    pairs = [ratings[list(group)].sum(axis=0) for group in combinations(range(12), 2)]
    every = area_of(ratings, mated, 2)
    assert (every.groups, every.every) == (66, True)
    assert every.area == pytest.approx(np.mean([auc(one[mated], one[~mated]) for one in pairs]))
    assert area_of(ratings, mated, 4, 1, 30) == areas[2] != area_of(ratings, mated, 4, 2, 30)


def test_areas_interval_covers_what_it_says() -> None:
    covered = 0
    large, mated = crowd(1, 200_000, 1.0, 9)
    true = auc(large[0][mated], large[0][~mated])
    for seed in range(200):
        ratings, mated = crowd(1, 60, 1.0, 100 + seed)
        found = area_of(ratings, mated, 1, seed, replicates=300)
        covered += found.low <= true <= found.high
    assert covered >= 0.90 * 200


def test_missing_ratings_are_left_out_and_machine_and_people_weigh_the_same() -> None:
    ratings, mated = crowd(2, 40, 1.5, 5)
    ratings[0, :4] = np.nan
    found = area_of(ratings, mated, 1)
    first = auc(ratings[0, 4:][mated[4:]], ratings[0, 4:][~mated[4:]])
    assert found.area == pytest.approx((first + auc(ratings[1][mated], ratings[1][~mated])) / 2)
    fused = np.nanmean(ratings, axis=0)
    assert area_of(ratings, mated, 2).area == pytest.approx(auc(fused[mated], fused[~mated]))
    ratings[0, :] = np.nan
    with pytest.raises(UndefinedRate, match="A group rated fewer than two"):
        area_of(ratings, mated, 1)
    nan = float("nan")
    assert fuse(np.array([[3.0, nan, 1.0], [-1.0, 2.0, 1.0]])).tolist() == [1.0, 2.0, 1.0]
    ratings = np.array([[3.0, -3.0, 1.0, -1.0], [1.0, -1.0, 3.0, -3.0]])
    similarities = np.array([0.4, 0.1, 0.2, 0.3])
    together = fuse_with_machine(ratings, similarities)
    assert together == pytest.approx(fuse_with_machine(7 * ratings, similarities / 3 + 2))
    assert float(together.mean()) == pytest.approx(0.0)
    people, machine = np.array([2.0, -2.0, 2.0, -2.0]), similarities
    by_hand = ((people - people.mean()) / people.std() + (machine - machine.mean()) / machine.std()) / 2
    assert together == pytest.approx(by_hand)


def test_curve_of_a_person() -> None:
    right = np.array([False] * 10 + [True, False] * 5 + [True] * 10)
    low, middle, high = person_curve(right, stretches(30, 10), np.random.default_rng(0))
    assert (low.right.count, middle.right.count, high.right.count) == (0, 5, 10)
    assert (middle.first, middle.last) == (10, 19)
    assert (low.band, high.band) == (None, None)
    band = defined(middle.band)
    assert (band.low, band.high) == pytest.approx((0.2, 0.8), abs=0.11)
    again = person_curve(right, stretches(30, 10), np.random.default_rng(0))
    assert again == (low, middle, high)


def test_bands_of_cohorts_know_that_people_differ_and_leave_unanswered_trials_out() -> None:
    """Half of the people are always right and half never: trials are many, but people are few."""
    right = np.repeat([[1.0], [0.0]], [6, 6], axis=0) * np.ones((1, 50))
    (point,) = cohort_curve(right, [(0, 50)], np.random.default_rng(0))
    assert point.right.value == 0.5
    band = defined(point.band)
    assert band.high - band.low > 3 * (point.right.interval.high - point.right.interval.low)
    right = np.array([[1.0, np.nan], [0.0, 1.0]])
    first, second = cohort_curve(right, [(0, 1), (1, 2)], np.random.default_rng(0))
    assert (first.right.count, first.right.total) == (1, 2)
    assert (second.right.count, second.right.total) == (1, 1)


def aided(cells: list[tuple[int, int, bool, bool, int]]) -> Aided:
    """Trials of (before, after, mated, advice "same", how many)."""
    rows = [row[:4] for row in cells for _ in range(row[4])]
    before, after, mated, aid = zip(*rows, strict=True)
    return Aided(np.array(before), np.array(after), np.array(mated), np.array(aid))


def test_switches_are_counted_where_they_could_happen() -> None:
    trials = aided(
        [
            (2, -1, True, False, 3),  # wrong advice talked the person out of being right
            (2, 0, True, False, 1),  # into doubt: not wrong
            (2, 1, True, False, 4),  # held
            (-1, -2, True, False, 5),  # wrong before already: not asked
            (-1, 1, True, True, 2),  # right advice helped
            (0, 1, True, True, 1),  # and out of doubt
            (-2, -2, True, True, 3),  # did not
            (1, -1, False, False, 4),  # helped
            (-1, 1, False, True, 2),  # misled
        ]
    )
    wrong, right = misled(trials), helped(trials)
    assert (wrong.count, wrong.total) == (3 + 2, 3 + 1 + 4 + 2)
    assert (right.count, right.total) == (2 + 1 + 4, 2 + 1 + 3 + 4)


def test_choice_of_pairs_is_told_from_leaning() -> None:
    """Wrong advice comes with harder pairs: the criterion differs by label before the advice as well as after."""
    cells = [
        (1, 1, True, True, 18),
        (-1, -1, True, True, 2),
        (1, 1, False, True, 9),
        (-1, -1, False, True, 3),
        (1, 1, True, False, 4),
        (-1, -1, True, False, 8),
        (-1, -1, False, False, 18),
        (1, 1, False, False, 2),
    ]
    labels, net = by_label(aided(cells)), automation_bias(aided(cells), np.random.default_rng(0))
    assert labels.shift.criterion.low > 0.3
    assert labels.shift_before.criterion == labels.shift.criterion
    assert net.value == 0.0
    assert net.low < 0.0 < net.high < 0.8


def test_net_shift_covers_what_it_says() -> None:
    rng = np.random.default_rng(7)
    mated = np.tile(np.repeat([True, False], 20), 2)
    aid = np.repeat([True, False], 40)
    runs, shift, covered = 60, 0.5, 0
    for _ in range(runs):
        seen = rng.normal(size=80) + np.where(mated, 0.9, -0.9)
        again = 0.6 * (seen - np.where(mated, 0.9, -0.9)) + 0.8 * rng.normal(size=80) + np.where(mated, 0.9, -0.9)
        after = np.where(again > np.where(aid, -shift / 2, shift / 2), 1, -1)
        found = automation_bias(Aided(np.where(seen > 0, 1, -1), after, mated, aid), rng, draws=500)
        covered += found.low <= shift <= found.high
    assert covered >= 0.88 * runs


def test_gain_of_advice() -> None:
    told = [(-1, 1, True, True, 6), (1, 1, True, True, 14), (-1, -1, False, False, 15), (1, -1, False, False, 5)]
    gain = advice_gain(aided(told), np.random.default_rng(0))
    assert gain.before == sensitivity(14, 20, 5, 20)
    assert gain.after == sensitivity(20, 20, 0, 20)
    assert gain.dprime.value == pytest.approx(gain.after.dprime.value - gain.before.dprime.value)
    assert gain.dprime.low > 0.5
    assert gain.criterion.low < 0.0 < gain.criterion.high


def test_drawn_posterior_is_that_of_each_answer_alone() -> None:
    """With nothing called "same" twice, the change still has the marginal posteriors of before and after."""
    rng = np.random.default_rng(0)
    drawn = drawn_change([(1.0, PairedCounts(0, 10, 10, 0))], rng, 40_000)
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.02)
    alone = central_interval([Term(1.0, 10, 20), Term(-1.0, 10, 20)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    # before and after are opposite here, so that the change scatters by more than two independent answers: by root two
    assert high - low == pytest.approx((alone[1] - alone[0]) * np.sqrt(2), rel=0.1)


def outcomes(trials: int, share: float) -> F64:
    """f64[trials + 1]: how likely each count is."""
    return np.array([comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)])


def within(true: float, ends: F64) -> Bools:
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

    def weights(self, dprime: float, criterion: float) -> F64:
        hit_rate, false_rate = rates_of(dprime, criterion)
        return np.outer(outcomes(self.mated, hit_rate), outcomes(self.nonmated, false_rate))

    def coverage(self, people: list[tuple[float, float]]) -> tuple[float, float]:
        """Mean coverage of d' and of c over people of some true d' and c."""
        of_dprime = np.array([[(s.dprime.low, s.dprime.high) for s in row] for row in self.all])
        of_criterion = np.array([[(s.criterion.low, s.criterion.high) for s in row] for row in self.all])
        covered = np.zeros(2)
        for dprime, criterion in people:
            weights = self.weights(dprime, criterion)
            covered += [
                (weights * within(d, ends)).sum() for d, ends in ((dprime, of_dprime), (criterion, of_criterion))
            ]
        return float(covered[0]) / len(people), float(covered[1]) / len(people)


@pytest.fixture(scope="module")
def twenty() -> Enumerated:
    return Enumerated(20, 20)


def some_people() -> list[tuple[float, float]]:
    rng = np.random.default_rng(3)
    dprimes = np.clip(rng.normal(1.8, 0.6, 300), 0.0, None).tolist()
    return list(zip(dprimes, rng.normal(0.0, 0.35, 300).tolist(), strict=True))


def test_intervals_cover_what_they_say_and_standard_errors_are_how_estimates_scatter(twenty: Enumerated) -> None:
    of_dprime, of_criterion = twenty.coverage(some_people())
    assert 0.94 < of_dprime < 0.96
    assert 0.94 < of_criterion < 0.96
    people = some_people()[:100]
    squares = np.array([[s.dprime.standard_error**2 for s in row] for row in twenty.all])
    claimed = np.mean([(twenty.weights(d, c) * squares).sum() for d, c in people])
    true = np.mean([expected(d, c, 20, 20).dprime_sd ** 2 for d, c in people])
    assert claimed == pytest.approx(true, rel=0.06)


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
    rounded = expected(90.0, 0.0, 10, 10)  # its rates round to 0 and 1
    assert rounded.dprime == pytest.approx(sensitivity(10, 10, 0, 10).dprime.value)
    assert rounded.dprime_sd == pytest.approx(0.0, abs=1e-9)


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


@pytest.mark.nightly
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


@pytest.mark.parametrize("counts", [(3, 2, 0, 1), (-1, 2, 0, 1), (1, 2, 2, 1), (0, -1, 0, 1)])
def test_ratings_are_counted_and_counts_that_are_no_share_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no share"):
        sensitivity(*counts)
    ratings = np.array([3, 1, 0, -1, -3, -2, 0, 0, 1, 2])
    counted = signal_counts(ratings, np.arange(10) < 4)
    assert (counted.hits, counted.mated, counted.false_alarms, counted.nonmated) == (2, 4, 2, 6)


RNG = np.random.default_rng(0)
HALF, HEALTHY = np.arange(10) % 2 == 0, [(1, 1, True, True, 3), (-1, -1, False, False, 3)]
UNDEFINED: list[tuple[Callable[[], object], str]] = [
    (partial(fuse, np.array([[1.0, np.nan]])), "An item that nobody rated has"),
    (partial(fuse, np.zeros((0, 3))), "Without a rater there is no"),
    (partial(area_of, np.where(HALF, 3.0, -3.0)[None, :], HALF, 1), "All resamples agree, so they cannot"),
    (partial(area_of, np.where(HALF, 3.0, -3.0)[None, :], np.arange(10) == 0, 1), "An area with an interval needs"),
    (partial(fuse_with_machine, np.ones((2, 4)) * [1, 2, 3, 4], np.full(4, 0.5)), "Where all are equal, there is"),
    (partial(cohort_curve, np.full((2, 2), np.nan), [(0, 2)], RNG), ""),
    (partial(cohort_curve, np.zeros((0, 2)), [(0, 2)], RNG), ""),
    (partial(stretches, 0, 5), ""),
    (partial(misled, aided(HEALTHY)), "Advice could not have changed"),
    (partial(helped, aided(HEALTHY)), "Advice could not have changed"),
    (partial(automation_bias, aided([(1, 1, True, True, 3), (-1, -1, False, True, 3)]), RNG), ""),
    (partial(sensitivity, 0, 0, 1, 2), ""),
    (partial(sensitivity, 1, 2, 0, 0), ""),
    (partial(expected, 1.0, 0.0, 0, 5), ""),
    (partial(prevalence_ppv, 0.0, 0.0, 0.5), ""),
    (partial(prevalence_ppv, 0.5, 0.0, 0.0), ""),
    (partial(signal_counts, np.array([1, 2]), np.array([True, True])), ""),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_too_little_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why or None):
        ask()
