"""Unit tests of the subject bootstrap."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.bootstrap import (
    Statistic,
    fmr_by_people,
    fmr_statistic,
    fnmr_at_fmr_statistic,
    subject_bootstrap,
    threshold_statistic,
)
from fr_core.scoring.intervals import UndefinedRate, wilson_interval

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


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


def test_a_check_before_each_resample_ends_the_work() -> None:
    left = iter(range(3))
    with pytest.raises(StopIteration):
        fmr_by_people(np.linspace(0, 1, 45), 10, [0.5], seed=1, check=lambda: print(next(left)))  # noqa: T201
    assert next(left, None) is None


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
    for seed in range(200):
        person = rng.normal(0.0, 0.5, 60)
        scores = rng.normal(size=len(a)) + person[a] + person[b]
        found = subject_bootstrap(fmr_statistic(scores, 1.2), a, b, seed=seed, replicates=200)
        wilson = wilson_interval(int((scores >= 1.2).sum()), len(scores))
        held += found.low <= true <= found.high
        held_by_wilson += wilson.low <= true <= wilson.high
    assert held / 200 > 0.9
    assert held_by_wilson / 200 < 0.6


def test_few_resamples_without_a_figure_are_left_out_and_counted() -> None:
    calls = 0

    def statistic(weights: F64) -> float:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise UndefinedRate("Nothing to measure.")
        return float(weights[0])

    assert subject_bootstrap(statistic, *across(3), seed=1, replicates=100).replicates == 99


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


BAD, GOOD = f64(np.nan), f64(0.5)
OF_THREE = partial(subject_bootstrap, fmr_statistic(f64(0.1, 0.6, 0.9), 0.5), seed=1)
A, B = across(3)
REFUSED: list[tuple[Callable[[], object], str]] = [
    (partial(OF_THREE, A.astype(np.int32), B), "i64"),
    (partial(OF_THREE, A, B[:2]), "as many second ones"),
    (partial(OF_THREE, A, B, replicates=1), "at least 2 replicates"),
    (partial(OF_THREE, A, B, confidence=1.0), "confidence"),
    (partial(fmr_by_people, GOOD, 3, [0.1], seed=1), "3 people are not 1"),
    (partial(fmr_by_people, BAD, 2, [0.1], seed=1), "finite"),
    (partial(fmr_by_people, GOOD, 2, [0.1], seed=1, replicates=1), "2 replicates"),
    (partial(fmr_by_people, GOOD, 2, [0.1], seed=1, confidence=1.0), "confidence"),
    (partial(fmr_by_people, GOOD, 2, [float("nan")], seed=1), "not a number"),
    (partial(fmr_statistic, BAD, 0.5), "finite"),
    (partial(fmr_statistic, GOOD, np.nan), "not a number"),
    (partial(threshold_statistic, BAD, 1.0), "finite"),
    (partial(threshold_statistic, GOOD, 2.0), "target"),
    (partial(fnmr_at_fmr_statistic, BAD, GOOD, 1.0), "finite"),
    (partial(fnmr_at_fmr_statistic, GOOD, GOOD, 1.0, failures=-1), "failures"),
]


@pytest.mark.parametrize(("ask", "why"), REFUSED)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ask()


@pytest.mark.parametrize(
    ("statistic", "first", "second", "why"),
    [
        (fmr_statistic(np.zeros(190), 0.5), *across(20), "resamples agree"),
        # One comparison alone: one half of all resamples draw one of its two people twice.
        (fmr_statistic(f64(0.9), 0.5), i64(1), i64(2), "of 1000 resamples leave nothing to measure"),
        (fmr_statistic(f64(0.1, 0.9), 0.5), i64(), i64(), "fewer than two"),
        (fmr_statistic(f64(0.1, 0.9), 0.5), i64(1, 1), i64(1, 1), "fewer than two"),
    ],
)
def test_figures_that_resamples_do_not_show_are_undefined(
    statistic: Statistic, first: Ints, second: Ints, why: str
) -> None:
    with pytest.raises(UndefinedRate, match=why):
        subject_bootstrap(statistic, first, second, seed=1)


def test_two_people_are_too_few_for_an_interval_and_one_comparison_for_a_threshold() -> None:
    # Half of the resamples of two people hold one of them alone, and compare nobody.
    assert fmr_by_people(GOOD, 2, [0.1], seed=1, replicates=100) == {}
    with pytest.raises(UndefinedRate, match="cannot support"):
        threshold_statistic(GOOD, 0.1)


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
