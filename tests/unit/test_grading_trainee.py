"""Figures of a trainee and of a cohort: change, standing, bias in plain words, and what is kept from others."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fr_core.scoring.intervals import rate
from fr_locales.rendering import render
from fr_training.errors import NothingToReport
from fr_training.grading.certainty import FEW
from fr_training.grading.rates import Roc
from fr_training.grading.reports import cohort_figures, trainee_figures
from fr_training.grading.scores import MIN_COHORT, OTHER_TEST
from fr_training.grading.values import Undefined
from fr_training.report import cohort_json, trainee_json
from fr_training.statistics.agreement import Intraclass
from fr_training.statistics.change import Change, Verdict
from fr_training.trials import Result
from support.counts import examples
from support.results import course, defined, listed, pair, results, triad, triaged

TRUTHS = ("different", "same")


def taken(block: str, right: int, *, trainee: str = "t1", of: int = 40) -> list[Result]:
    """A test of which so many pairs are right, errors on both sides alike."""
    results = []
    for n in range(of):
        truth = "same" if n % 2 else "different"
        sign = 1 if (truth == "same") == (n < right) else -1
        results.append(pair(truth, 2 * sign, n, trainee=trainee, block=block))
    return results


def sentences(results: list[Result]) -> str:
    words = trainee_figures(course(), results, {}).words
    return " ".join(map(render, [*words.went_well, *words.bias, *words.practise, *words.change, *words.limits]))


def test_saying_same_too_readily_is_said_with_both_error_rates() -> None:
    said = (
        'You say "same" too readily: of 20 pairs of different people you called 9 the same, of 20 pairs of one '
        "person you called 0 different."
    )
    assert said in map(render, trainee_figures(course(), split(9, 0), {}).words.bias)
    assert 'You say "different" too readily' in sentences(split(0, 9))


def advised(pairs: int, *, followed: bool = False) -> list[Result]:
    results = []
    for n in range(pairs):
        truth, advice = "same" if n % 2 else "different", "same" if n % 4 < 2 else "different"
        before = (1 if truth == "same" else -1) * (1 if n % 5 else -1)
        after = (2 if advice == "same" else -2) if followed else 2 * before
        results.append(pair(truth, after, n, block="aided", before=before, advice=advice))
    return results


def split(different: int, same: int, undecided: int = 0) -> list[Result]:
    """20 pairs of each kind: so many of two people called the same, so many of one called two, or left undecided."""
    results = [pair("same", -2 if n < same else 0 if n < same + undecided else 2, n) for n in range(20)]
    return results + [pair("different", 2 if n < different else -2, 20 + n) for n in range(20)]


def rare(pairs: int) -> list[Result]:
    return taken("pre", 30) + [pair("different", 2, n, block="rare") for n in range(pairs)]


SURE = [pair("same", 3, n) for n in range(10)] + [pair("different", -3, 10 + n) for n in range(10)]
LEFT_OUT = [pair("same", 1, 0), pair("same", None, 1), pair("same", 1, 2, known=True)]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (split(1, 0, 12), 'You are slow to say "same", more by leaving pairs undecided than by errors'),
        (split(1, 0, 12), "you left 12 pairs undecided"),
        (split(1, 0, 12), "leaving fewer pairs undecided"),
        (taken("pre", 30), "40 pairs are too few to tell which way your answers lean: of 20 pairs"),
        (split(5, 3), "40 pairs are too few to tell which way your answers lean"),
        (taken("pre", 300, of=400), "Your answers lean hardly or not at all: of 200 pairs"),
        (advised(4), "4 pairs are too few to tell whether the advice moved your answers."),
        (advised(4, followed=True), "4 pairs are too few to tell whether the advice moved your answers."),
        (advised(200), "The machine's advice moved your answers by little, if at all."),
        (advised(200, followed=True), "You lean towards what the machine says"),
        (rare(2), "called 2 of 2 of them the same, elsewhere 5 of 20; 2 such pairs are too few to tell"),
        (rare(10), "that is more than chance makes"),
        (
            [*LEFT_OUT, listed(0, "none", 3, scored=False)],
            "In no figure: 1 trial in which somebody shown is known, 1 trial without an answer, 1 trial without a "
            "known right answer.",
        ),
        (
            SURE,
            "20 pairs can show a likelihood ratio of 21 at most, and of that ratio no more than that it is 2.8 or "
            'larger: no rating of yours can carry words beyond "weak support"',
        ),
        ([SURE[0], SURE[-1]], "no rating of yours can carry any words of support yet"),
    ],
)
def test_no_more_is_said_than_the_trials_can_tell(results: list[Result], said: str) -> None:
    assert said in sentences(results)


def test_a_change_within_chance_is_none() -> None:
    figures = trainee_figures(course(), taken("pre", 30) + taken("post", 33), {})
    (change,) = figures.changes
    assert isinstance(change.score, Change)
    assert (change.score.points, change.score.verdict) == (7.5, Verdict.NO_RELIABLE_CHANGE)
    assert change.score.needed == pytest.approx(196.0 * (64 / 82 * 18 / 82 / 20) ** 0.5, abs=0.01)
    said = "Chance alone can make it; a real change of less than 18.1 points would not show in tests of so many pairs."
    assert f"+7.5 points. {said}" in " ".join(map(render, figures.words.change))
    assert f"{change.score.needed:.1f}" == "18.1"


def test_a_change_beyond_chance_is_said_to_be_one() -> None:
    better = trainee_figures(course(), taken("pre", 25) + taken("post", 35), {})
    worse = trainee_figures(course(), taken("pre", 35) + taken("post", 25), {})
    assert "This is more than chance: you did better." in " ".join(map(render, better.words.change))
    assert "This is more than chance: you did worse." in " ".join(map(render, worse.words.change))
    assert [one.score for one in better.tests] == [62.5, 87.5]
    swapped = trainee_figures(course(), [*taken("post", 30), triad(0, 0), *taken("pre", 30)], {}).blocks
    assert [one.block_id for one in swapped] == ["pre", "triads", "post"]


def test_few_pairs_have_no_score_and_no_change() -> None:
    figures = trainee_figures(course(), taken("pre", 5, of=9) + taken("post", 20), {})
    assert isinstance(figures.changes[0].score, Undefined)
    assert figures.standing.test == "post"
    assert "a change cannot be shown: Fewer than 10 rated pairs" in " ".join(map(render, figures.words.change))


def test_norms_are_marked_as_another_test() -> None:
    found = trainee_figures(course(), taken("pre", 30), {}).standing
    assert {norm.caution for norm in found.norms} == {OTHER_TEST}
    by_title = {render(norm.title): norm for norm in found.norms}
    assert by_title["Glasgow Face Matching Test, short"].percentile == pytest.approx(26.8, abs=0.05)
    assert by_title["Students"].from_memory
    assert isinstance(by_title["Students"].percentile, Undefined)
    gfmt = by_title["Glasgow Face Matching Test, short"]
    assert defined(gfmt.percentile_low) < 2 < 69 < defined(gfmt.percentile_high)
    fewer = trainee_figures(course(), taken("pre", 30, of=39), {}).standing
    assert all(isinstance(norm.percentile, Undefined) and norm.percentile_low is None for norm in fewer.norms)


def test_a_small_cohort_is_told_nothing_of() -> None:
    cohort = {f"t{n}": taken("pre", 20 + n, trainee=f"t{n}") for n in range(1, MIN_COHORT)}
    small = trainee_figures(course(), cohort["t1"], cohort)
    assert isinstance(small.standing.percentile_in_cohort, Undefined)
    assert isinstance(small.cohort_roc, Undefined)
    assert small.crowds == ()
    cohort["t9"] = taken("pre", 30, trainee="t9")
    large = trainee_figures(course(), cohort["t1"], cohort)
    assert large.standing.percentile_in_cohort == pytest.approx(10)
    assert (large.standing.percentile_low, large.standing.percentile_high) == (0, 80)
    assert "By the interval of your score it may be 0 to 80." in " ".join(map(render, large.words.change))
    assert isinstance(large.cohort_roc, Roc)
    assert large.crowds[0].trainees == MIN_COHORT
    others = {name: some for name, some in cohort.items() if name != "t1"}
    assert trainee_figures(course(), cohort["t1"], others) == large


def test_practice_is_named_by_exercise_and_not_for_one_error_in_one_or_in_many() -> None:
    def said(results: list[Result]) -> tuple[str, ...]:
        return tuple(map(render, trainee_figures(course(), results, {}).words.practise))

    results = [listed(None, "candidate:0", n) for n in range(5)] + [listed(1, "candidate:0", 5)]
    practise = " ".join(said([*results, triaged("reject", "usable", 6)]))
    assert "from 5 of 5 lists without the person you picked somebody" in practise
    assert "Too few to tell anything: 1 list with the person, 1 photo to be rejected." in practise
    nothing = "Nothing stands out beyond chance; more trials tell more."
    assert said([listed(None, "candidate:0", 0), triaged("reject", "usable", 1)]) == (
        nothing,
        "Too few to tell anything: 1 list without the person, 1 photo to be rejected.",
    )
    assert said([listed(None, "candidate:0" if n < 2 else "none", n) for n in range(20)]) == (nothing,)


def test_what_went_well_is_said_only_where_it_is_sure() -> None:
    guessing = trainee_figures(course(), [triad(n % 3, 0, n) for n in range(9)], {}).words.went_well
    assert tuple(map(render, guessing)) == ("So far, these answers show nothing that is surely better than guessing.",)
    able = [triad(1, 1, n) for n in range(9)] + [listed(None, "none", 9 + n) for n in range(14)]
    said = " ".join(map(render, trainee_figures(course(), able, {}).words.went_well))
    assert "You found the odd one out in 9 of 9 triads" in said
    assert "nobody from any of the 14 lists" in said
    assert "nobody from any" not in " ".join(map(render, trainee_figures(course(), able[:-1], {}).words.went_well))
    assert rate(0, FEW).interval.high < 0.22
    assert 0.8**FEW < 0.05  # somebody who errs in one of five would seldom be praised


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
    assert (defined(change.better).count, defined(change.better).total) == (6, 12)
    assert defined(change.worse).count == 0
    assert isinstance(change.agreement, Intraclass)
    assert "of 12 trainees 6 did reliably better and 0 reliably worse" in " ".join(map(render, figures.words.change))
    assert [one.test for one in figures.distributions] == ["pre", "post"]
    assert (figures.distributions[0].lowest, figures.distributions[0].highest) == (60.0, 67.5)


def test_each_trainee_has_a_row_by_pseudonym_and_those_without_trials_have_none() -> None:
    figures = cohort_figures(course(), {"t2": person("t2", {"pre": 30}), "t1": person("t1", {"pre": 20}), "t3": []})
    assert figures.trainees == 2
    assert figures.together.pairs is not None
    right = defined(figures.together.pairs.errors.right)
    assert (right.count, right.total) == (50, 80)
    assert "answers of one trainee, and answers to one item, go together" in " ".join(map(render, figures.words.limits))
    assert [row.trainee_id for row in figures.rows] == ["t1", "t2"]
    assert [row.scores for row in figures.rows] == [{"pre": 50.0}, {"pre": 75.0}]
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
        [pair(TRUTHS[n % 2], 3 if n % 2 else -3, n, p_same=n % 2, similarity=0.0) for n in range(40)],
        [pair(TRUTHS[n % 2], -3 if n % 2 else 3, n, p_same=1 - n % 2) for n in range(40)],
        [pair(TRUTHS[n % 2], 0, n) for n in range(40)],
        [pair(TRUTHS[n % 2], 1, n, known=True) for n in range(40)],
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
