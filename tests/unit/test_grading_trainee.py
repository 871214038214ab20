"""Figures of pairs, of a trainee and of a cohort: change, standing, and words that stay below the ceiling."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import hypot, log, log10

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fr_core.scoring.intervals import Interval, Rate, rate, wilson_interval
from fr_core.scoring.likelihood import cllr
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_training.errors import NothingToReport
from fr_training.grading.certainty import FEW
from fr_training.grading.evidence import NO_SUPPORT, POOLED, UNUSED, evidence, words_of
from fr_training.grading.pairs import errors_at, pair_figures
from fr_training.grading.rates import Roc
from fr_training.grading.reports import cohort_figures, trainee_figures
from fr_training.grading.scores import MIN_COHORT, OTHER_TEST
from fr_training.grading.values import Undefined, count, pairs
from fr_training.report import cohort_json, trainee_json
from fr_training.statistics.agreement import Intraclass
from fr_training.statistics.change import Change, Verdict
from fr_training.statistics.decisions import calibration_error_by_chance
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.signal_detection import Sensitivity
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
            'By 20 pairs, no rating of yours is worth more as evidence than "weak support" for one person',
        ),
        ([SURE[0], SURE[-1]], "it carries no words of support yet"),
    ],
)
def test_no_more_is_said_than_the_trials_can_tell(results: list[Result], said: str) -> None:
    assert said in sentences(results)


def test_a_change_is_told_if_it_is_beyond_chance() -> None:
    figures = trainee_figures(course(), taken("pre", 30) + taken("post", 33), {})
    (change,) = figures.changes
    assert isinstance(change.score, Change)
    assert (change.score.points, change.score.verdict) == (7.5, Verdict.NO_RELIABLE_CHANGE)
    assert change.score.needed == pytest.approx(196.0 * (64 / 82 * 18 / 82 / 20) ** 0.5, abs=0.01)
    said = "Chance alone can make such a difference: tests of this length show a change only if it exceeds 18.1 points."
    assert f"+7.5 points. {said}" in " ".join(map(render, figures.words.change))
    assert f"{change.score.needed:.1f}" == "18.1"
    better = trainee_figures(course(), taken("pre", 25) + taken("post", 35), {})
    worse = trainee_figures(course(), taken("pre", 35) + taken("post", 25), {})
    assert "This is more than chance: you did better." in " ".join(map(render, better.words.change))
    assert "This is more than chance: you did worse." in " ".join(map(render, worse.words.change))
    assert [one.score for one in better.tests] == [62.5, 87.5]
    swapped = trainee_figures(course(), [*taken("post", 30), triad(0, 0), *taken("pre", 30)], {}).blocks
    assert [one.block_id for one in swapped] == ["pre", "triads", "post"]
    few = trainee_figures(course(), taken("pre", 5, of=9) + taken("post", 20), {})
    assert isinstance(few.changes[0].score, Undefined)
    assert few.standing.test == "post"
    assert "a change cannot be shown: Fewer than 10 rated pairs" in " ".join(map(render, few.words.change))


def test_headline_figures_leave_adaptive_pairs_out_and_small_classes_have_no_sensitivity() -> None:
    plain = split(3, 2)
    followed = [replace(one, adaptive=True, block_id="open", test="") for one in split(20, 20)]
    alone, both = (trainee_figures(course(), some, {}) for some in (plain, plain + followed))
    assert both.together == alone.together
    assert both.words.bias == alone.words.bias
    adaptive = next(one for one in both.blocks if one.block_id == "open").figures.pairs
    assert adaptive is not None
    for figure in (adaptive.errors.sensitivity, adaptive.roc, adaptive.evidence):
        assert isinstance(figure, Undefined)
        assert "followed how the trainee did" in render(figure.reason)
    assert isinstance(defined(adaptive.errors.right), Rate)  # what happened in it is told
    for same, different, known in ((10, 10, True), (9, 20, False), (20, 9, False)):
        few = [pair("same", 2, n) for n in range(same)] + [pair("different", -2, 20 + n) for n in range(different)]
        found = trainee_figures(course(), few, {})
        assert found.together.pairs is not None
        assert isinstance(found.together.pairs.errors.sensitivity, Sensitivity) is known
        assert "too few to tell which way" in render(found.words.bias[0]) or known
    rows = {f"t{n}": [replace(one, trainee_id=f"t{n}") for one in plain + followed] for n in range(2)}
    cohort = cohort_figures(course(), rows)
    assert {defined(row.sensitivity).mated for row in cohort.rows} == {20}


def test_ability_comes_from_all_ratings_that_only_photos_moved() -> None:
    b = [-1.5, -0.5, 0.0, 0.5, 1.5]
    plain = [replace(one, b=b[n % 5]) for n, one in enumerate(taken("pre", 32))]
    followed = [replace(one, adaptive=True, block_id="open", test="", b=1.5) for one in taken("post", 38)]
    rarely = [pair("different", 3, n, block="rare") for n in range(20)]
    first, second, third = (
        defined(trainee_figures(course(), some, {}).ability) for some in (plain, plain + rarely, plain + followed)
    )
    assert first == second
    assert (first.pairs, first.trainees, third.pairs) == (40, 0, 80)
    assert third.theta.value > first.theta.value  # hard pairs, nearly all of them right
    assert third.theta.standard_error < first.theta.standard_error
    before, after = (
        defined(trainee_figures(course(), advised(40, followed=moved), {}).ability) for moved in (False, True)
    )
    assert before == after  # no advice moves the rating before it
    cautious = defined(trainee_figures(course(), split(0, 9), {}).ability)
    assert cautious.criterion.low > 0.0
    ratios = [one.ratio.value for one in defined(first.weights)]
    assert ratios[0] > 1.0 > ratios[-1]
    assert isinstance(trainee_figures(course(), plain[:9], {}).ability, Undefined)


def test_a_class_of_five_teaches_what_to_expect_of_each() -> None:
    cohort = {f"t{n}": taken("pre", 28 + n, trainee=f"t{n}") for n in range(5)}
    figures = trainee_figures(course(), cohort["t1"], cohort)
    taught = defined(figures.ability)
    assert taught.trainees == 5
    fewer = {name: some for name, some in cohort.items() if name != "t4"}
    alone = defined(trainee_figures(course(), cohort["t1"], fewer).ability)
    assert alone.trainees == 0
    assert taught.theta.standard_error < alone.theta.standard_error
    rows = cohort_figures(course(), cohort).rows
    assert defined(rows[1].ability) == taught.theta
    assert [defined(row.ability).value for row in rows] == sorted(defined(row.ability).value for row in rows)


def test_changes_of_triads_and_lists_have_a_verdict_of_their_own() -> None:
    def odd(test: str, right: int, of: int = 20) -> list[Result]:
        return [replace(triad(1, int(n < right), n), test=test, block_id=f"triads-{test}") for n in range(of)]

    def lists(test: str, right: int) -> list[Result]:
        return [replace(listed(None, "none" if n < right else "candidate:1", n), test=test) for n in range(20)]

    (found,) = trainee_figures(
        course(), [*odd("pre", 8), *lists("pre", 9), *odd("post", 18), *lists("post", 11)], {}
    ).changes
    assert (found.score, found.sensitivity) == (None, None)
    triads, of_lists = defined(found.triads), defined(found.lists)
    assert (triads.points, triads.verdict) == (50.0, Verdict.BETTER)
    assert triads.needed == pytest.approx(196.0 * (27 / 42 * 15 / 42 / 10) ** 0.5, abs=0.01)
    assert (round(of_lists.points), of_lists.verdict) == (10, Verdict.NO_RELIABLE_CHANGE)
    said = " ".join(map(render, trainee_figures(course(), odd("pre", 8) + odd("post", 18), {}).words.change))
    assert "Odd one out: In the first test" in said
    assert "you did better" in said
    few = trainee_figures(course(), odd("pre", 5, 9) + odd("post", 9), {})
    assert isinstance(few.changes[0].triads, Undefined)
    assert "Fewer than 10 triads were answered." in " ".join(map(render, few.words.change))


def test_a_cohort_is_judged_by_its_mean_change_each_trainee_their_own_control() -> None:
    moved = (2, 4, 3, 5, 1)
    cohort = {
        f"t{n}": taken("pre", 24, trainee=f"t{n}") + taken("post", 24 + more, trainee=f"t{n}")
        for n, more in enumerate(moved)
    }
    figures = cohort_figures(course(), cohort)
    (change,) = figures.changes
    mean = defined(change.mean_points)
    points = np.array(moved) * 2.5
    assert mean.value == pytest.approx(points.mean())
    margin = 2.7764 * points.std(ddof=1) / 5**0.5  # Student's quantile of 4 degrees of freedom
    assert (mean.low, mean.high) == pytest.approx((points.mean() - margin, points.mean() + margin), abs=1e-3)
    assert (change.triads, change.lists) == (None, None)
    said = " ".join(map(render, figures.words.change))
    assert "changed by +7.5 points of percent right, by their interval" in said
    assert "As a class they did better, beyond chance." in said
    worse = {
        name: [replace(one, test={"pre": "post", "post": "pre"}[one.test]) for one in some]
        for name, some in cohort.items()
    }
    assert "As a class they did worse" in " ".join(map(render, cohort_figures(course(), worse).words.change))
    apart = {
        f"t{n}": taken("pre", 20, trainee=f"t{n}") + taken("post", after, trainee=f"t{n}")
        for n, after in ((1, 10), (2, 30))
    }
    found = defined(cohort_figures(course(), apart).changes[0].mean_points)
    assert (found.value, found.low, found.high) == (0.0, -100.0, 100.0)


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
    right = defined(defined(figures.together.pairs).errors.right)
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


@pytest.mark.nightly
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


SAME = [3, 3, 2, 2, 1, 0, -1, 3, 2, 1]
DIFFERENT = [-3, -2, -2, -1, 0, 1, -3, -1, -2, 2]


def rated(same: Sequence[int], different: Sequence[int]) -> list[Result]:
    truths = ["same"] * len(same) + ["different"] * len(different)
    return [pair(truth, rating, n) for n, (truth, rating) in enumerate(zip(truths, [*same, *different], strict=True))]


def value(found: Rate | Undefined) -> float:
    return defined(found).value


def test_both_error_rates_are_told_with_and_without_the_undecided() -> None:
    found = pair_figures(rated([2] * 15 + [0] * 2 + [-1] * 3, [-1] * 15 + [1] * 5)).errors
    assert isinstance(found.sensitivity, Sensitivity)
    counts = found.sensitivity.hits, found.sensitivity.mated, found.sensitivity.false_alarms, found.sensitivity.nonmated
    assert counts == (15, 20, 5, 20)  # the undecided count as not called the same
    assert value(found.misses.of_all) == pytest.approx(0.15)
    assert value(found.misses.of_decided) == pytest.approx(3 / 18)
    assert value(found.misses.coverage) == pytest.approx(0.9)
    assert defined(found.false_same.of_all).value == 0.25
    assert defined(found.false_same.of_all).interval.low == pytest.approx(0.1119, abs=5e-5)
    assert value(found.right) == 30 / 40


def test_a_rate_without_trials_says_so_and_is_not_zero() -> None:
    found = pair_figures(rated([1], []))
    assert found.errors.false_same.of_all == Undefined(message("none.pairs_of_two"))
    assert found.errors.misses.of_all == Rate(0, 1, found.errors.misses.of_all.interval)  # type: ignore[union-attr]
    for one in (found.errors.sensitivity, found.roc, found.evidence, found.probabilities, found.with_machine):
        assert isinstance(one, Undefined)
        assert render(one.reason)
    undecided = pair_figures(rated([0, 0], [0])).errors.misses
    assert (value(undecided.of_all), value(undecided.coverage)) == (0.0, 0.0)
    assert isinstance(undecided.of_decided, Undefined)


def test_the_area_has_delongs_interval_unless_it_is_perfect() -> None:
    found = defined(pair_figures(rated(SAME, DIFFERENT)).roc)
    assert found.area.value == pytest.approx(0.89)
    assert found.area.standard_error == pytest.approx(0.0709, abs=5e-5)
    assert isinstance(found.area.interval, Interval)
    assert [(one.false_same, one.hits) for one in (found.points[0], found.points[-1])] == [(0.0, 0.0), (1.0, 1.0)]
    perfect = defined(pair_figures(rated([2] * 5, [-2] * 5)).roc).area
    assert (perfect.value, isinstance(perfect.interval, Undefined)) == (1.0, True)


def test_each_rating_is_worth_its_empirical_ratio() -> None:
    found = evidence(rated(SAME, DIFFERENT))
    assert [one.level for one in found.levels] == [3, 2, 1, 0, -1, -2, -3]
    assert [round(one.ratio, 3) for one in found.levels] == [7.0, 2.333, 1.667, 1.0, 0.6, 0.143, 0.2]
    assert found.ceiling_same == pytest.approx(21)
    assert {one.words for one in found.levels} == {NO_SUPPORT}  # ten pairs of each kind bound no ratio away from 1
    assert all(one.low is not None and one.low < one.ratio for one in found.levels)
    assert (found.levels[0].high, found.levels[-1].low) == (None, 0.0)  # no pair of the other kind was rated so


def test_words_go_by_the_end_of_the_interval_that_is_nearer_to_1() -> None:
    found = evidence(rated([3] * 40 + [1] * 10, [3] * 4 + [-3] * 46))
    first, last = found.levels[0], found.levels[-1]
    assert first.ratio == pytest.approx(9)
    low, high = wilson_interval(40, 50), wilson_interval(4, 50)
    margin = hypot(log(40.5 / 53.5 / low.low), log(4.5 / 53.5 / high.high))
    assert log(first.ratio / defined(first.low)) == pytest.approx(margin)
    assert (
        render(first.words) == "weak support for one person" == f"{render(words_of(defined(first.low)))} for one person"
    )
    assert render(last.words) == f"{render(words_of(1 / defined(last.high)))} for two people"
    assert last.ratio == pytest.approx(0.5 / 46.5)
    assert render(words_of(1 / last.ratio)) == "moderate support"
    assert render(last.words) == "moderate support for two people"


def test_words_beyond_the_ceiling_are_refused_however_sure_the_trainee_is() -> None:
    found = evidence(rated([3] * 10, [-3] * 10))
    assert found.levels[0].ratio == pytest.approx(found.ceiling_same) == pytest.approx(21)
    assert found.levels[0].low == pytest.approx(found.least_same) == pytest.approx(2.7987, abs=1e-4)
    assert render(found.levels[0].words) == "weak support for one person"
    assert found.strongest_same == message("support.weak")
    assert tuple(map(render, found.refused)) == (
        "moderate support",
        "moderately strong support",
        "strong support",
        "very strong support",
        "extremely strong support",
    )
    assert {one.words for one in found.levels[1:-1]} == {UNUSED}


def test_answers_of_several_trainees_carry_no_words_and_their_pairs_count_once() -> None:
    cohort = [
        pair(truth, rating, n, trainee=trainee)
        for trainee in ("t1", "t2")
        for n, (truth, rating) in enumerate([("same", 3)] * 10 + [("different", -3)] * 10)
    ]
    found = evidence(cohort)
    assert found.ceiling_same == pytest.approx(21)
    assert {one.words for one in found.levels} == {POOLED}
    assert (found.strongest_same, found.strongest_different, found.refused) == ("", "", ())
    assert found.levels[0].low is None


@pytest.mark.parametrize("pairs_of_each", [10, 25, 110])
def test_who_guesses_has_no_words(pairs_of_each: int) -> None:
    rng = np.random.default_rng(pairs_of_each)
    draws = [rng.integers(-3, 4, (2, pairs_of_each)).tolist() for _ in range(150)]
    said = [{one.words for one in evidence(rated(*draw)).levels} - {NO_SUPPORT, UNUSED} for draw in draws]
    assert sum(map(bool, said)) <= 3  # of seven levels each; by the ratio itself it was 61 % of them


def test_no_trial_is_evidence_for_itself() -> None:
    def log_ratio(level: int, own: list[int], other: list[int], sign: int) -> float:
        rest = list(own)
        rest.remove(level)
        here, there = (rest.count(level) + 0.5) / (len(rest) + 3.5), (other.count(level) + 0.5) / (len(other) + 3.5)
        return sign * log10(here / there)

    same = np.array([log_ratio(level, SAME, DIFFERENT, 1) for level in SAME])
    different = np.array([log_ratio(level, DIFFERENT, SAME, -1) for level in DIFFERENT])
    assert evidence(rated(SAME, DIFFERENT)).cllr == pytest.approx(cllr(same, different))


def test_stated_probabilities_are_judged() -> None:
    stated = [0.95, 0.8, 0.6, 0.5, 0.3, 0.9, 0.1, 0.2, 0.4, 0.05]
    truth = [1, 1, 1, 1, 0, 0, 0, 0, 1, 0]
    results = [
        pair("same" if same else "different", 1, n, p_same=p)
        for n, (same, p) in enumerate(zip(truth, stated, strict=True))
    ]
    found = defined(pair_figures(results).probabilities)
    assert found.brier == pytest.approx(0.1765)
    assert found.log_loss == pytest.approx(0.54338, abs=5e-6)
    assert found.calibration_error == pytest.approx(0.28)
    assert found.calibration_error_by_chance == calibration_error_by_chance(np.array(stated))
    assert sum(one.same.total for one in found.bins) == 10


def test_a_stated_certainty_undefines_the_log_loss_if_wrong_and_not_the_cost_of_the_others() -> None:
    wrong = pair_figures([pair("same", -3, 0, p_same=0.0), pair("different", 1, 1, p_same=0.5)])
    assert isinstance(defined(wrong.probabilities).log_loss, Undefined)
    stated = [pair("same" if n % 2 else "different", 1, n, p_same=0.8 if n % 2 else 0.3) for n in range(20)]
    certain = [pair("same", 3, 20, p_same=1.0), pair("different", 3, 21, p_same=1.0)]
    found = evidence([*stated, *certain])
    assert found.stated_cllr == evidence(stated).stated_cllr
    assert isinstance(found.stated_cllr, float)
    assert (found.stated_certain, found.stated_certain_wrong) == (2, 1)
    assert isinstance(evidence(certain).stated_cllr, Undefined)


def test_a_place_of_errors_stands_out_only_beyond_chance() -> None:
    rng = np.random.default_rng(2)
    b = np.linspace(-2, 2, 25)

    def places(wrong: Callable[[str, int], float]) -> list[tuple[str, str]]:
        some = [
            pair(truth, sign * (-2 if rng.random() < wrong(truth, n) else 2), n, b=float(b[n]))
            for truth, sign in (("same", 1), ("different", -1))
            for n in range(25)
        ]
        return [(one.truth, one.third) for one in errors_at(some) if one.stands_out]

    assert sum(bool(places(lambda truth, n: 0.5)) for _ in range(200)) <= 12
    found = [places(lambda truth, n: 0.9 if truth == "same" and n > 16 else 0.1) for _ in range(20)]
    assert sum(one == [("same", "hard")] for one in found) >= 18


def test_a_place_that_a_few_items_make_does_not_stand_out_in_a_cohort() -> None:
    b = np.linspace(-2, 2, 24)
    same = [pair("same", -2 if n in (17, 20) else 2, n, b=b[n]) for n in range(24)]
    different = [pair("different", -2, n + 24, b=b[n]) for n in range(24)]
    everybody = [replace(one, trainee_id=f"t{t}") for t in range(20) for one in (*same, *different)]
    assert not any(one.stands_out for one in errors_at(everybody))
    hard = [
        replace(one, rating=-2, answer="different", correct=False)
        if one.truth == "same" and (one.b or 0) > 0.8
        else one
        for one in everybody
    ]
    assert [(one.truth, one.third) for one in errors_at(hard) if one.stands_out] == [("same", "hard")]


def test_the_machine_is_told_at_its_threshold_and_at_a_false_match_rate() -> None:
    looks = (0.6, 0.3, 0.2, -0.1)
    some = [pair("same", 1, n, similarity=one) for n, one in enumerate(looks)]
    some += [pair("different", -1, 4 + n, similarity=one) for n, one in enumerate(looks)]
    found = pair_figures(some).machine
    search, at_fmr = defined(found.search), defined(found.at_fmr)
    assert (defined(search.misses).count, defined(search.false_same).count) == (1, 3)  # from 0 on, as the helper has it
    assert (defined(at_fmr.misses).count, defined(at_fmr.false_same).count) == (2, 2)  # from .25 on
    earlier = [replace(one, machine_search="", machine_at_fmr="") for one in some]
    none = pair_figures(earlier).machine
    assert isinstance(none.search, Undefined)
    assert isinstance(none.at_fmr, Undefined)
    assert none.roc == found.roc


def test_both_together_are_held_against_the_better_of_both() -> None:
    rng = np.random.default_rng(3)

    def gain(noise: float, machine: float) -> Estimate:
        some = []
        for n in range(200):
            truth = 1 if n % 2 else -1
            rating = int(np.clip(round(truth + rng.normal(0, noise)), -3, 3))
            some.append(pair("same" if n % 2 else "different", rating, n, similarity=truth + rng.normal(0, machine)))
        found = pair_figures(some).with_machine_gain
        assert isinstance(found, Estimate)
        return found

    assert gain(1.2, 1.2).low > 0.0
    worse = gain(0.5, 20.0)
    assert worse.high < 0.0
    alone = pair_figures(
        [pair("same" if n % 2 else "different", 3 if n % 2 else -3, n, similarity=n % 2) for n in range(8)]
    )
    assert isinstance(alone.with_machine_gain, Undefined)


def test_errors_lie_where_they_were_made_and_times_leave_pauses_out() -> None:
    results = [pair("same", -1 if n >= 8 else 1, n, b=float(n), difficulty=1 + n // 10 * 4) for n in range(12)]
    figures = pair_figures(results)
    found = {(one.truth, one.third): one.wrong for one in figures.errors_at}
    assert [value(found["same", third]) for third in ("easy", "middle", "hard")] == [0.0, 0.0, 1.0]
    assert isinstance(found["different", "hard"], Undefined)
    hardest = figures.felt[-1]
    assert (hardest.level, hardest.trials, hardest.mean_b, value(hardest.right)) == (5, 2, 10.5, 0.0)
    took = [pair("same", 1, n, took_ms=ms, paused=ms > 9_000) for n, ms in enumerate((1_000, 3_000, 90_000))]
    times = pair_figures([*took, pair("same", -1, 3, took_ms=7_000)]).times
    right, wrong = defined(times.right), defined(times.wrong)
    assert (right.median_ms, right.trials, wrong.median_ms) == (2_000.0, 2, 7_000.0)


def test_the_machine_is_told_on_the_same_pairs_and_says_one_thing_of_each() -> None:
    results = [pair("same", 1, n, similarity=0.5 - n / 10) for n in range(8)]
    results += [pair("different", -1 if n else 1, 8 + n, similarity=-0.5 + n / 10) for n in range(8)]
    found = pair_figures(results)
    assert value(defined(found.machine.search).right) == 11 / 16  # 0 says "different"
    assert isinstance(found.machine.cllr, float)
    assert defined(found.with_machine).value > defined(found.machine.roc).area.value

    def judged(trainees: int) -> list[Result]:
        truths, similarities = ("same", "same", "different", "different"), (0.4, -0.1, 0.2, -0.3)
        return [
            pair(truth, 1 if (n + trainee) % 4 else -1, n, trainee=f"t{trainee}", similarity=similarity)
            for trainee in range(trainees)
            for n, (truth, similarity) in enumerate(zip(truths, similarities, strict=True))
        ]

    one, many = pair_figures(judged(1)), pair_figures(judged(20))
    assert replace(many.machine, agrees=one.machine.agrees) == one.machine
    assert (
        many.machine.trials,
        defined(defined(many.machine.search).right).count,
        defined(defined(many.machine.search).right).total,
    ) == (4, 2, 4)
    assert defined(many.machine.agrees).total == 80  # answers, which differ from trainee to trainee
    assert isinstance(defined(many.roc).area.interval, Interval)
    reason = message("undefined.shared_similarity")
    assert (defined(many.with_machine).interval, defined(many.with_machine).standard_error) == (Undefined(reason), None)
    assert defined(one.with_machine).interval != Undefined(reason)


def test_known_and_unanswered_trials_are_counted_and_in_no_figure() -> None:
    results = [
        pair("same", 1, 0),
        pair("same", -3, 1, known=True),
        pair("same", None, 2),
        pair("same", None, 3, known=True),
    ]
    assert json.dumps([one.ordinal for one in pairs(results)]) == "[0]"
    found = count(results)
    assert (found.shown, found.answered, found.unanswered, found.known_to_me) == (4, 1, 1, 2)
    assert pair_figures(pairs(results)) == pair_figures([results[0]])
