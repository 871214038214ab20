"""Figures of all but pairs: triads, lists, triage, advice, groups, partners, crowds, learning, and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.scoring.intervals import Rate
from fr_locales.messages import message
from fr_training.courses import ByPeople, Learned
from fr_training.grading.advice import aided_figures, prevalence_figures
from fr_training.grading.fusion import crowds
from fr_training.grading.items import item_rows, learned
from fr_training.grading.kinds import list_figures, triad_figures, triage_figures
from fr_training.grading.scores import trainee_learning
from fr_training.grading.values import PLAIN_PAIRS, Area, Undefined, judged
from fr_training.grading.verification import agreement_figures, first_judgements, with_partners
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_analysis import MIN_PEOPLE
from fr_training.statistics.item_response import eap, probability
from fr_training.trials import Result
from support.results import KIND, course, defined, listed, pair, results, triad, triaged


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


def test_an_ability_is_of_one_trainee_and_needs_difficulties() -> None:
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


def test_picks_foils_and_false_alarms_are_told_apart() -> None:
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


def test_triage_tells_what_was_let_through_and_what_was_thrown_away() -> None:
    photos = [triaged("reject", "usable", 0, degraded="blur", reasons="")]
    photos += [triaged("reject", "reject", 1, degraded="blur", reasons="blur+noise")]
    photos += [triaged("usable", "reject", 2), triaged("limited", "limited", 3), triaged("reject", "limited", 4)]
    found = triage_figures(photos)
    assert (counts(found.right), counts(found.let_through), counts(found.thrown_away)) == ((2, 5), (2, 3), (1, 1))
    assert (found.confusion[2].truth, found.confusion[2].usable, found.confusion[2].reject) == ("reject", 1, 1)
    assert (found.degradations[0].degraded, counts(found.degradations[0].named)) == ("blur", (1, 2))


def aided() -> list[Result]:
    """Somebody who says what the machine says."""
    results = []
    for n in range(40):
        truth, advice = "same" if n % 2 else "different", "same" if n % 4 < 2 else "different"
        before = 1 if truth == "same" else -1
        results.append(pair(truth, 2 if advice == "same" else -2, n, block="aided", before=before, advice=advice))
    return results


def test_who_follows_the_machine_is_found_out() -> None:
    found = defined(aided_figures(aided(), 1))
    assert counts(found.right_before) == (40, 40)
    assert counts(found.right_after) == (20, 40)
    assert counts(found.misled) == (20, 20)
    assert isinstance(found.helped, Undefined)  # no answer was left to be mended
    assert defined(found.bias).net.low > 0
    assert aided_figures(aided(), 1) == found
    assert isinstance(aided_figures([pair("same", 1, block="aided", before=None, advice="same")], 1), Undefined)


def test_rare_mismatches_are_held_against_usual_ones() -> None:
    results = [pair("different", 1 if n < 8 else -1, n, block="rare") for n in range(10)]
    results += [pair("different", 1 if n < 2 else -1, n) for n in range(20)]
    found = defined(prevalence_figures(results))
    assert defined(found.false_same).value == pytest.approx(0.7)
    assert defined(found.false_same).low > 0
    assert isinstance(found.sensitivity, Undefined)


def test_blind_verification_is_compared_with_the_partners_own_judgement() -> None:
    first = [3, 2, 1, 0, -1, -2, -3, 2]
    verifier = [2, 2, 1, -1, -1, -3, -3, 3]
    truths = ["same", "same", "same", "different", "different", "different", "different", "same"]
    cohort = {
        "t2": [
            pair(truth, rating, n, trainee="t2", block="open", item=f"i{n}", form="open-0")
            for n, (truth, rating) in enumerate(zip(truths, first, strict=True))
        ]
    }
    mine = [
        pair(truth, rating, n, block="blind", item=f"i{n}", form="open-0", partner="t2")
        for n, (truth, rating) in enumerate(zip(truths, verifier, strict=True))
    ]
    mine.append(pair("same", 1, 8, block="blind", item="i8", form="open-0"))
    found = defined(agreement_figures(mine, first_judgements(cohort)))
    assert (found.pairs, found.alone) == (8, 1)
    assert isinstance(found.quadratic_kappa, Estimate)
    assert (round(defined(found.linear_kappa).value, 4), round(found.quadratic_kappa.value, 4)) == (0.7895, 0.9429)
    assert (found.own_only, found.first_only) == (1, 0)
    assert isinstance(found.fused_area, Area)


def test_a_judgement_that_is_known_to_the_first_is_none() -> None:
    cohort = {"t2": [pair("same", 1, 0, trainee="t2", block="open", item="i0", form="open-0", known=True)]}
    mine = [pair("same", 1, 0, block="blind", item="i0", form="open-0", partner="t2")]
    found = defined(agreement_figures(mine, first_judgements(cohort)))
    assert (found.pairs, found.alone) == (0, 1)
    assert isinstance(found.same_word, Undefined)


def opinions(trainees: int) -> dict[str, list[Result]]:
    """Each trainee errs on other items."""
    return {
        f"t{t}": [
            pair(
                "same" if n % 2 else "different",
                (1 if n % 2 else -1) * (-2 if (n + t) % 5 == 0 else 2),
                n,
                trainee=f"t{t}",
            )
            for n in range(20)
        ]
        for t in range(trainees)
    }


def test_crowds_get_better_as_they_grow() -> None:
    (found,) = crowds(opinions(5), 1)
    assert (found.form, found.trainees, found.items) == ("pre", 5, 20)
    areas = [size.area for size in found.sizes]
    assert [size.size for size in found.sizes] == [1, 2, 3, 4, 5]
    assert defined(areas[1]).area > defined(areas[0]).area
    assert isinstance(areas[2], Undefined)  # three never err together, so that resamples show nothing
    half = opinions(3) | {"t2": opinions(3)["t2"][:8]}  # who rated less than half stands for nobody
    assert crowds(half, 1)[0].trainees == 2
    assert crowds(half, 1, least_trainees=3) == ()


def test_learning_follows_the_order_of_trials_and_leaves_moved_ones_out() -> None:
    results = [pair("same", 1 if n >= 20 else -1, n) for n in range(40)][::-1]
    results += [pair("same", -1, 99, block="rare")]
    found = defined(trainee_learning(course(), results))
    assert [point.right.value for point in found.points] == [0.0, 1.0]
    assert isinstance(trainee_learning(course(), results[-1:]), Undefined)
    assert KIND["rare"] not in PLAIN_PAIRS


def test_an_item_that_the_able_get_wrong_is_set_aside() -> None:
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


def test_items_of_few_people_have_no_difficulty_and_are_not_set_aside() -> None:
    rows = item_rows({f"t{t}": [pair("same", 1, 0, trainee=f"t{t}", known=t == 0)] for t in range(19)})
    assert (rows[0].known_to_me, counts(rows[0].right)) == (1, (18, 18))
    assert isinstance(rows[0].human_b, Undefined)
    assert not rows[0].quarantined
    assert len(judged([pair("same", 1, known=True)])) == 0


def cohort(*rated: tuple[int | None, int | None]) -> dict[str, tuple[Result, ...]]:
    """Trainees in turn of half 0 and 1, with the rating of the own pair and that of the other half's."""
    return {
        f"T-{number}": tuple(
            pair("same", rating, trainee=f"T-{number}", block=block, form=f"opinion-{half}", item=f"item-{half}")
            for block, rating, half in (("open", own, number % 2), ("blind", other, 1 - number % 2))
        )
        for number, (own, other) in enumerate(rated)
    }


