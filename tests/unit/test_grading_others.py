"""Figures of all but pairs, what courses learn of items, and what chance alone makes a cohort's report say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.scoring.auc import auc
from fr_core.scoring.intervals import Rate, UndefinedRate
from fr_core.scoring.likelihood import expected_calibration_error
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_training.courses import ByPeople, Learned
from fr_training.grading.advice import aided_figures, prevalence_figures
from fr_training.grading.fusion import crowds, pairing
from fr_training.grading.groups import Spread, group_figures
from fr_training.grading.items import item_rows, learned
from fr_training.grading.kinds import list_figures, triad_figures, triage_figures
from fr_training.grading.rates import error_figures
from fr_training.grading.reports import cohort_figures
from fr_training.grading.scores import in_order, trainee_learning
from fr_training.grading.trainee_means import OwnFigures, own_figures
from fr_training.grading.values import PLAIN_PAIRS, Area, Undefined, judged, plain_pairs
from fr_training.grading.verification import agreement_figures, first_judgements, with_partners
from fr_training.statistics.clustered import mean_of_people, spread_of_items, t_quantile
from fr_training.statistics.decisions import MOST_EXACT, calibration_error_by_chance
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_analysis import MIN_PEOPLE, below_guessing
from fr_training.statistics.item_response import eap, probability
from fr_training.trials import Result
from support.counts import NIGHTLY
from support.lazy_module import LazyModule
from support.results import KIND, course, defined, listed, pair, results, triad, triaged

Course = dict[str, tuple[Result, ...]]


def counts(found: Rate | Undefined) -> tuple[int, int]:
    assert isinstance(found, Rate)
    return found.count, found.total


def test_triads_give_an_ability_by_guessing_of_a_third() -> None:
    answers = [True, True, True, False, False]
    results = [triad(1, 1 if right else 2, n, b=n / 2 - 1) for n, right in enumerate(answers)]
    found = triad_figures(results)
    assert (round(defined(found.ability).theta, 4), round(defined(found.ability).sd, 4)) == (-0.0669, 0.8028)
    assert counts(found.right) == (3, 5)
    assert not found.better_than_guessing
    assert counts(found.machine) == (0, 5)
    both = triad_figures([triad(1, 1), triad(1, 1, trainee="t2")])
    assert both.ability == Undefined(message("undefined.ability_of_several"))
    assert isinstance(triad_figures([triad(1, 1, b=None)]).ability, Undefined)
    assert triad_figures([triad(1, 1, n) for n in range(5)]).better_than_guessing


def test_of_triads_and_lists_of_many_trainees_the_machine_says_one_thing_each() -> None:
    trainees = [f"t{n}" for n in range(20)]
    triads = [triad(n % 2, 0, n, trainee=trainee) for trainee in trainees for n in range(4)]
    found = triad_figures(triads)
    assert (counts(found.right), counts(found.machine)) == ((40, 80), (2, 4))
    lists = [listed(n % 2, "none", n, trainee=trainee) for trainee in trainees for n in range(4)]
    assert counts(list_figures(lists).machine_first) == (2, 4)
    # Each sends a photo of their own, of which the machine says something else.
    own = [listed(n % 2, "none", n, trainee=trainee, block="own") for trainee in trainees for n in range(2)]
    assert counts(list_figures(own).machine_first) == (20, 40)


def test_picks_foils_and_false_alarms_and_what_triage_let_through_are_told_apart() -> None:
    lists = [listed(2, "candidate:2", n) for n in range(13)]
    lists += [listed(2, "candidate:1", 13), listed(2, "candidate:1", 14), listed(2, "none", 15)]
    lists += [listed(2, "inconclusive", 16 + n) for n in range(4)]
    lists += [listed(None, "candidate:0" if n < 5 else "none", 20 + n) for n in range(20)]
    lists.append(listed(None, "candidate:0", 40, scored=False))
    found = list_figures(lists)
    picks = found.picks
    assert (counts(picks.right), counts(picks.foils), counts(picks.missed)) == ((13, 20), (2, 20), (1, 20))
    assert counts(picks.false_alarms) == (5, 20)
    assert counts(picks.wrong.of_all) == (8, 40)
    assert counts(picks.wrong.of_decided) == (8, 36)
    assert counts(picks.wrong.coverage) == (36, 40)
    assert found.unscored == 1
    assert counts(found.machine_first) == (0, 20)
    assert [one.candidates for one in found.by_length] == [5]
    photos = [triaged("reject", "usable", 0, degraded="blur", reasons="")]
    photos += [triaged("reject", "reject", 1, degraded="blur", reasons="blur+noise")]
    photos += [triaged("usable", "reject", 2), triaged("limited", "limited", 3), triaged("reject", "limited", 4)]
    triage = triage_figures(photos)
    assert (counts(triage.right), counts(triage.let_through), counts(triage.thrown_away)) == ((2, 5), (2, 3), (1, 1))
    assert (triage.confusion[2].truth, triage.confusion[2].usable, triage.confusion[2].reject) == ("reject", 1, 1)
    assert (triage.degradations[0].degraded, counts(triage.degradations[0].named)) == ("blur", (1, 2))


def aided() -> list[Result]:
    """Somebody who says what the machine says."""
    return [
        pair(truth, 2 if advice == "same" else -2, n, block="aided", before=1 if n % 2 else -1, advice=advice)
        for n in range(40)
        for truth, advice in [("same" if n % 2 else "different", "same" if n % 4 < 2 else "different")]
    ]


def test_who_follows_the_machine_is_found_out_and_rare_mismatches_held_against_usual_ones() -> None:
    found = defined(aided_figures(aided(), 1))
    assert counts(found.right_before) == (40, 40)
    assert counts(found.right_after) == (20, 40)
    assert counts(found.misled) == (20, 20)
    assert isinstance(found.helped, Undefined)  # no answer was left to be mended
    bias = defined(found.bias)
    assert bias.net.low > 0
    labels = defined(bias.by_label)
    assert [one.mated for one in (labels.told_same, labels.told_different)] == [10, 10]
    assert labels.shift.criterion.low > 0
    few = defined(aided_figures(aided()[:-4], 1))  # 9 of each kind under each label
    assert defined(few.bias).net.low > 0
    assert not isinstance(few.gain, Undefined)
    for hidden in (defined(few.bias).by_label, defined(aided_figures(aided()[:18], 1)).gain):
        assert isinstance(hidden, Undefined)
        assert "Fewer than 10 pairs" in render(hidden.reason)
    assert aided_figures(aided(), 1) == found
    assert isinstance(aided_figures([pair("same", 1, block="aided", before=None, advice="same")], 1), Undefined)
    results = [pair("different", 1 if n < 8 else -1, n, block="rare") for n in range(10)]
    results += [pair("different", 1 if n < 2 else -1, n) for n in range(20)]
    rare = defined(prevalence_figures(results))
    assert defined(rare.false_same).value == pytest.approx(0.7)
    assert defined(rare.false_same).low > 0
    assert isinstance(rare.sensitivity, Undefined)


def test_blind_verification_is_compared_with_the_partners_own_judgement() -> None:
    first = [3, 2, 1, 0, -1, -2, -3, 2]
    verifier = [2, 2, 1, -1, -1, -3, -3, 3]
    truths = ["same"] * 3 + ["different"] * 4 + ["same"]

    def judged_by(ratings: list[int], **options: Any) -> list[Result]:
        rows = enumerate(zip(truths, ratings, strict=True))
        return [pair(truth, rating, n, item=f"i{n}", form="open-0", **options) for n, (truth, rating) in rows]

    cohort = {"t2": judged_by(first, trainee="t2", block="open")}
    mine = judged_by(verifier, block="blind", partner="t2")
    mine.append(pair("same", 1, 8, block="blind", item="i8", form="open-0"))
    found = defined(agreement_figures(mine, first_judgements(cohort)))
    assert (found.pairs, found.alone) == (8, 1)
    assert isinstance(found.quadratic_kappa, Estimate)
    assert (round(defined(found.linear_kappa).value, 4), round(found.quadratic_kappa.value, 4)) == (0.7895, 0.9429)
    assert (found.own_only, found.first_only) == (1, 0)
    assert isinstance(found.fused_area, Area)
    known = {"t2": [replace(one, known_to_me=True) for one in cohort["t2"]]}
    found = defined(agreement_figures(mine[:1], first_judgements(known)))
    assert (found.pairs, found.alone) == (0, 1)
    assert isinstance(found.same_word, Undefined)


def opinions(trainees: int) -> dict[str, list[Result]]:
    """Each trainee errs on other items."""

    def rating(n: int, t: int) -> int:
        return (1 if n % 2 else -1) * (-2 if (n + t) % 5 == 0 else 2)

    return {
        f"t{t}": [pair("same" if n % 2 else "different", rating(n, t), n, trainee=f"t{t}") for n in range(20)]
        for t in range(trainees)
    }


def test_crowds_get_better_as_they_grow_and_learning_follows_the_order_of_trials() -> None:
    (found,) = crowds(opinions(5), 1)
    assert (found.form, found.trainees, found.items) == ("pre", 5, 20)
    areas = [size.area for size in found.sizes]
    assert [size.size for size in found.sizes] == [1, 2, 3, 4, 5]
    assert defined(areas[1]).area > defined(areas[0]).area
    assert isinstance(areas[2], Undefined)  # three never err together, so that resamples show nothing
    half = opinions(3) | {"t2": opinions(3)["t2"][:8]}  # who rated less than half stands for nobody
    assert crowds(half, 1)[0].trainees == 2
    assert crowds(half, 1, least_trainees=3) == ()
    results = [pair("same", 1 if n >= 20 else -1, n) for n in range(40)][::-1]
    results += [pair("same", -1, 99, block="rare")]
    learning = defined(trainee_learning(course(), results))
    assert [point.right.value for point in learning.points] == [0.0, 1.0]
    assert isinstance(trainee_learning(course(), results[-1:]), Undefined)
    assert KIND["rare"] not in PLAIN_PAIRS


def test_an_item_that_the_able_get_wrong_is_set_aside_and_one_of_few_people_is_not() -> None:
    cohort = {
        f"t{t}": [pair("same", 1 if n > 10 * t / 30 else -1, n, trainee=f"t{t}") for n in range(6, 20)]
        + [pair("same", 1 if t > 15 else -1, 20, trainee=f"t{t}")]
        for t in range(30)
    }
    rows = item_rows(cohort)
    assert [row.item_id for row in rows if row.quarantined] == ["pre-20"]
    aside = next(row for row in rows if row.quarantined)
    assert isinstance(aside.correlation, float)
    assert aside.correlation < 0
    assert aside.people == 30
    assert counts(aside.right) == (14, 30)
    assert isinstance(aside.updated_b, float) or isinstance(aside.human_b, Undefined)
    rows = item_rows({f"t{t}": [pair("same", 1, 0, trainee=f"t{t}", known=t == 0)] for t in range(19)})
    assert (rows[0].known_to_me, counts(rows[0].right)) == (1, (18, 18))
    assert isinstance(rows[0].human_b, Undefined)
    assert not rows[0].quarantined
    assert len(judged([pair("same", 1, known=True)])) == 0


def cohort(*rated: tuple[int | None, int | None]) -> Course:
    """Trainees in turn of half 0 and 1, with the rating of the own pair and that of the other half's."""
    return {
        f"T-{number}": tuple(
            pair("same", rating, trainee=f"T-{number}", block=block, form=f"opinion-{half}", item=f"item-{half}")
            for block, rating, half in (("open", own, number % 2), ("blind", other, 1 - number % 2))
        )
        for number, (own, other) in enumerate(rated)
    }


