"""What chance alone makes a cohort's report say: trainees differ, items differ, and nothing else is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from statistics import NormalDist

import numpy as np
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import expected_calibration_error
from fr_locales.rendering import render
from fr_training.grading.fusion import adaptive_blocks, crowds
from fr_training.grading.groups import Spread, group_figures
from fr_training.grading.items import item_rows, learned
from fr_training.grading.rates import error_figures
from fr_training.grading.reports import cohort_figures
from fr_training.grading.scores import in_order
from fr_training.grading.trainee_means import OwnFigures, own_figures
from fr_training.grading.values import Undefined, plain_pairs
from fr_training.plan import read_plan
from fr_training.statistics.clustered import mean_of_people, spread_of_items, t_quantile
from fr_training.statistics.decisions import MOST_EXACT, calibration_error_by_chance
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_analysis import MIN_PEOPLE, below_guessing
from fr_training.statistics.item_response import probability
from fr_training.trials import Result
from support.counts import NIGHTLY
from support.results import PLAN, course, defined, pair

stats = import_module("scipy.stats")

Cohort = dict[str, list[Result]]
RUNS = 150 if NIGHTLY else 50
below = NormalDist().cdf


def own(cohort: Mapping[str, Sequence[Result]]) -> OwnFigures:
    found = {trainee: error_figures(plain_pairs(results)).sensitivity for trainee, results in cohort.items()}
    return own_figures(cohort, found)


def excludes(found: object, chance: float = 0.0) -> bool:
    assert isinstance(found, Estimate)
    return found.low > chance or found.high < chance


def leaning(rng: np.random.Generator, trainees: int, pairs: int, lean: float = 0.0, sd: float = 0.25) -> Cohort:
    """Trainees who lean each their own way, and together by `lean`."""
    cohort = {}
    for t in range(trainees):
        c, d = rng.normal(lean, sd), max(0.0, rng.normal(1.76, 0.55))
        cohort[f"t{t}"] = [
            pair(truth, 1 if rng.random() < below(sign * d / 2 - c) else -1, n + (sign > 0) * pairs, trainee=f"t{t}")
            for truth, sign in (("same", 1), ("different", -1))
            for n in range(pairs)
        ]
    return cohort


def test_a_cohort_whose_trainees_lean_each_their_own_way_does_not_lean() -> None:
    rng = np.random.default_rng(1)
    runs, pooled, by_trainees = RUNS, 0, 0
    for _ in range(runs):
        cohort = leaning(rng, 12, 60)
        by_trainees += excludes(own(cohort).criterion)
        together = error_figures([one for some in cohort.values() for one in some]).sensitivity
        assert not isinstance(together, Undefined)
        pooled += excludes(together.criterion)
    assert by_trainees <= 0.08 * runs  # 5 % and what the runs scatter
    assert pooled > 0.2 * runs


def test_a_cohort_that_does_lean_is_found_out() -> None:
    rng = np.random.default_rng(2)
    found = [own(leaning(rng, 12, 60, lean=0.5)).criterion for _ in range(15)]
    assert sum(isinstance(one, Estimate) and one.low > 0.0 for one in found) >= 14


def test_guessing_trainees_of_a_cohort_are_no_better_than_guessing() -> None:
    rng = np.random.default_rng(3)
    runs, dprime, area = RUNS, 0, 0
    for _ in range(runs):
        cohort = {}
        for t in range(10):
            share = below(rng.normal(0, 0.8))  # each says "same" with a share of their own
            ratings = np.where(rng.random(40) < share, 1, -1) * rng.integers(1, 4, 40)
            cohort[f"t{t}"] = [
                pair("same" if n % 2 else "different", int(rating), n, trainee=f"t{t}")
                for n, rating in enumerate(ratings)
            ]
        found = own(cohort)
        dprime += excludes(found.dprime)
        area += excludes(found.area, 0.5)
    assert dprime <= 0.08 * runs
    assert area <= 0.1 * runs


def advised(rng: np.random.Generator, trainees: int, pairs: int, spread: float, mean: float = 0.0) -> Cohort:
    """Trainees each of whom follows the machine, or goes against it, to an extent of their own."""
    cohort = {}
    for t in range(trainees):
        weight, some = rng.normal(mean, spread), []
        for n in range(pairs):
            truth, advice = ("same", "different")[n % 2], ("same", "different")[n // 2 % 2]
            seen = rng.normal(0.9 if truth == "same" else -0.9)
            after = seen + rng.normal(0, 0.3) + (weight if advice == "same" else -weight)
            before = 1 if seen > 0 else -1
            some.append(
                pair(truth, 1 if after > 0 else -1, n, trainee=f"t{t}", block="aided", before=before, advice=advice)
            )
        cohort[f"t{t}"] = some
    return cohort


def test_a_cohort_whose_trainees_each_follow_or_resist_is_not_said_to_be_moved() -> None:
    rng = np.random.default_rng(4)
    runs = RUNS
    assert sum(excludes(own(advised(rng, 20, 8, 0.5)).net) for _ in range(runs)) <= 0.08 * runs
    assert sum(excludes(own(advised(rng, 20, 8, 0.5, mean=1.0)).net) for _ in range(20)) >= 18


def test_the_sentences_of_a_cohort_go_by_its_trainees() -> None:
    """Half lean one way and half the other: pooled counts lean, as the ones rated more pairs than the others."""
    rng = np.random.default_rng(5)
    some = leaning(rng, 3, 100, lean=-1.0, sd=0.0) | {
        f"u{t}": [replace(one, trainee_id=f"u{t}") for one in results]
        for t, results in enumerate(leaning(rng, 5, 20, lean=0.6, sd=0.0).values())
    }
    figures = cohort_figures(course(), some)
    assert excludes(defined(figures.together.pairs).errors.sensitivity.criterion)  # type: ignore[union-attr]
    assert not excludes(figures.own.criterion)
    said = " ".join(map(render, figures.words.bias))
    assert "answers are too few to tell which way their answers lean" in said
    assert "too readily" not in said
    assert not any("likelihood ratio" in render(one) for one in figures.words.limits)
    few = cohort_figures(course(), leaning(rng, 4, 100, lean=-1.0))
    assert isinstance(few.own.criterion, Undefined)
    assert "too few to tell which way their answers lean" in " ".join(map(render, few.words.bias))
    assert not any("better than guessing:" in render(one) for one in few.words.went_well)


def labelled(rng: np.random.Generator, items: int, trainees: int, sd: float, apart: float = 0.0) -> list[Result]:
    """Items of two groups, of difficulties of their own; `apart` makes those of the second harder."""
    found = []
    for n in range(2 * items):
        wrong = 1 / (1 + np.exp(1.6 - rng.normal(apart if n >= items else 0.0, sd)))
        label = "f" if n >= items else "m"
        found += [
            pair("same", -1 if rng.random() < wrong else 1, n, trainee=f"t{t}", groups={"gender": label})
            for t in range(trainees)
        ]
    return found


def spread(some: list[Result], seed: int = 0) -> Spread:
    (found,) = group_figures(some, seed)
    assert isinstance(found.misses, Spread)
    return found.misses


def test_groups_whose_items_differ_by_chance_are_not_shown_to_differ() -> None:
    rng = np.random.default_rng(8)
    runs = RUNS
    assert sum(spread(labelled(rng, 30, 12, 1.0), n).beyond_chance for n in range(runs)) <= 0.08 * runs
    found = [spread(labelled(rng, 40, 12, 0.5, apart=1.5), n) for n in range(10)]
    assert all(one.beyond_chance and 1.0 < one.low < one.max_to_min < one.high for one in found)


def test_many_answers_to_few_pairs_make_no_rate_of_a_group() -> None:
    (found,) = group_figures(labelled(np.random.default_rng(9), 29, 20, 0.0))
    assert {(one.same, one.same_items) for one in found.groups} == {(580, 29)}
    for one in found.groups:
        assert isinstance(one.misses, Undefined)
        assert "different pairs" in render(one.misses.reason)
        assert isinstance(one.misses_interval, Undefined)
    assert isinstance(found.misses, Undefined)


def turned(people: int, seed: int) -> dict[str, tuple[Result, ...]]:
    """Trainees who answer as the model says; the key of one easy item is wrong, and all have it wrong alike."""
    rng = np.random.default_rng(seed)
    b = np.linspace(-2.0, 2.0, 12)
    found = {}
    for t in range(people):
        right = rng.random(12) < probability(float(rng.normal(0.6, 0.3)), b, 0.5)
        right[0] = rng.random() < 0.15
        found[f"t{t}"] = tuple(
            pair("same", 2 if good else -2, n, trainee=f"t{t}", b=float(b[n]), item=f"i{n}")
            for n, good in enumerate(right.tolist())
        )
    return found


def test_an_item_that_fewer_have_right_than_guess_it_is_set_aside_by_report_and_next_course_alike() -> None:
    by_correlation = 0
    for seed in range(10):
        cohort = turned(30, seed)
        rows = {row.item_id: row for row in item_rows(cohort)}
        assert rows["i0"].quarantined
        assert learned([cohort]).suspects == {item for item, row in rows.items() if row.quarantined}
        by_correlation += rows["i0"].high is not None and rows["i0"].high < 0
    assert by_correlation < 5
    assert "i0" not in learned([turned(MIN_PEOPLE - 1, 0)]).suspects
    assert not any(row.quarantined for row in item_rows(turned(MIN_PEOPLE - 1, 0)))


def test_undecided_answers_and_advice_tell_nothing_of_a_key() -> None:
    undecided = {f"t{t}": [pair("same", 0 if t < 15 else 2, 0, trainee=f"t{t}")] for t in range(40)}
    misled = {
        f"t{t}": [pair("same", -2, 0, trainee=f"t{t}", block="aided", before=2, advice="different")] for t in range(40)
    }
    for cohort in (undecided, misled):
        assert not any(row.quarantined for row in item_rows(cohort))
    assert (below_guessing(5, 15, 0.5), below_guessing(6, 14, 0.5), below_guessing(1, 18, 0.5)) == (True, False, False)


def test_forms_whose_items_follow_the_trainee_are_in_no_crowd_and_blind_pairs_in_no_curve() -> None:
    adaptive = PLAN.replace("different = 10, feedback = true}", "different = 10, trials = 8, adaptive = true}")
    plan = read_plan(adaptive.replace('  {id = "blind", exercise = "blind", verifies = "open"},\n', ""))
    changed = replace(course(), plan=plan)
    assert adaptive_blocks(changed) == {"open"}
    cohort = leaning(np.random.default_rng(10), 3, 10)
    both = {
        trainee: [*results, *(replace(one, block_id="open", form="open") for one in results)]
        for trainee, results in cohort.items()
    }
    assert [one.form for one in crowds(both, 1)] == ["open", "pre"]
    assert [one.form for one in crowds(both, 1, without=adaptive_blocks(changed))] == ["pre"]
    assert in_order(course(), [pair("same", 1, 0), pair("same", -1, 1, block="blind")]) == [True]


def test_the_mean_of_people_has_students_interval() -> None:
    values = np.array([0.2, -0.1, 0.4, 0.3, 0.0])
    found = mean_of_people(values)
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert t_quantile(0.975, 19) == pytest.approx(2.0930, abs=1e-4)
    wider = mean_of_people(values, np.full(5, 1.0), item_error=0.5)
    assert wider.standard_error == pytest.approx((1.0 / 5 + 0.25) ** 0.5)
    for bad in (np.array([1.0]), np.array([1.0, 1.0])):
        with pytest.raises(UndefinedRate):
            mean_of_people(bad)
    for wrong, errors, item in (
        (np.array([[1.0]]), None, 0.0),
        (np.array([1.0, np.nan]), None, 0.0),
        (values, None, -1),
    ):
        with pytest.raises(ValueError, match=r"f64\[n\]|at least 0"):
            mean_of_people(wrong, errors, item)


def test_what_items_scatter_is_told_from_what_their_answers_do() -> None:
    rng = np.random.default_rng(11)
    shown = np.full(200, 20.0)
    alike = rng.binomial(20, 0.7, 200).astype(float)
    apart = rng.binomial(20, rng.uniform(0.4, 1.0, 200)).astype(float)
    assert spread_of_items(alike, shown) < 0.005
    assert spread_of_items(apart, shown) == pytest.approx((0.6**2 / 12 / 200) ** 0.5, rel=0.15)
    assert spread_of_items(np.ones(3), np.ones(3)) == 0.0


@pytest.mark.parametrize("trials", [1, 7, 60, 5 * MOST_EXACT])
def test_what_chance_makes_of_a_calibration_error_is_its_mean(trials: int) -> None:
    rng = np.random.default_rng(trials)
    stated = rng.uniform(0, 1, trials)
    drawn = [expected_calibration_error(stated, rng.random(trials) < stated) for _ in range(1500)]
    assert calibration_error_by_chance(stated) == pytest.approx(np.mean(drawn), rel=0.04)
    with pytest.raises(UndefinedRate):
        calibration_error_by_chance(stated[:0])