def partners(*rated: tuple[int | None, int | None]) -> list[str]:
    return [results[1].partner for results in with_partners(cohort(*rated)).values()]


def test_neighbours_verify_each_other() -> None:
    assert partners((1, 2), (2, 1), (3, -1), (-2, 2)) == ["T-1", "T-0", "T-3", "T-2"]


def test_whoever_has_no_neighbour_who_judged_gets_the_next_who_did() -> None:
    assert partners((1, 2), (None, 1), (3, -1), (-2, 2)) == ["T-3", "T-0", "T-3", "T-2"]
    assert partners((1, 2), (2, 1), (3, -1)) == ["T-1", "T-0", "T-1"]


def test_a_pair_that_nobody_has_judged_has_no_partner() -> None:
    assert partners((1, 2)) == [""]
    assert partners((1, 2), (None, 3)) == ["", "T-0"]


def test_nothing_else_is_changed_and_agreement_is_told_of_the_couples() -> None:
    before = cohort((3, 3), (3, 3), (-1, 2), (2, -2))
    after = with_partners(before)
    assert {t: tuple(replace(one, partner="") for one in found) for t, found in after.items()} == before
    assert all(one.partner == "" for found in after.values() for one in found[:1])
    figures = defined(agreement_figures(after["T-2"], first_judgements(after)))
    assert (figures.pairs, figures.alone) == (1, 0)