@pytest.mark.parametrize(
    ("rated", "partners"),
    [
        (((1, 2), (2, 1), (3, -1), (-2, 2)), ["T-1", "T-0", "T-3", "T-2"]),
        (((1, 2), (None, 1), (3, -1), (-2, 2)), ["T-3", "T-0", "T-3", "T-2"]),
        (((1, 2), (2, 1), (3, -1)), ["T-1", "T-0", "T-1"]),
        (((1, 2),), [""]),
        (((1, 2), (None, 3)), ["", "T-0"]),
    ],
)
def test_neighbours_verify_each_other_or_the_next_who_judged(
    rated: tuple[tuple[int | None, int | None], ...], partners: list[str]
) -> None:
    assert [results[1].partner for results in with_partners(cohort(*rated)).values()] == partners


def test_nothing_else_is_changed_and_agreement_is_told_of_the_couples() -> None:
    before = cohort((3, 3), (3, 3), (-1, 2), (2, -2))
    after = with_partners(before)
    assert {t: tuple(replace(one, partner="") for one in found) for t, found in after.items()} == before
    assert all(one.partner == "" for found in after.values() for one in found[:1])
    figures = defined(agreement_figures(after["T-2"], first_judgements(after)))
    assert (figures.pairs, figures.alone) == (1, 0)


