"""Unit tests of differentials between groups: published values, few trials, and groups without an error."""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.differentials import (
    MIN_TRIALS,
    GroupRate,
    bootstrap_differential,
    differential,
    fmr_by_group,
    fnmr_by_group,
    gini,
    max_to_min,
    rates_by_group,
    ratios_to_geometric_mean,
)
from fr_core.scoring.intervals import UndefinedRate, rate

F64 = npt.NDArray[np.float64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def groups_of(*counts: int) -> npt.NDArray[np.int64]:
    """Group 0 so many times, then group 1, and so on."""
    return np.repeat(np.arange(len(counts)), counts)


def group_rates(*counts: tuple[int, int]) -> tuple[GroupRate, ...]:
    """Groups a, b, ... with errors and trials."""
    errors = np.concatenate([np.arange(total) < wrong for wrong, total in counts])
    return rates_by_group(errors, groups_of(*[total for _, total in counts]), "abcdef"[: len(counts)])


# --- rates of groups ----------------------------------------------------------------------------------------


def test_each_group_has_its_false_match_rate() -> None:
    similarities = np.concatenate([np.full(30, 0.2), np.full(10, 0.5), np.full(30, 0.4)])
    found = fmr_by_group(similarities, groups_of(40, 30), ["young", "old"], 0.5, confidence=0.9)
    assert found == (
        GroupRate("young", 40, rate(10, 40, 0.9), ""),
        GroupRate("old", 30, rate(0, 30, 0.9), ""),
    )


def test_each_group_has_its_false_non_match_rate() -> None:
    similarities = np.concatenate([np.full(30, 0.2), np.full(10, 0.5), np.full(30, 0.4)])
    found = fnmr_by_group(similarities, groups_of(40, 30), ["young", "old"], 0.5)
    assert [group.rate for group in found] == [rate(30, 40), rate(30, 30)]


def test_failures_are_misses_of_their_group() -> None:
    found = fnmr_by_group(np.full(60, 0.9), groups_of(30, 30), ["a", "b"], 0.5, failed_groups=[1, 1])
    assert [group.rate for group in found] == [rate(0, 30), rate(2, 32)]


def test_a_group_of_few_trials_has_no_rate_and_says_why() -> None:
    few, enough = fnmr_by_group(np.full(59, 0.1), groups_of(29, 30), ["a", "b"], 0.5)
    assert (few.trials, few.rate) == (29, None)
    assert "Fewer than 30 trials" in few.note
    assert (enough.rate, enough.note) == (rate(30, 30), "")
    assert fmr_by_group(f64(), groups_of(), ["a"], 0.5)[0].trials == 0


def test_groups_that_do_not_fit_the_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="one for each of 2 trials"):
        fmr_by_group(f64(0.1, 0.2), groups_of(1), ["a"], 0.5)
    with pytest.raises(ValueError, match="one for each of 2 trials"):
        fnmr_by_group(f64(0.1, 0.2), f64(0, 0).astype(np.int32), ["a"], 0.5)
    for number in (-1, 1):
        with pytest.raises(ValueError, match="has no name"):
            fmr_by_group(f64(0.1), np.array([number]), ["a"], 0.5)
    with pytest.raises(ValueError, match="has no name"):
        fnmr_by_group(f64(0.1), np.array([0]), ["a"], 0.5, failed_groups=[1])
    with pytest.raises(ValueError, match="same name"):
        fmr_by_group(f64(0.1), np.array([0]), ["a", "a"], 0.5)


def test_trials_that_are_none_are_refused() -> None:
    for by_group in (fmr_by_group, fnmr_by_group):
        with pytest.raises(ValueError, match="finite"):
            by_group(f64(nan), np.array([0]), ["a"], 0.5)
        with pytest.raises(ValueError, match="threshold"):
            by_group(f64(0.1), np.array([0]), ["a"], nan)
    with pytest.raises(ValueError, match=r"Errors are bool\[n\]"):
        rates_by_group(np.array([0, 1]), np.array([0, 0]), ["a"])


# --- figures of all groups ----------------------------------------------------------------------------------


def test_ratios_have_the_published_values() -> None:
    assert ratios_to_geometric_mean(f64(0.1, 0.2, 0.4)) == pytest.approx([0.5, 1.0, 2.0])
    assert max_to_min(f64(0.1, 0.2, 0.4)) == pytest.approx(4.0)


def test_gini_of_cases_worked_by_hand() -> None:
    assert gini(f64(0.2, 0.2, 0.2)) == 0.0
    assert gini(f64(0.0, 0.3)) == pytest.approx(1.0)  # one of two groups has all errors
    assert gini(f64(0.0, 0.0, 0.3)) == pytest.approx(1.0)
    assert gini(f64(0.1, 0.2, 0.4)) == pytest.approx(3 / 7)  # 3/2 * (1.2 / 9) / (2 * .7 / 3)


