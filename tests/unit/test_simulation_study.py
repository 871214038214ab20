"""The study: every claim is computed as it says, from cases made by hand, and a small study is whole and repeatable."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from fr_evaluation.words import in_words
from fr_locales.messages import message
from fr_training.report.cells import text
from fr_training.sessions.order import GUESS_RATE, PRIOR_SD
from fr_training.simulation.claims import (
    FIRST,
    GREATEST_INFORMATION,
    Series,
    adaptive_claims,
    bias_claim,
    by_spread,
    by_theta,
    coverage_claim,
    curves,
    least_ratio,
    saving,
    saving_claims,
    series_of,
    thirds,
)
from fr_training.simulation.page import figures, page
from fr_training.simulation.report import all_claims, document, sections, summary
from fr_training.simulation.runner import difficulties
from fr_training.simulation.study import (
    FIXED_THETAS,
    WEAK,
    Precision,
    Sizes,
    Study,
    estimated,
    posterior_sds,
    run_study,
)
from fr_training.simulation.trainee import Population, Spread
from fr_training.statistics.item_response import eap, information
from fr_training.statistics.signal_detection import expected

SMALL = Sizes(pairs=4, aided=4, form=4, pool=10, adaptive=16, target=0.8, triads=3)
TRAINEES = 9


@pytest.fixture(scope="module")
def study() -> Study:
    return run_study(TRAINEES, 1, sizes=SMALL, replicates=2)


def series(estimate: list[float], true: float = 1.0, target: float = 1.0, *, unbiased: bool = True) -> Series:
    values, ones = np.array(estimate), np.ones(len(estimate))
    return Series(
        message("figure.theta"), "x", ones * true, ones * target, values, values - 0.5, values + 0.5, unbiased
    )


def test_bias_is_held_against_its_standard_error() -> None:
    # Mean .1 above the target, SD .2 (n - 1), so a standard error of .1 of 4: exactly 1 standard error.
    values = [1.1 + 0.1 * sqrt(3.0) * one for one in (-1.0, 1.0, -1.0, 1.0)]
    claim = bias_claim(series(values))
    assert claim.figures["bias"] == pytest.approx(0.1)
    assert claim.figures["standard_error"] == pytest.approx(0.1)
    assert claim.met is True
    assert bias_claim(series([one + 0.11 for one in values])).met is False
    assert bias_claim(series([one - 0.31 for one in values])).met is False
    told = bias_claim(series(values, true=0.5, unbiased=False))
    assert told.met is None
    assert told.figures["from_truth"] == pytest.approx(0.6)


def test_bias_is_from_the_target_and_coverage_from_the_truth() -> None:
    values = [0.95, 1.05] * 50
    assert bias_claim(series(values, true=9.0, target=1.0)).met is True
    for true in (-9.0, 9.0):
        assert coverage_claim(series(values, true=true, target=1.0)).figures["coverage"] == 0.0


@pytest.mark.parametrize(("held", "met"), [(92, False), (93, True), (95, True), (97, True), (98, False)])
def test_coverage_has_a_bar_to_both_sides(held: int, met: bool) -> None:
    claim = coverage_claim(series([1.5] * held + [1.6] * (100 - held)))  # an end that is the truth holds it
    assert claim.figures["held"] == held
    assert claim.met is met


def test_posterior_deviations_are_those_of_the_estimator() -> None:
    rng, population = np.random.default_rng(1), Population()
    b, right = rng.normal(size=12), rng.random(12) < 0.7
    found = posterior_sds(b, right, population.theta)
    for n in range(12):
        assert found[n] == pytest.approx(estimated(b[: n + 1], right[: n + 1], population).sd, rel=1e-9)
    assert posterior_sds(b, right, WEAK)[0] > found[0]


def test_targets_are_the_exact_means_of_the_estimators(study: Study) -> None:
    by_key = {one.key: one for one in series_of(study)}
    for n, person in enumerate(study.people):
        mine = person.abilities
        plain = expected(mine.dprime, mine.criterion + 0.1, 4, 4)
        assert by_key["dprime"].target[n] == plain.dprime
        assert by_key["criterion"].target[n] == plain.criterion
        assert by_key["criterion"].true[n] == pytest.approx(mine.criterion + 0.1)
        # Of 4 + 4 pairs one of each truth is advised wrongly: 3 + 1 are called "same", 1 + 3 "different".
        up, down = mine.criterion + 0.1 + mine.advice_weight, mine.criterion + 0.1 - mine.advice_weight
        after = expected(mine.dprime, up, 1, 3).criterion - expected(mine.dprime, down, 3, 1).criterion
        here = mine.criterion + 0.1
        before = expected(mine.dprime, here, 1, 3).criterion - expected(mine.dprime, here, 3, 1).criterion
        assert by_key["change"].target[n] == pytest.approx(after)
        assert by_key["net"].target[n] == pytest.approx(after - before)
        assert by_key["net"].true[n] == by_key["change"].true[n] == 2 * mine.advice_weight
        assert by_key["theta_triads"].target[n] == mine.theta
        assert by_key["theta_adaptive"].estimate[n] == person.ability.adaptive.theta
        assert by_key["theta_form"].low[n] == person.ability.form.low


def precision(form: float, *adaptive: float) -> Precision:
    return Precision(form, np.array(adaptive, dtype=np.float64))


def test_a_saving_is_when_the_posterior_is_as_narrow_as_after_the_form() -> None:
    one = precision(0.5, 0.9, 0.7, 0.5, 0.4)  # after 3 of 4 items
    two = precision(0.8, 0.9, 0.8, 0.7, 0.6)  # after 2
    late = precision(0.1, 0.9, 0.8, 0.7, 0.6)  # not within the block: all 4
    found = saving([one, two], 4)
    assert found.ratio == pytest.approx((0.75 + 0.5) / 2)
    assert found.unreached == 0
    assert found.standard_error == pytest.approx(0.25 / sqrt(2) / sqrt(2))
    # Root mean squares: .667 of the forms; .900, .752, .608, .510 of the blocks: after 3.
    assert found.by_mean == 0.75
    held_up = saving([one, late], 4)
    assert held_up.ratio == pytest.approx((0.75 + 1.0) / 2)
    assert held_up.unreached == 1
    assert saving([late, late], 4).by_mean is None


def test_the_least_ratio_is_mean_information_in_parts_of_the_greatest() -> None:
    everywhere = information(0.0, np.linspace(-5.0, 5.0, 100_001), 0.5)
    assert float(everywhere.max()) == pytest.approx(GREATEST_INFORMATION, rel=1e-8)
    best = -float(np.log((sqrt(5.0) - 1.0) / (3.0 - sqrt(5.0))))  # theta - b at the top: the logit of L
    assert least_ratio(np.full(7, best), Spread(0.0, 0.0)) == pytest.approx(1.0)
    form = np.array([-1.0, 0.5])
    by_hand = float(information(0.3, form, 0.5).mean()) / GREATEST_INFORMATION
    assert least_ratio(form, Spread(0.3, 0.0)) == pytest.approx(by_hand)
    drawn = np.random.default_rng(1).normal(0.6, 0.8, 20_000)
    average = float(information(drawn[:, None], form[None, :], 0.5).mean()) / GREATEST_INFORMATION
    assert least_ratio(form, Spread(0.6, 0.8)) == pytest.approx(average, abs=0.01)


def test_no_choice_of_pairs_brings_three_fifths_within_reach_of_people_who_are_four_fifths_right() -> None:
    """Why that bar is missed: the form measures these people at .71 of the best there can be."""
    form = np.array(difficulties(20), dtype=np.float64)
    assert least_ratio(form, Population().theta) == pytest.approx(0.706, abs=0.005)
    assert least_ratio(1.5 * form, Population().theta) == pytest.approx(0.60, abs=0.01)


def test_items_are_told_over_all_by_ability_and_by_spread(study: Study) -> None:
    barred, informed, least = saving_claims(study)
    weak = saving([one.ability.weak for one in study.people], 8)
    assert barred.figures["ratio"] == weak.ratio
    assert barred.met is (weak.ratio <= 0.6)
    assert informed.figures["ratio"] == saving([one.ability.informed for one in study.people], 8).ratio
    assert informed.met is None
    assert least.met is None
    assert tuple(by_theta(study)) == FIXED_THETAS
    assert by_theta(study)[1.0][1] == least_ratio(study.form_b, Spread(1.0, 0.0))
    spreads = list(by_spread(study).values())
    assert spreads == sorted(spreads, reverse=True)
    adaptive, form = curves([study.people[0].ability] * 2)
    assert adaptive == pytest.approx(study.people[0].ability.weak.adaptive)
    assert form == pytest.approx(study.people[0].ability.weak.form)


def answering(study: Study, shares: list[list[bool]]) -> Study:
    """The study with other answers in the adaptive blocks, of people from the least able to the ablest."""
    people = sorted(study.people, key=lambda one: one.ability.theta)[: len(shares)]
    made = [
        replace(one, ability=replace(one.ability, right=np.array(right)))
        for one, right in zip(people, shares, strict=True)
    ]
    return replace(study, people=tuple(made))


def test_the_share_of_right_answers_is_that_of_each_third_without_the_first_trials(study: Study) -> None:
    low, middle, high = [True] * FIRST + [True, False], [False] * FIRST + [True] * 2, [False] * FIRST + [False] * 2
    found = adaptive_claims(answering(study, [low, middle, high]))
    assert [one.figures["share"] for one in found] == [0.5, 0.5, 1.0, 0.0]
    assert [one.figures["answers"] for one in found] == [6, 2, 2, 2]
    assert not any(one.met for one in found)
    kept = [True] * FIRST + [True] * 4 + [False]
    assert all(one.met for one in adaptive_claims(answering(study, [kept] * 3)))
    places, theta = thirds(study), np.array([one.ability.theta for one in study.people])
    assert theta[places == 0].max() < theta[places == 1].min() < theta[places == 1].max() < theta[places == 2].min()


def test_everybody_takes_the_whole_course(study: Study) -> None:
    assert len(study.people) == TRAINEES
    assert {len(people) for people in study.at_theta.values()} == {2}
    for person in study.people:
        assert (person.pairs.mated, person.pairs.nonmated) == (4, 4)
        assert (person.advice.told_same.mated, person.advice.told_same.nonmated) == study.advice_cells[0] == (3, 1)
        assert len(person.ability.b) == len(person.ability.right) == len(person.ability.weak.adaptive) == 16
        assert person.ability.theta == person.abilities.theta
        assert person.ability.adaptive.sd == pytest.approx(float(person.ability.informed.adaptive[-1]))
        assert person.ability.form.sd == pytest.approx(person.ability.informed.form)
        working = eap(person.ability.b, person.ability.right, GUESS_RATE, sd=PRIOR_SD)
        assert float(person.ability.weak.adaptive[-1]) == pytest.approx(working.sd)
    assert len(study.form_b) == 8
    assert [one.theta for one in study.at_theta[-1.0]] == [-1.0, -1.0]


def test_a_study_is_the_same_for_the_same_seed_and_another_for_another(study: Study) -> None:
    told = document(study, all_claims(study))
    again = run_study(TRAINEES, 1, sizes=SMALL, replicates=2)
    assert document(again, all_claims(again)) == told
    # People do not depend on how many there are.
    fewer = run_study(2, 1, sizes=SMALL, replicates=2)
    assert fewer.people[1].abilities == study.people[1].abilities
    assert fewer.people[1].pairs == study.people[1].pairs
    other = run_study(2, 2, sizes=SMALL, replicates=2)
    assert other.people[1].abilities != study.people[1].abilities


@pytest.mark.parametrize(("trainees", "seed", "replicates"), [(1, 1, 2), (2, -1, 2), (2, 1, 1)])
def test_studies_that_cannot_be_are_refused(trainees: int, seed: int, replicates: int) -> None:
    with pytest.raises(ValueError):
        run_study(trainees, seed, sizes=SMALL, replicates=replicates)


def test_the_json_holds_every_claim_and_every_number(study: Study) -> None:
    claims = all_claims(study)
    keys = json.loads(document(study, claims))
    assert [one["claim"] for one in keys["claims"]] == [text(one.claim) for one in claims]
    assert keys["met"] is all(one.met is not False for one in claims)
    assert len(keys["people"]) == keys["trainees"] == TRAINEES
    first = keys["people"][0]["dprime"]
    assert first["true"] == study.people[0].abilities.dprime
    assert first["estimate"] == study.people[0].pairs.dprime.value
    assert (first["low"], first["high"]) == (study.people[0].pairs.dprime.low, study.people[0].pairs.dprime.high)
    assert keys["sizes"]["pool"] == 10
    assert keys["population"]["theta"] == {"mean": 0.6, "sd": 0.8}
    assert len(keys["trials"]["sd_adaptive"]) == 16
    assert set(keys["trials"]["p_right"]) == {"lowest third", "middle third", "highest third"}


def test_the_page_says_what_was_missed_and_shows_every_picture(study: Study) -> None:
    claims = all_claims(study)
    written = page(study, claims)
    assert written.count("<svg") == len(figures(study)) == 7
    assert all(in_words(heading.heading) in written for heading in sections(study, claims))
    missed = [text(one.claim) for one in claims if one.met is False]
    told = summary(study, claims)
    assert all(f"Missed: {one}." in told for one in missed)
    assert f"{sum(one.met is True for one in claims)} of {sum(one.met is not None for one in claims)} bars met" in told