B = np.linspace(-2.0, 2.0, 12)


def answers(trainee: str, right: npt.NDArray[np.bool_], block: str = "pre") -> tuple[Result, ...]:
    """A trainee's answers to twelve pairs."""
    return tuple(
        pair("same", 2 if good else -2, place, trainee=trainee, block=block, b=float(B[place]), item=f"i{place}")
        for place, good in enumerate(right.tolist())
    )


def drawn(people: int, seed: int, block: str = "pre", first: str = "t", turned: int | None = None) -> Course:
    """Trainees who answer twelve pairs as the model says; to one of them the able answer wrongly."""
    rng = np.random.default_rng(seed)
    course = {}
    for number in range(people):
        ability = rng.normal() * 2.0
        right = rng.random(len(B)) < probability(ability, B, 0.0)
        if turned is not None:
            right[turned] = ability < 0.0
        course[f"{first}{number}"] = answers(f"{first}{number}", right, block)
    return course


def test_difficulties_take_twenty_people_and_rise_with_how_hard_items_are() -> None:
    first, second = drawn(10, 1, first="a"), drawn(10, 2, first="b")
    assert learned([first]) == learned([first, drawn(9, 2, first="b")]) == learned([]) == Learned()
    found = learned([first, second]).difficulties
    assert {item: one.people for item, one in found.items()} == {f"i{place}": MIN_PEOPLE for place in range(12)}
    course = drawn(200, 4)
    easy = {
        trainee: (*own, pair("same", 3, 12, trainee=trainee, b=0.0, item="easy")) for trainee, own in course.items()
    }
    found = learned([easy]).difficulties
    assert np.corrcoef([found[f"i{place}"].b for place in range(12)], B)[0, 1] > 0.9
    assert -4.0 < found["easy"].b < min(one.b for item, one in found.items() if item != "easy")