def test_ratios_to_a_group_without_an_error_are_undefined() -> None:
    for figure in (ratios_to_geometric_mean, max_to_min):
        with pytest.raises(UndefinedRate, match="no error"):
            figure(f64(0.0, 0.2))
    with pytest.raises(UndefinedRate, match="No group has an error"):
        gini(f64(0.0, 0.0))


def test_one_group_has_no_differential() -> None:
    for figure in (ratios_to_geometric_mean, max_to_min, gini):
        with pytest.raises(UndefinedRate, match="two groups"):
            figure(f64(0.1))


def test_rates_that_are_none_are_refused() -> None:
    for bad in (-0.1, 1.1, nan):
        for figure in (ratios_to_geometric_mean, max_to_min, gini):
            with pytest.raises(ValueError, match=r"each in \[0, 1\]"):
                figure(f64(0.1, bad))


def test_differential_compares_the_groups_that_have_a_rate() -> None:
    found = differential(group_rates((10, 100), (20, 100), (5, 20), (40, 100)))
    assert (found.groups, found.left_out) == (("a", "b", "d"), ("c",))
    assert found.ratios == pytest.approx((0.5, 1.0, 2.0))
    assert found.max_to_min == pytest.approx(4.0)
    assert found.gini == pytest.approx(3 / 7)
    assert found.notes == ()


def test_differential_says_what_is_undefined() -> None:
    found = differential(group_rates((0, 100), (20, 100)))
    assert (found.ratios, found.max_to_min) == (None, None)
    assert found.gini == pytest.approx(1.0)
    assert [note.split(":")[0] for note in found.notes] == ["Ratios"]
    found = differential(group_rates((0, 100), (0, 100)))
    assert (found.ratios, found.max_to_min, found.gini) == (None, None, None)
    assert [note.split(":")[0] for note in found.notes] == ["Ratios", "Gini coefficient"]


def test_differential_of_small_groups_is_undefined() -> None:
    with pytest.raises(UndefinedRate, match="two groups"):
        differential(group_rates((10, 100), (20, 29)))


# --- intervals ----------------------------------------------------------------------------------------------


def people(n: int) -> npt.NDArray[np.int64]:
    return np.arange(n)


def test_bootstrap_of_a_ratio_surrounds_it() -> None:
    groups = groups_of(400, 400)
    errors = np.concatenate([np.arange(400) % 10 == 0, np.arange(400) % 5 == 0])
    found = bootstrap_differential(max_to_min, errors, groups, people(800), people(800), seed=1, replicates=300)
    assert found.value == pytest.approx(2.0)
    assert 1.0 < found.low < 1.6
    assert 2.4 < found.high < 4.0


def test_people_with_many_trials_widen_the_interval() -> None:
    groups = groups_of(400, 400)
    errors = np.concatenate([np.arange(400) < 100, np.arange(400) < 200])
    alone = bootstrap_differential(max_to_min, errors, groups, people(800), people(800), seed=1, replicates=200)
    shared = bootstrap_differential(
        max_to_min, errors, groups, people(800) // 20, people(800) // 20, seed=1, replicates=200
    )
    assert shared.value == alone.value
    assert shared.high - shared.low > 3 * (alone.high - alone.low)


def test_bootstrap_leaves_out_groups_of_few_trials() -> None:
    groups = groups_of(100, MIN_TRIALS - 1, 100)
    errors = np.concatenate([np.arange(100) < 20, np.ones(MIN_TRIALS - 1, dtype=np.bool_), np.arange(100) < 40])
    seen: list[int] = []

    def figure(rates: F64) -> float:
        seen.append(len(rates))
        return max_to_min(rates)

    found = bootstrap_differential(figure, errors, groups, people(229), people(229), seed=1, replicates=20)
    assert found.value == pytest.approx(2.0)
    assert set(seen) == {2}


def test_bootstrap_of_hardly_any_errors_is_undefined() -> None:
    errors = np.concatenate([np.arange(100) < 1, np.arange(100) < 40])
    with pytest.raises(UndefinedRate):
        bootstrap_differential(max_to_min, errors, groups_of(100, 100), people(200), people(200), seed=1)


def test_bootstrap_of_a_group_that_resamples_lose_is_undefined() -> None:
    # All trials of the second group are of one person, whom a third of the resamples leave out.
    subjects = np.concatenate([np.arange(100), np.full(100, 100)])
    errors = np.tile(np.arange(100) < 40, 2)
    with pytest.raises(UndefinedRate):
        bootstrap_differential(gini, errors, groups_of(100, 100), subjects, subjects, seed=1)


def test_each_trial_needs_its_subjects() -> None:
    errors = np.tile(np.arange(100) < 40, 2)
    with pytest.raises(ValueError, match="as many subjects"):
        bootstrap_differential(gini, errors, groups_of(100, 100), people(199), people(200), seed=1)
    with pytest.raises(ValueError, match="as many subjects"):
        bootstrap_differential(gini, errors, groups_of(100, 100), people(200), people(199), seed=1)
