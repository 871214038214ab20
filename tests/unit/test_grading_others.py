"""Figures of triads, lists, triage, advice, rareness, groups, blind verification, crowds and learning."""

from __future__ import annotations

import pytest

from fr_core.scoring.intervals import Rate
from fr_locales.messages import message
from fr_training.grading.advice import AidedFigures, PrevalenceFigures, aided_figures, prevalence_figures
from fr_training.grading.fusion import crowds
from fr_training.grading.items import item_rows
from fr_training.grading.kinds import list_figures, triad_figures, triage_figures
from fr_training.grading.scores import LearningFigures, trainee_learning
from fr_training.grading.values import PLAIN_PAIRS, Area, Undefined, judged
from fr_training.grading.verification import AgreementFigures, agreement_figures, first_judgements
from fr_training.statistics.advice import AutomationBias
from fr_training.statistics.estimates import Estimate, RateDifference
from fr_training.statistics.fusion import GroupArea
from fr_training.statistics.item_response import Ability
from fr_training.trials import Result
from support.results import KIND, course, listed, pair, triad, triaged


def counts(found: Rate | Undefined) -> tuple[int, int]:
    assert isinstance(found, Rate)
    return found.count, found.total


def test_triads_give_an_ability_by_guessing_of_a_third() -> None:
    answers = [True, True, True, False, False]
    results = [triad(1, 1 if right else 2, n, b=n / 2 - 1) for n, right in enumerate(answers)]
    found = triad_figures(results)
    assert isinstance(found.ability, Ability)
    assert (round(found.ability.theta, 4), round(found.ability.sd, 4)) == (-0.0669, 0.8028)
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
    found = aided_figures(aided(), 1)
    assert isinstance(found, AidedFigures)
    assert counts(found.right_before) == (40, 40)
    assert counts(found.right_after) == (20, 40)
    assert counts(found.misled) == (20, 20)
    assert isinstance(found.helped, Undefined)  # no answer was left to be mended
    assert isinstance(found.bias, AutomationBias)
    assert found.bias.net.low > 0
    assert aided_figures(aided(), 1) == found
    assert isinstance(aided_figures([pair("same", 1, block="aided", before=None, advice="same")], 1), Undefined)


def test_rare_mismatches_are_held_against_usual_ones() -> None:
    results = [pair("different", 1 if n < 8 else -1, n, block="rare") for n in range(10)]
    results += [pair("different", 1 if n < 2 else -1, n) for n in range(20)]
    found = prevalence_figures(results)
    assert isinstance(found, PrevalenceFigures)
    assert isinstance(found.false_same, RateDifference)
    assert found.false_same.value == pytest.approx(0.7)
    assert found.false_same.low > 0
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
    found = agreement_figures(mine, first_judgements(cohort))
    assert isinstance(found, AgreementFigures)
    assert (found.pairs, found.alone) == (8, 1)
    assert isinstance(found.linear_kappa, Estimate)
    assert isinstance(found.quadratic_kappa, Estimate)
    assert (round(found.linear_kappa.value, 4), round(found.quadratic_kappa.value, 4)) == (0.7895, 0.9429)
    assert (found.own_only, found.first_only) == (1, 0)
    assert isinstance(found.fused_area, Area)


def test_a_judgement_that_is_known_to_the_first_is_none() -> None:
    cohort = {"t2": [pair("same", 1, 0, trainee="t2", block="open", item="i0", form="open-0", known=True)]}
    mine = [pair("same", 1, 0, block="blind", item="i0", form="open-0", partner="t2")]
    found = agreement_figures(mine, first_judgements(cohort))
    assert isinstance(found, AgreementFigures)
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
    assert isinstance(areas[0], GroupArea)
    assert isinstance(areas[1], GroupArea)
    assert areas[1].area > areas[0].area
    assert isinstance(areas[2], Undefined)  # three never err together, so that resamples show nothing
    half = opinions(3) | {"t2": opinions(3)["t2"][:8]}  # who rated less than half stands for nobody
    assert crowds(half, 1)[0].trainees == 2
    assert crowds(half, 1, least_trainees=3) == ()


def test_learning_follows_the_order_of_trials_and_leaves_moved_ones_out() -> None:
    results = [pair("same", 1 if n >= 20 else -1, n) for n in range(40)][::-1]
    results += [pair("same", -1, 99, block="rare")]
    found = trainee_learning(course(), results)
    assert isinstance(found, LearningFigures)
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