def test_a_difficulty_is_the_expected_one_given_the_abilities() -> None:
    course = drawn(30, 3)
    thetas, right = [], []
    for own in course.values():
        correct = np.array([one.correct is True for one in own])
        thetas.append(eap(B, correct, 0.5).theta)
        right.append(correct[4])
    expected = -eap(-np.array(thetas), np.array(right), 0.5).theta  # ability and difficulty differ by their sign alone
    assert learned([course]).difficulties["i4"] == ByPeople(expected, 30)
    aided = {
        trainee: (*own, pair("same", -3, 20, trainee=trainee, block="aided", b=0.0, item="i3", advice="different"))
        for trainee, own in course.items()
    }
    assert learned([aided]) == learned([course])
    triads = {
        f"t{n}": tuple(triad(0, 0 if (n + place) % 3 else 1, place, trainee=f"t{n}", b=0.0) for place in range(6))
        for n in range(30)
    }
    answers = [np.array([bool((n + place) % 3) for place in range(6)]) for n in range(30)]
    abilities = np.array([eap(np.zeros(6), one, 1 / 3).theta for one in answers])
    wanted = -eap(-abilities, np.array([one[0] for one in answers]), 1 / 3).theta
    assert learned([triads]).difficulties["triads-0"] == ByPeople(wanted, 30)


