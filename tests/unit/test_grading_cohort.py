"""A cohort's figures: trainees beside each other, change of many, items, and that nothing random makes them fail."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fr_core.scoring.intervals import Rate
from fr_locales.rendering import render
from fr_training.errors import NothingToReport
from fr_training.grading.reports import cohort_figures, trainee_figures
from fr_training.report import cohort_json, trainee_json
from fr_training.statistics.agreement import Intraclass
from fr_training.trials import Result
from support.counts import examples
from support.results import course, pair, results


def no_constant(word: str) -> float:
    raise AssertionError(f"{word} stands in the JSON")


def person(trainee: str, shares: dict[str, int], trials: int = 40) -> list[Result]:
    """Of each test, so many right answers of `trials`; which ones differs from person to person."""
    shift = int(trainee[1:])
    found = []
    for block, right in shares.items():
        for n in range(trials):
            truth = "same" if n % 2 else "different"
            sign = 1 if (truth == "same") == ((n * 7 + shift) % trials < right) else -1
            found.append(pair(truth, 2 * sign, n, trainee=trainee, block=block, b=n / trials))
    return found


def test_changes_of_trainees_are_counted_beside_what_chance_makes() -> None:
    cohort = {f"t{n}": person(f"t{n}", {"pre": 24 + n % 4, "post": 36 if n < 6 else 25 + n % 3}) for n in range(12)}
    figures = cohort_figures(course(), cohort)
    (change,) = figures.changes
    assert change.trainees == 12
    assert isinstance(change.better, Rate)
    assert (change.better.count, change.better.total) == (6, 12)
    assert isinstance(change.worse, Rate)
    assert change.worse.count == 0
    assert isinstance(change.agreement, Intraclass)
    assert "of 12 trainees 6 did reliably better and 0 reliably worse" in " ".join(map(render, figures.words.change))
    assert [one.test for one in figures.distributions] == ["pre", "post"]
    assert figures.distributions[0].lowest == 60.0
    assert figures.distributions[0].highest == 67.5


def test_each_trainee_has_a_row_by_pseudonym_and_those_without_trials_have_none() -> None:
    figures = cohort_figures(course(), {"t2": person("t2", {"pre": 30}), "t1": person("t1", {"pre": 20}), "t3": []})
    assert figures.trainees == 2
    assert figures.together.pairs is not None
    assert isinstance(figures.together.pairs.errors.right, Rate)
    assert (figures.together.pairs.errors.right.count, figures.together.pairs.errors.right.total) == (50, 80)
    assert "answers of one trainee, and answers to one item, go together" in " ".join(map(render, figures.words.limits))
    assert [row.trainee_id for row in figures.rows] == ["t1", "t2"]
    assert [row.scores for row in figures.rows] == [{"pre": 50.0}, {"pre": 75.0}]


def test_a_cohort_without_trials_has_no_report() -> None:
    for trainees in ([], ["t1"]):
        with pytest.raises(NothingToReport):
            cohort_figures(course(), {trainee: [] for trainee in trainees})


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_results_make_figures_fail_or_hold_a_number_that_is_none(data: st.DataObject) -> None:
    cohort: dict[str, Sequence[Result]] = {
        trainee: data.draw(results(trainee, most=most)) for trainee, most in (("t1", 40), ("t2", 25), ("t3", 3))
    }
    if cohort["t1"]:
        told = trainee_json(course(), trainee_figures(course(), cohort["t1"], cohort))
        assert json.loads(told, parse_constant=no_constant)["trainee_id"] == "t1"
    if any(cohort.values()):
        told = cohort_json(course(), cohort_figures(course(), cohort))
        assert json.loads(told, parse_constant=no_constant)["trainees"] == sum(map(bool, cohort.values()))


@pytest.mark.parametrize(
    "some",
    [
        [pair("same", 1)],
        [pair("same", None)],
        [pair("same", 3, n) for n in range(40)],
        [
            pair("same" if n % 2 else "different", 3 if n % 2 else -3, n, p_same=n % 2, similarity=0.0)
            for n in range(40)
        ],
        [pair("same" if n % 2 else "different", -3 if n % 2 else 3, n, p_same=1 - n % 2) for n in range(40)],
        [pair("same" if n % 2 else "different", 0, n) for n in range(40)],
        [pair("same" if n % 2 else "different", 1, n, known=True) for n in range(40)],
    ],
    ids=["one", "unanswered", "one kind", "all right", "all wrong", "all undecided", "all known"],
)
def test_the_ends_of_what_may_happen_have_figures(some: list[Result]) -> None:
    for told in (
        trainee_json(course(), trainee_figures(course(), some, {})),
        cohort_json(course(), cohort_figures(course(), {"t1": some})),
    ):
        assert json.loads(told, parse_constant=no_constant)["counts"]["shown"] == len(some)


def test_a_cohort_costs_time_in_proportion_to_its_trials() -> None:
    """60 trainees of 80 trials in seconds; 500 of 100 take ten times as long, and less than 20 s."""
    rng = np.random.default_rng(1)
    cohort = {
        f"t{n}": person(f"t{n}", {"pre": int(rng.integers(20, 40)), "post": int(rng.integers(20, 40))})
        for n in range(60)
    }
    started = time.process_time()
    cohort_figures(course(), cohort)
    assert time.process_time() - started < 10