Course = Mapping[str, Sequence[Result]]

B = np.linspace(-2.0, 2.0, 12)


def drawn(
    people: int, seed: int, block: str = "pre", first: str = "t", turned: int | None = None
) -> dict[str, tuple[Result, ...]]:
    """Trainees who answer twelve pairs as the model says; to one of them the able answer wrongly."""
    rng = np.random.default_rng(seed)
    course = {}
    for number in range(people):
        ability = rng.normal() * 2.0
        right = rng.random(len(B)) < probability(ability, B, 0.0)
        if turned is not None:
            right[turned] = ability < 0.0
        trainee = f"{first}{number}"
        course[trainee] = tuple(
            pair("same", 2 if good else -2, place, trainee=trainee, block=block, b=float(B[place]), item=f"i{place}")
            for place, good in enumerate(right.tolist())
        )
    return course


def test_a_difficulty_takes_twenty_people_in_all_courses_together() -> None:
    first, second = drawn(10, 1, first="a"), drawn(10, 2, first="b")
    assert learned([first]) == learned([first, drawn(9, 2, first="b")]) == learned([]) == Learned()
    found = learned([first, second]).difficulties
    assert {item: one.people for item, one in found.items()} == {f"i{place}": MIN_PEOPLE for place in range(12)}


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


def test_harder_items_are_harder_and_what_all_have_right_is_easiest() -> None:
    course = drawn(200, 4)
    easy = {
        trainee: (*own, pair("same", 3, 12, trainee=trainee, b=0.0, item="easy")) for trainee, own in course.items()
    }
    found = learned([easy]).difficulties
    assert np.corrcoef([found[f"i{place}"].b for place in range(12)], B)[0, 1] > 0.9
    assert -4.0 < found["easy"].b < min(one.b for item, one in found.items() if item != "easy")


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


def test_an_item_on_which_the_able_do_worse_is_suspect() -> None:
    assert "i6" in learned([drawn(60, 10, turned=6)]).suspects
    assert "i6" in learned([drawn(MIN_PEOPLE, 10, turned=6)]).suspects
    assert "i6" not in learned([drawn(MIN_PEOPLE - 1, 10, turned=6)]).suspects


@given(st.integers(0, 10_000), st.integers(4, 40))
def test_of_one_course_the_same_items_are_suspect_as_its_report_quarantines(seed: int, people: int) -> None:
    course = drawn(people, seed, turned=seed % 12)
    assert learned([course]).suspects == {row.item_id for row in item_rows(course) if row.quarantined}


def test_courses_weigh_by_their_people() -> None:
    misled = drawn(30, 11, first="a", turned=6)
    sound = drawn(90, 12, first="b")
    assert "i6" in learned([misled]).suspects
    assert "i6" not in learned([sound]).suspects
    assert "i6" not in learned([misled, sound]).suspects
    assert "i6" in learned([drawn(90, 11, first="a", turned=6), drawn(30, 12, first="b")]).suspects
    parts = [drawn(12, seed, first=f"c{seed}-", turned=6) for seed in range(5)]
    assert not any(learned([part]).suspects for part in parts)
    assert "i6" in learned(parts).suspects


@given(st.lists(results("t1"), min_size=1, max_size=3))
def test_whatever_was_answered_is_read(rows: list[Sequence[Result]]) -> None:
    courses: list[Course] = [{"t1": tuple(own)} for own in rows]
    assert learned(courses) == Learned()  # three people are too few