@pytest.mark.parametrize(
    ("block", "counts"), [("pre", True), ("open", True), ("blind", True), ("aided", False), ("rare", False)]
)
def test_answers_that_advice_or_rarity_moves_do_not_count(block: str, counts: bool) -> None:
    found = learned([drawn(40, 7, block, turned=11)])
    assert bool(found.difficulties) == bool(found.suspects) == counts


def test_what_was_not_answered_or_shows_somebody_known_does_not_count() -> None:
    course = drawn(30, 9)
    some = {
        trainee: (replace(own[0], known_to_me=True), replace(own[1], answer="", correct=None), *own[2:])
        if number < 15
        else own
        for number, (trainee, own) in enumerate(course.items())
    }
    found = learned([some]).difficulties
    assert set(found) == {f"i{place}" for place in range(2, 12)}


@given(st.integers(0, 10_000), st.integers(4, 40))
def test_of_one_course_the_same_items_are_suspect_as_its_report_quarantines(seed: int, people: int) -> None:
    course = drawn(people, seed, turned=seed % 12)
    assert learned([course]).suspects == {row.item_id for row in item_rows(course) if row.quarantined}


@given(st.lists(results("t1"), min_size=1, max_size=3))
def test_any_answers_are_read(rows: list[Sequence[Result]]) -> None:
    assert learned([{"t1": tuple(own)} for own in rows]) == Learned()  # three people are too few


def test_items_on_which_the_able_do_worse_are_suspect_and_courses_weigh_by_their_people() -> None:
    assert "i6" in learned([drawn(60, 10, turned=6)]).suspects
    assert "i6" in learned([drawn(MIN_PEOPLE, 10, turned=6)]).suspects
    assert "i6" not in learned([drawn(MIN_PEOPLE - 1, 10, turned=6)]).suspects
    misled, sound = drawn(30, 11, first="a", turned=6), drawn(90, 12, first="b")
    assert "i6" in learned([misled]).suspects
    assert "i6" not in learned([sound]).suspects
    assert "i6" not in learned([misled, sound]).suspects
    assert "i6" in learned([drawn(90, 11, first="a", turned=6), drawn(30, 12, first="b")]).suspects
    parts = [drawn(12, seed, first=f"c{seed}-", turned=6) for seed in range(5)]
    assert not any(learned([part]).suspects for part in parts)
    assert "i6" in learned(parts).suspects


stats = LazyModule("scipy.stats")

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


def test_a_cohort_leans_only_if_its_trainees_do_so_together() -> None:
    rng = np.random.default_rng(1)
    pooled = by_trainees = 0
    for _ in range(RUNS):
        cohort = leaning(rng, 12, 60)
        by_trainees += excludes(own(cohort).criterion)
        together = error_figures([one for some in cohort.values() for one in some]).sensitivity
        assert not isinstance(together, Undefined)
        pooled += excludes(together.criterion)
    assert by_trainees <= 0.08 * RUNS  # 5 % and what the runs scatter
    assert pooled > 0.2 * RUNS
    found = [own(leaning(rng, 12, 60, lean=0.5)).criterion for _ in range(15)]
    assert sum(isinstance(one, Estimate) and one.low > 0.0 for one in found) >= 14


def test_guessing_trainees_of_a_cohort_are_no_better_than_guessing() -> None:
    rng = np.random.default_rng(3)
    dprime = area = 0
    for _ in range(RUNS):
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
    assert dprime <= 0.08 * RUNS
    assert area <= 0.1 * RUNS


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
    assert sum(excludes(own(advised(rng, 20, 8, 0.5)).net) for _ in range(RUNS)) <= 0.08 * RUNS
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


