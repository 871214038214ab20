"""Differences between groups, and the resampling of people that says how sure a figure is."""

import time
from collections.abc import Callable
from functools import partial
from math import nan, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.errors import CallEnded
from fr_core.scoring.bootstrap import (
    Statistic,
    fmr_by_people,
    fmr_statistic,
    fnmr_at_fmr_statistic,
    subject_bootstrap,
    threshold_statistic,
)
from fr_core.scoring.checks import F64
from fr_core.scoring.differentials import (
    MIN_PEOPLE,
    GroupRate,
    by_people,
    differential,
    draws_within,
    gini,
    max_to_min,
    rates_by_group,
    ratios_to_geometric_mean,
    without_difference,
)
from fr_core.scoring.group_trials import EveryTwo, MatedTrials
from fr_core.scoring.intervals import UndefinedRate, rate, wilson_interval
from fr_locales.messages import Message
from support.counts import count
from support.evaluations import cancelled_call

Ints = npt.NDArray[np.int64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def groups_of(*counts: int) -> Ints:
    """Group 0 so many times, then group 1, and so on."""
    return np.repeat(np.arange(len(counts)), counts)


def mated(*counts: tuple[int, int]) -> MatedTrials:
    """One trial of each person: for each group how many of them went wrong, and how many there are."""
    errors = np.concatenate([np.arange(total) < wrong for wrong, total in counts])
    return MatedTrials(errors.astype(np.float64), np.ones(len(errors)))


def group_rates(*counts: tuple[int, int]) -> tuple[GroupRate, ...]:
    """Groups a, b, ... with errors and people, who have a trial each."""
    return rates_by_group(mated(*counts), groups_of(*[total for _, total in counts]), "abcdef"[: len(counts)])


def every_two(similarities: F64, people: int, threshold: float) -> EveryTwo:
    first, second = np.triu_indices(people, 1)
    errors = similarities >= threshold
    return EveryTwo(first[errors], second[errors], np.ones(people, dtype=np.bool_))


def test_each_group_has_the_rate_of_its_trials_and_a_false_match_is_of_that_of_both_people() -> None:
    trials = MatedTrials(np.full(70, 1.0), np.where(np.arange(70) < 5, 0.0, 2.0))  # five people have no trial
    trials = MatedTrials(np.minimum(trials.errors, trials.trials), trials.trials)
    found = rates_by_group(trials, np.where(np.arange(70) < 69, groups_of(36, 34), -1), ["young", "old"])
    assert found == (
        GroupRate("young", 31, 62, rate(31, 62), ""),
        GroupRate("old", 33, 66, rate(33, 66), ""),
    )
    trials = MatedTrials(np.full(59, 5.0), np.full(59, 50.0))
    few, enough = rates_by_group(trials, groups_of(29, 30), ["a", "b"])
    assert (few.people, few.trials, few.rate) == (29, 1450, None)
    assert "Fewer than 30 people" in few.note
    assert (enough.rate, enough.note) == (rate(150, 1500), "")
    people = np.array([0, 1] * 35)
    pairs = np.array([[0, 2], [0, 1], [3, 5], [1, 69], [68, 69]])
    absent = np.arange(70) >= 68
    both = rates_by_group(EveryTwo(pairs[:, 0], pairs[:, 1], ~absent), people, ["a", "b"])
    assert [(one.people, one.trials) for one in both] == [(34, 34 * 33 // 2)] * 2
    assert [one.rate and one.rate.count for one in both] == [1, 2]


def test_ratios_have_the_published_values_and_gini_those_worked_by_hand() -> None:
    assert ratios_to_geometric_mean(f64(0.1, 0.2, 0.4)) == pytest.approx([0.5, 1.0, 2.0])
    assert max_to_min(f64(0.1, 0.2, 0.4)) == pytest.approx(4.0)
    assert gini(f64(0.2, 0.2, 0.2)) == 0.0
    assert gini(f64(0.0, 0.3)) == pytest.approx(1.0)  # one of two groups has all errors
    assert gini(f64(0.0, 0.0, 0.3)) == pytest.approx(1.0)
    assert gini(f64(0.1, 0.2, 0.4)) == pytest.approx(3 / 7)  # 3/2 * (1.2 / 9) / (2 * .7 / 3)


def test_differential_compares_the_groups_that_have_a_rate_and_says_what_is_undefined() -> None:
    found = differential(group_rates((10, 100), (20, 100), (5, MIN_PEOPLE - 1), (40, 100)))
    assert (found.groups, found.left_out) == (("a", "b", "d"), ("c",))
    assert found.ratios == pytest.approx((0.5, 1.0, 2.0))
    assert found.max_to_min == pytest.approx(4.0)
    assert found.gini == pytest.approx(3 / 7)
    assert found.notes == ()
    found = differential(group_rates((0, 100), (20, 100)))
    assert (found.ratios, found.max_to_min) == (None, None)
    assert found.gini == pytest.approx(1.0)
    assert [note.split(":")[0] for note in found.notes] == ["Ratios"]
    found = differential(group_rates((0, 100), (0, 100)))
    assert (found.ratios, found.max_to_min, found.gini) == (None, None, None)
    assert [note.split(":")[0] for note in found.notes] == ["Ratios", "Gini coefficient"]


def test_intervals_are_of_ratios_of_fixed_groups_and_wider_where_people_have_many_trials() -> None:
    found = by_people(mated((40, 400), (80, 400)), groups_of(400, 400), seed=1, replicates=300)
    assert found.max_to_min.value == pytest.approx(2.0)
    assert 1.0 < found.max_to_min.low < 1.6
    assert 2.4 < found.max_to_min.high < 4.0
    assert [one.value for one in found.ratios] == pytest.approx([0.5**0.5, 2**0.5])
    assert found.ratios[0].high == pytest.approx(1 / found.ratios[1].low)  # of the same resamples
    alike = by_people(mated((40, 400), (41, 400)), groups_of(400, 400), seed=1, replicates=300)
    assert alike.max_to_min.low < 0.8
    assert alike.max_to_min.high > 1.2
    alone = by_people(mated((100, 400), (200, 400)), groups_of(400, 400), seed=1, replicates=200).max_to_min
    many = MatedTrials(20 * mated((5, 20), (10, 20)).errors, np.full(40, 20.0))
    shared = by_people(many, groups_of(20, 20), seed=1, replicates=200).max_to_min
    assert shared.value == alone.value
    assert (shared.subjects, alone.subjects) == (40, 800)
    assert shared.high - shared.low > 3 * (alone.high - alone.low)


def test_counts_of_every_two_are_those_of_weighted_comparisons() -> None:
    rng = np.random.default_rng(1)
    similarities, weights = rng.normal(size=30 * 29 // 2), rng.integers(0, 4, size=30).astype(np.float64)
    groups = rng.integers(-1, 3, size=30)
    first, second = np.triu_indices(30, 1)
    within = (groups[first] == groups[second]) & (groups[first] >= 0)
    weight = weights[first] * weights[second]
    trials = every_two(similarities, 30, 0.5)
    wrong, total = trials.by_group(groups, 3, weights)
    for group in range(3):
        of_group = within & (groups[first] == group)
        assert total[group] == weight[of_group].sum()
        assert wrong[group] == weight[of_group & (similarities >= 0.5)].sum()
    kept = groups >= 0
    fewer = trials.among(kept).by_group(groups[kept], 3, weights[kept])
    assert np.array_equal(fewer, (wrong, total))


def test_labels_that_say_nothing_tell_what_chance_makes() -> None:
    groups = groups_of(100, 100)
    widest, concentration = without_difference(mated((20, 100), (20, 100)), groups, seed=1, permutations=400)
    # Of 200 people 40 err: hypergeometric, so that a group has 26 of them or more in 2.5 % of draws.
    assert widest.median == pytest.approx(22 / 18, rel=0.15)
    assert widest.high == pytest.approx(26 / 14, rel=0.15)
    assert concentration.high == pytest.approx(12 / 40, rel=0.3)
    assert widest.exceeded_by(40 / 10)
    assert not widest.exceeded_by(23 / 17)
    few, concentration = without_difference(mated((3, 100), (0, 100)), groups, seed=1, permutations=400)
    assert (few.high, concentration.high) == (None, 1.0)  # in a quarter of the draws a group has no error
    assert not few.exceeded_by(1e9)


def test_equal_groups_seldom_look_different() -> None:
    """Two groups of 50, a mated trial of each person and every two people compared, all alike."""
    inside, beyond = [], []
    for seed in range(count("EQUAL_GROUPS")):
        rng = np.random.default_rng(seed)
        own = rng.normal(size=100)
        first, second = np.triu_indices(100, 1)
        similarities = rng.normal(size=len(first)) + 0.3 * (own[first] + own[second])
        errors = (rng.random(100) < 0.3).astype(np.float64)
        for trials in (MatedTrials(errors, np.ones(100)), every_two(similarities, 100, 1.8)):
            sure = by_people(trials, groups_of(50, 50), seed=seed, replicates=200).max_to_min
            chance, _ = without_difference(trials, groups_of(50, 50), seed=seed, permutations=200)
            inside.append(sure.low <= 1 <= sure.high)
            beyond.append(chance.exceeded_by(sure.value))
    assert np.mean(inside) > 0.88
    assert np.mean(beyond) < 0.11


def test_draws_are_bounded_and_end_with_the_call() -> None:
    groups, trials = groups_of(100, 100), mated((20, 100), (20, 100))
    assert draws_within(1000, trials) == 1000
    many = EveryTwo(np.zeros(200_000, dtype=np.int64), np.ones(200_000, dtype=np.int64), np.ones(2, dtype=np.bool_))
    assert draws_within(1000, many) == 249
    for draw in (by_people, without_difference):
        with cancelled_call(), pytest.raises(CallEnded):
            draw(trials, groups, seed=1)


def i64(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def across(people: int) -> tuple[Ints, Ints]:
    """Everyone against everyone else."""
    a, b = np.triu_indices(people, 1)
    return a.astype(np.int64), b.astype(np.int64)


def recorded(weights: list[F64]) -> Statistic:
    """Keeps a copy of the weights that it is asked with."""

    def statistic(given: F64) -> float:
        weights.append(given.copy())
        return float(given[0])

    return statistic


def test_a_nonmated_comparison_weighs_the_product_of_its_people_and_a_mated_one_its_person() -> None:
    seen: list[F64] = []
    # Mated comparisons of 7, 8 and 9, then 7-8, 8-7, 7-9 and 8-9.
    subject_bootstrap(recorded(seen), i64(7, 8, 9, 7, 8, 7, 8), i64(7, 8, 9, 8, 7, 9, 9), seed=1, replicates=200)
    assert (seen[0] == 1.0).all()
    for weights in seen[1:]:
        seven, eight, nine = weights[:3]
        assert seven + eight + nine == 3
        assert list(weights[3:]) == [seven * eight, seven * eight, seven * nine, eight * nine]
    assert {tuple(weights[:3]) for weights in seen[1:]} >= {(1, 1, 1), (3, 0, 0), (0, 2, 1)}


def test_the_intervals_of_many_thresholds_are_those_of_the_subject_bootstrap_at_each() -> None:
    scores, (a, b) = np.random.default_rng(1).normal(size=435).round(1), across(30)  # with ties
    thresholds = [2.0, -1.0, 0.5, 0.55, 1.5, 9.0, float("inf")]
    found = fmr_by_people(scores, 30, thresholds, seed=3, replicates=200, confidence=0.9)
    assert list(found) == [2.0, -1.0, 0.5, 0.55, 1.5]  # no match at the others: all resamples agree
    for threshold, interval in found.items():
        statistic = fmr_statistic(scores, threshold)
        expected = subject_bootstrap(statistic, a, b, seed=3, replicates=200, confidence=0.9)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
        assert interval.confidence == 0.9
    # Half of the resamples of two people hold one of them alone, and compare nobody.
    assert fmr_by_people(f64(0.5), 2, [0.1], seed=1, replicates=100) == {}


def test_a_check_before_each_resample_ends_the_work() -> None:
    left = iter(range(3))
    with pytest.raises(StopIteration):
        fmr_by_people(np.linspace(0, 1, 45), 10, [0.5], seed=1, check=lambda: print(next(left)))  # noqa: T201
    assert next(left, None) is None
    calls = iter(range(1_000))

    def undefined_once(weights: F64) -> float:
        if next(calls) == 4:
            raise UndefinedRate(Message("undefined.no_trials"))
        return float(weights[0])

    # Few resamples without a figure are left out and counted.
    assert subject_bootstrap(undefined_once, *across(3), seed=1, replicates=100).replicates == 99


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not() -> None:
    scores, (a, b) = np.random.default_rng(1).normal(size=190), across(20)
    first, again, other = (
        subject_bootstrap(fmr_statistic(scores, 1.0), a, b, seed=seed, replicates=100) for seed in (1, 1, 2)
    )
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.value == other.value
    assert (first.subjects, first.replicates, first.confidence) == (20, 100, 0.95)


def test_it_holds_the_true_rate_where_an_interval_of_independent_trials_does_not() -> None:
    """People who look like everyone: each one's similarities share a term, which Wilson's interval knows nothing of."""
    rng, (a, b) = np.random.default_rng(3), across(60)
    true = 1.0 - NormalDist().cdf(1.2 / sqrt(1.5))
    held = held_by_wilson = 0
    runs = count("BOOTSTRAPS")
    for seed in range(runs):
        person = rng.normal(0.0, 0.5, 60)
        scores = rng.normal(size=len(a)) + person[a] + person[b]
        found = subject_bootstrap(fmr_statistic(scores, 1.2), a, b, seed=seed, replicates=200)
        wilson = wilson_interval(int((scores >= 1.2).sum()), len(scores))
        held += found.low <= true <= found.high
        held_by_wilson += wilson.low <= true <= wilson.high
    assert held > 0.9 * runs
    assert held_by_wilson < 0.6 * runs


@pytest.mark.parametrize(
    "statistic",
    [
        fmr_statistic(f64(0.1, 0.2), 0.5),
        threshold_statistic(f64(0.1, 0.2), 0.5),
        fnmr_at_fmr_statistic(f64(), f64(0.1), 1.0, failures=1),
    ],
)
def test_a_figure_of_two_comparisons_takes_two_weights(statistic: Statistic) -> None:
    statistic(f64(1, 1))
    for weights in (f64(1), f64(1, 1, 1)):
        with pytest.raises(ValueError, match="need as many pairs of subjects"):
            statistic(weights)


def test_a_target_far_down_the_list_is_found_and_rounding_takes_no_false_match_away() -> None:
    """The highest half weighs nothing in this resample, so that a look at the highest few finds nothing."""
    scores = np.arange(10_000, dtype=np.float64)
    weights = np.where(scores >= 5000, 0.0, 1.0)
    assert threshold_statistic(scores, 0.01)(weights) == np.nextafter(4949.0, np.inf)
    assert 0.29 * 100 < 29
    assert threshold_statistic(scores[:100], 0.29)(np.ones(100)) == np.nextafter(70.0, np.inf)


FIGURES = (ratios_to_geometric_mean, max_to_min, gini)
NAN_SCORE, GOOD = f64(np.nan), f64(0.5)
OF_THREE = partial(subject_bootstrap, fmr_statistic(f64(0.1, 0.6, 0.9), 0.5), seed=1)
A, B = across(3)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_thousand_replicates_of_a_million_comparisons_take_seconds() -> None:
    a, b = across(1415)
    scores = np.random.default_rng(1).normal(size=len(a))
    for statistic in (fmr_statistic(scores, 3.0), threshold_statistic(scores, 1e-3)):
        begun = time.process_time()
        found = subject_bootstrap(statistic, a, b, seed=1)
        assert found.low < found.value < found.high
        assert time.process_time() - begun < 15.0


BAD: list[tuple[Callable[[], object], str]] = [
    *[(partial(figure, f64(0.1, bad)), r"each in \[0, 1\]") for figure in FIGURES for bad in (-0.1, 1.1, nan)],
    (partial(rates_by_group, mated((0, 2)), groups_of(1), ["a"]), "one for each of 2 people"),
    (partial(rates_by_group, mated((0, 2)), np.zeros(2, dtype=np.int32), ["a"]), "one for each of 2 people"),
    *[(partial(rates_by_group, mated((0, 1)), np.array([number]), ["a"]), "has no name") for number in (-2, 1)],
    (partial(rates_by_group, mated((0, 1)), np.array([0]), ["a", "a"]), "same name"),
    *[(partial(by_people, mated((0, 2)), np.array(of), seed=1), "each group has a person") for of in ([0, 2], [-1, 0])],
    (partial(OF_THREE, A.astype(np.int32), B), "i64"),
    (partial(OF_THREE, A, B[:2]), "as many second ones"),
    (partial(OF_THREE, A, B, replicates=1), "at least 2 replicates"),
    (partial(OF_THREE, A, B, confidence=1.0), "confidence"),
    (partial(fmr_by_people, GOOD, 3, [0.1], seed=1), "3 people are not 1"),
    (partial(fmr_by_people, NAN_SCORE, 2, [0.1], seed=1), "finite"),
    (partial(fmr_by_people, GOOD, 2, [0.1], seed=1, replicates=1), "2 replicates"),
    (partial(fmr_by_people, GOOD, 2, [0.1], seed=1, confidence=1.0), "confidence"),
    (partial(fmr_by_people, GOOD, 2, [float("nan")], seed=1), "not a number"),
    (partial(fmr_statistic, NAN_SCORE, 0.5), "finite"),
    (partial(fmr_statistic, GOOD, np.nan), "not a number"),
    (partial(threshold_statistic, NAN_SCORE, 1.0), "finite"),
    (partial(threshold_statistic, GOOD, 2.0), "target"),
    (partial(fnmr_at_fmr_statistic, NAN_SCORE, GOOD, 1.0), "finite"),
    (partial(fnmr_at_fmr_statistic, GOOD, GOOD, 1.0, failures=-1), "failures"),
    (
        partial(without_difference, mated((20, 100), (20, 100)), groups_of(100, 100), seed=1, permutations=1),
        "At least 2",
    ),
]


@pytest.mark.parametrize(("ask", "why"), BAD)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ask()


OF_TWO = fmr_statistic(f64(0.1, 0.9), 0.5)
UNDEFINED: list[tuple[Callable[[], object], str]] = [
    (partial(ratios_to_geometric_mean, f64(0.0, 0.2)), "no error"),
    (partial(max_to_min, f64(0.0, 0.2)), "no error"),
    (partial(gini, f64(0.0, 0.0)), "No group has an error"),
    *[(partial(figure, f64(0.1)), "two groups") for figure in FIGURES],
    (partial(differential, group_rates((10, 100), (20, 29))), "two groups"),
    (partial(draws_within, 1000, MatedTrials(np.zeros(1_000_001), np.ones(1_000_001))), "higher threshold"),
    (partial(without_difference, mated((0, 100), (0, 100)), groups_of(100, 100), seed=1), ""),
    (partial(by_people, mated((1, 100), (40, 100)), groups_of(100, 100), seed=1), ""),
    (partial(by_people, mated((0, 100), (40, 100)), groups_of(100, 100), seed=1), ""),
    # A third of the resamples lose the second group.
    (partial(by_people, mated((40, 100), (1, 1)), groups_of(100, 1), seed=1), ""),
    (partial(subject_bootstrap, fmr_statistic(np.zeros(190), 0.5), *across(20), seed=1), "resamples agree"),
    # One comparison alone: one half of all resamples draw one of its two people twice.
    (partial(subject_bootstrap, fmr_statistic(GOOD, 0.4), i64(1), i64(2), seed=1), "of 1000 resamples leave nothing"),
    *[(partial(subject_bootstrap, OF_TWO, who, who, seed=1), "fewer than two") for who in (i64(), i64(1, 1))],
    (partial(threshold_statistic, GOOD, 0.1), "cannot support"),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_too_few_groups_errors_or_people_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why or None):
        ask()