def test_groups_differ_only_beyond_chance_and_few_items_make_no_rate() -> None:
    rng = np.random.default_rng(8)
    assert sum(spread(labelled(rng, 30, 12, 1.0), n).beyond_chance for n in range(RUNS)) <= 0.08 * RUNS
    found = [spread(labelled(rng, 40, 12, 0.5, apart=1.5), n) for n in range(10)]
    assert all(one.beyond_chance and 1.0 < one.low < one.max_to_min < one.high for one in found)
    (figures,) = group_figures(labelled(np.random.default_rng(9), 29, 20, 0.0))
    assert {(group.same, group.same_items) for group in figures.groups} == {(580, 29)}
    for group in figures.groups:
        assert isinstance(group.misses, Undefined)
        assert "different pairs" in render(group.misses.reason)
        assert isinstance(group.misses_interval, Undefined)
    assert isinstance(figures.misses, Undefined)


def turned(people: int, seed: int) -> Course:
    """Trainees who answer as the model says; the key of one easy item is wrong, and all have it wrong alike."""
    rng = np.random.default_rng(seed)
    found = {}
    for t in range(people):
        right = rng.random(12) < probability(float(rng.normal(0.6, 0.3)), B, 0.5)
        right[0] = rng.random() < 0.15
        found[f"t{t}"] = answers(f"t{t}", right)
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
    cohort = leaning(np.random.default_rng(10), 3, 10)
    both = {
        trainee: [*results, *(replace(one, block_id="open", form="open") for one in results)]
        for trainee, results in cohort.items()
    }
    assert [one.form for one in crowds(both, 1)] == ["open", "pre"]
    followed = {
        trainee: [replace(one, adaptive=one.form == "open") for one in results] for trainee, results in both.items()
    }
    assert [one.form for one in crowds(followed, 1)] == ["pre"]
    assert in_order([pair("same", 1, 0), pair("same", -1, 1, block="blind")]) == [True]


def test_trainees_of_like_ability_are_paired() -> None:
    rng = np.random.default_rng(5)
    cohort = {}
    for n, noise in enumerate((0.6, 2.4, 0.7, 2.5, 1.4)):
        ratings = [int(np.clip(round((1 if k % 2 else -1) + rng.normal(0, noise)), -3, 3)) for k in range(40)]
        cohort[f"t{n}"] = [
            pair("same" if k % 2 else "different", rating, k, trainee=f"t{n}") for k, rating in enumerate(ratings)
        ]
    abilities = {"t0": 2.0, "t1": -1.0, "t2": 1.9, "t3": -1.2, "t4": 0.5}
    found = defined(pairing(cohort, abilities))
    assert [(one.first, one.second) for one in found.couples] == [("t0", "t2"), ("t1", "t3")]
    assert [round(one.apart, 1) for one in found.couples] == [0.1, 0.2]
    own, other = (np.array([one.rating for one in cohort[name]], dtype=np.float64) for name in ("t0", "t2"))
    mated = np.arange(40) % 2 == 1
    assert found.couples[0].better == max(auc(one[mated], one[~mated]) for one in (own, other))
    assert found.couples[0].together == auc(((own + other) / 2)[mated], ((own + other) / 2)[~mated])
    gains = [one.together - one.better for one in found.couples]
    assert defined(found.gain).value == pytest.approx(np.mean(gains))
    assert found.any_gain is not None
    assert found.any_gain < np.mean(gains)  # a weak partner draws a strong one down
    assert isinstance(pairing(cohort, {"t0": 1.0}), Undefined)


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
    for wrong, item in ((np.array([[1.0]]), 0.0), (np.array([1.0, np.nan]), 0.0), (values, -1)):
        with pytest.raises(ValueError, match=r"f64\[n\]|at least 0"):
            mean_of_people(wrong, None, item)


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
