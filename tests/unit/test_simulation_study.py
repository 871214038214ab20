"""The study computes each claim as it says and repeats; simulated trainees answer by their abilities."""

import json
from collections import Counter
from dataclasses import replace
from math import inf, sqrt
from pathlib import Path
from statistics import NormalDist, mean, pstdev, stdev

import numpy as np
import pytest

import training_bars
from fr_evaluation.words import in_words
from fr_locales.messages import Message, message
from fr_training.answers import Answer, ListChoice
from fr_training.courses import Course
from fr_training.errors import UnknownSession, UnknownTrial
from fr_training.keys import ListKey, PairKey
from fr_training.plan_reading import read_plan
from fr_training.prompts import ExerciseKind, Step
from fr_training.report.cells import text
from fr_training.sessions.flow import new_session, show
from fr_training.sessions.results import results
from fr_training.sessions.views import ShowTrial
from fr_training.shipped_plans import plan_names, plan_text
from fr_training.simulation import runner
from fr_training.simulation.answers import Scale, first_evidence, rating_of
from fr_training.simulation.claims import (
    Series,
    bias_claim,
    coverage_claim,
    series_of,
)
from fr_training.simulation.page import figures, page
from fr_training.simulation.report import all_claims, document, sections, summary
from fr_training.simulation.saving import (
    WEAK,
    Precision,
    saving,
)
from fr_training.simulation.study import Sizes, Study, run_study
from fr_training.simulation.trainee import Abilities, Hardness, Population, SimulatedTrainee
from fr_training.simulation.world_claims import block_claims, cohort_claims, world_claims
from fr_training.simulation.worlds import FITTED, WORLDS, adaptive_sittings, cohorts_called_better
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import eap, probability
from fr_training.statistics.ordered_probit import GUESS_RATE
from fr_training.statistics.signal_detection import expected, rates_of
from fr_training.trials import Result, Session
from support.counts import NIGHTLY
from support.oracles import ORACLES
from support.sessions import Trainee, items_by_id
from support.training_stores import DAY_MS, NOW_MS, Clock, open_store

SMALL = Sizes(pairs=10, aided=4, form=4, pool=10, adaptive=16, target=0.8, triads=3)
TRAINEES = 9
FEW = (FITTED, WORLDS[3])


@pytest.fixture(scope="module")
def study() -> Study:
    return run_study(TRAINEES, 1, sizes=SMALL, replicates=2, worlds=FEW, cohorts=60)


def series(estimate: list[float], true: float = 1.0, target: float = 1.0, *, biased: Message | None = None) -> Series:
    values, ones = np.array(estimate), np.ones(len(estimate))
    return Series(message("figure.theta"), "x", ones * true, ones * target, values, values - 0.5, values + 0.5, biased)


def test_bias_is_held_against_its_standard_error() -> None:
    # Mean .1 above the target, SD .2 (n - 1), so a standard error of .1 of 4: exactly 1 standard error.
    values = [1.1 + 0.1 * sqrt(3.0) * one for one in (-1.0, 1.0, -1.0, 1.0)]
    claim = bias_claim(series(values))
    assert claim.figures["bias"] == pytest.approx(0.1)
    assert claim.figures["standard_error"] == pytest.approx(0.1)
    assert claim.met is True
    assert bias_claim(series([one + 0.11 for one in values])).met is False
    assert bias_claim(series([one - 0.31 for one in values])).met is False
    told = bias_claim(series(values, true=0.5, biased=message("bar.prior")))
    assert told.met is None
    assert told.figures["from_truth"] == pytest.approx(0.6)
    values = [0.95, 1.05] * 50
    assert bias_claim(series(values, true=9.0, target=1.0)).met is True
    for true in (-9.0, 9.0):
        assert coverage_claim(series(values, true=true, target=1.0)).figures["coverage"] == 0.0


@pytest.mark.parametrize(("held", "met"), [(92, False), (93, True), (95, True), (97, True), (98, False)])
def test_coverage_has_a_bar_to_both_sides(held: int, met: bool) -> None:
    found = series([1.5] * held + [1.6] * (100 - held))  # an end that is the truth holds it
    claim, loose = coverage_claim(found), coverage_claim(found, may_be_wide=True)
    assert claim.figures["held"] == held
    assert claim.met is met
    assert loose.met is (held >= 93)
    assert ("wider" in text(loose.found)) is (held > 97)


def test_targets_are_the_exact_means_of_the_estimators(study: Study) -> None:
    by_key = {one.key: one for one in series_of(study)}
    for n, person in enumerate(study.people):
        mine = person.abilities
        here = mine.says_same_above
        plain = expected(mine.dprime, here, 10, 10)
        assert by_key["dprime"].target[n] == plain.dprime
        assert by_key["criterion"].target[n] == plain.criterion
        assert by_key["criterion"].true[n] == pytest.approx(mine.criterion + mine.scale.undecided) == here
        # Of 4 + 4 pairs one of each truth is advised wrongly: 3 + 1 are called "same", 1 + 3 "different".
        up, down = here + mine.advice_weight, here - mine.advice_weight
        after = expected(mine.dprime, up, 1, 3).criterion - expected(mine.dprime, down, 3, 1).criterion
        before = expected(mine.dprime, here, 1, 3).criterion - expected(mine.dprime, here, 3, 1).criterion
        assert by_key["change"].target[n] == pytest.approx(after)
        assert by_key["net"].target[n] == pytest.approx(after - before)
        assert by_key["net"].true[n] == by_key["change"].true[n] == 2 * mine.advice_weight
        assert by_key["theta_triads"].target[n] == mine.theta
        assert by_key["theta_adaptive"].estimate[n] == person.ability.adaptive.theta.value
        assert by_key["theta_form"].low[n] == person.ability.form.theta.low


def precision(form: float, *adaptive: float) -> Precision:
    path = np.array(adaptive, dtype=np.float64)
    return Precision(form, path, path, path)


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


def test_everybody_takes_the_whole_course(study: Study) -> None:
    assert len(study.people) == TRAINEES
    assert {len(people) for people in study.at_theta.values()} == {2}
    for person in study.people:
        assert (person.pairs.mated, person.pairs.nonmated) == (10, 10)
        assert (person.advice.told_same.mated, person.advice.told_same.nonmated) == study.advice_cells[0] == (3, 1)
        assert len(person.ability.b) == len(person.ability.right) == len(person.ability.weak.adaptive) == 16
        assert person.ability.theta == person.abilities.theta
        found = person.ability.adaptive.theta, person.ability.form.theta
        ends = person.ability.informed.adaptive[-1], person.ability.informed.form_rated[-1]
        assert [one.standard_error for one in found] == pytest.approx([float(one) for one in ends], rel=1e-4)
        working = eap(person.ability.b, person.ability.right, GUESS_RATE, sd=WEAK.theta.sd)
        assert float(person.ability.weak.adaptive_right[-1]) == pytest.approx(working.sd)
    assert len(study.form_b) == 8
    assert [one.theta for one in study.at_theta[-1.0]] == [-1.0, -1.0]


@pytest.mark.nightly
def test_a_study_is_the_same_for_the_same_seed_and_another_for_another(study: Study) -> None:
    fewer, again = (run_study(3, 1, sizes=SMALL, replicates=2, worlds=(FITTED,), cohorts=1) for _ in range(2))
    assert document(again, all_claims(again)) == document(fewer, all_claims(fewer))
    # People do not depend on how many there are.
    assert fewer.people[1].abilities == study.people[1].abilities
    assert fewer.people[1].pairs == study.people[1].pairs
    other = run_study(2, 2, sizes=SMALL, replicates=2, worlds=(), cohorts=1)
    assert other.people[1].abilities != study.people[1].abilities


def test_json_and_page_hold_every_claim(study: Study) -> None:
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
    written = page(study, claims)
    assert written.count("<svg") == len(figures(study)) == 7
    assert all(in_words(heading.heading) in written for heading in sections(study, claims))
    missed = [text(one.claim) for one in claims if one.met is False]
    told = summary(study, claims)
    assert all(f"Missed: {one}." in told for one in missed)
    assert f"{sum(one.met is True for one in claims)} of {sum(one.met is not None for one in claims)} bars met" in told


T0 = 1_700_000_000_000
MANY = 4_000
ABLE = Abilities(1.6, 0.3, 0.5, theta=0.7)
CERTAIN = Abilities(
    20.0, theta=40.0, advice_weight=0.0, picks_mate=1.0, picks_foil=0.0, false_alarm=0.0, inconclusive=0.0, triage=1.0
)


def course(blocks: str, seed: int = 1) -> Course:
    toml = f'format = 1\ntitle = "Made"\n[[sittings]]\nname = "day"\n[[sittings.blocks]]\nid = "a"\n{blocks}'
    return runner.made_course(read_plan(toml), seed, T0)


def taken(made: Course, who: SimulatedTrainee, seed: int = 1, sitting: str = "day", group: int = 0) -> Session:
    rng = np.random.default_rng(seed)
    return runner.run_sitting(made, runner.items_of(made), runner.Seat("S-1", group, who), sitting, rng, T0)


def test_ratings_are_symmetric_and_probabilities_calibrated() -> None:
    scale = Scale(0.1, 0.6, 1.3)
    distances = (-2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0)
    assert [scale.rating(one) for one in distances] == [-3, -2, -1, 0, 1, 2, 3]
    for rating in range(-3, 4):
        low, high = scale.range_of(rating)
        assert scale.rating((max(low, -9.0) + min(high, 9.0)) / 2) == rating
        assert high == -scale.range_of(-rating)[0]
    assert Scale(0.0, 0.6, 1.3).rating(1e-12) == 1
    for wrong in ((-0.1, 0.6, 1.3), (0.7, 0.6, 1.3), (0.1, 1.4, 1.3), (0.1, 0.6, inf)):
        with pytest.raises(ValueError):
            Scale(*wrong)
    rng, m = np.random.default_rng(3), 0.8
    stated = [
        (rating_of(first_evidence(mated, m, rng), 0.0, m, Scale()).p_same, mated) for mated in (True, False) * MANY
    ]
    right = [mated for p, mated in stated if p is not None and 0.7 <= p < 0.9]
    assert mean(right) == pytest.approx(0.8, abs=0.04)
    assert rating_of(-1e6, 0.0, m, Scale()).p_same == 0.0


def shares(rows: list[Result], truth: str) -> float:
    here = [one for one in rows if one.truth == truth]
    return sum(one.answer == "same" for one in here) / len(here)


def test_adaptive_blocks_and_those_that_are_named_are_answered_by_theta_and_difficulty() -> None:
    plain = 'exercise = "verification"\nsame = 40\ndifferent = 40\n'
    for blocks, named in ((plain, frozenset({"a"})), (plain + "adaptive = true\ntrials = 80\n", frozenset[str]())):
        made = course(blocks)
        who = SimulatedTrainee(ABLE, named)
        rows = [row for seed in range(15) for row in results(made, taken(made, who, seed))]
        for truth in ("same", "different"):
            here = [one for one in rows if one.truth == truth]
            clear = (-1.0 if truth == "same" else 1.0) * ABLE.criterion - 0.1  # beyond what is left undecided
            chances = [NormalDist().inv_cdf(float(probability(ABLE.theta, one.b or 0.0, 0.5))) for one in here]
            chance = mean(NormalDist().cdf(one + clear) for one in chances)
            assert mean(one.correct is True for one in here) == pytest.approx(chance, abs=0.04)


def test_advice_moves_the_criterion_towards_itself_and_no_further() -> None:
    made = course('exercise = "aided"\nsame = 40\ndifferent = 40\nwrong = 40\n')
    rows = [row for seed in range(20) for row in results(made, taken(made, SimulatedTrainee(ABLE), seed))]
    for advice, sign in (("same", -1.0), ("different", 1.0)):
        told = [one for one in rows if one.advice == advice]
        hits, false_alarms = rates_of(ABLE.dprime, ABLE.says_same_above + sign * ABLE.advice_weight)
        assert shares(told, "same") == pytest.approx(hits, abs=0.04)
        assert shares(told, "different") == pytest.approx(false_alarms, abs=0.04)
        assert {one.rating for one in told} == set(range(-3, 4))
        before = mean((one.rating_before or 0) > 0 for one in told if one.truth == "same")
        assert before == pytest.approx(rates_of(ABLE.dprime, ABLE.says_same_above)[0], abs=0.04)


def test_triads_and_lists_are_answered_by_their_chances() -> None:
    made = course('exercise = "triad"\ntrials = 300\n')
    rows = [row for seed in (1, 2) for row in results(made, taken(made, SimulatedTrainee(ABLE), seed))]
    chance = mean(float(probability(ABLE.theta, one.b or 0.0, 1 / 3)) for one in rows)
    assert mean(one.correct is True for one in rows) == pytest.approx(chance, abs=0.05)
    wrong = results(made, taken(made, SimulatedTrainee(replace(ABLE, theta=-40.0))))
    assert mean(one.correct is True for one in wrong) == pytest.approx(1 / 3, abs=0.08)
    chosen = Counter(one.answer for one in wrong)
    assert min(chosen.values()) > 70
    made = course('exercise = "candidates"\npresent = 150\nabsent = 150\nsize = 5\n')
    mine = replace(ABLE, picks_mate=0.6, picks_foil=0.2, false_alarm=0.3, inconclusive=0.25)
    rows = [row for seed in (1, 2) for row in results(made, taken(made, SimulatedTrainee(mine), seed))]
    present, absent = ([one for one in rows if (one.truth == "absent") == empty] for empty in (False, True))
    assert mean(one.correct is True for one in present) == pytest.approx(0.6, abs=0.08)
    foils = [one for one in present if one.answer.startswith("candidate") and not one.correct]
    assert len(foils) / len(present) == pytest.approx(0.2, abs=0.07)
    assert mean(one.answer.startswith("candidate") for one in absent) == pytest.approx(0.3, abs=0.08)
    unpicked = [one for one in rows if not one.answer.startswith("candidate")]
    assert mean(one.answer == "inconclusive" for one in unpicked) == pytest.approx(0.25, abs=0.08)


def test_who_knows_everything_has_everything_right_but_unknown_truth() -> None:
    kinds: Counter[ExerciseKind] = Counter()
    for toml in (*map(plan_text, plan_names()), PLAN):
        made = runner.made_course(read_plan(toml), 3, T0)
        for group in (0, 1):
            for sitting in made.plan.sittings:
                for row in results(made, taken(made, SimulatedTrainee(CERTAIN), 5, sitting.name, group)):
                    kinds[row.exercise] += 1
                    assert row.correct is True
    assert set(kinds) == set(ExerciseKind)
    made = course('exercise = "candidates"\npresent = 1\nabsent = 0\nsize = 5\n')
    rng, session = np.random.default_rng(1), new_session(made, "S-1", 0, "day", "5" * 32, bytes(32), T0)
    _, seen = show(made, session, "a", T0)
    assert isinstance(seen, ShowTrial)
    pictures = tuple(replace(one, picture_id=f"{n:016x}") for n, one in enumerate(seen.prompt.pictures * 6))
    prompt = replace(seen.prompt, step=Step.DECIDE, pictures=pictures)
    trial = replace(seen.trial, order=tuple(range(6)))
    unknown = ListKey(2, (0.5,) * 5, scored=False)
    answer = SimulatedTrainee(CERTAIN).answer(replace(seen, prompt=prompt, trial=trial), unknown, None, rng)
    assert getattr(answer.given, "choice", None) == ListChoice.NONE


def test_sittings_keep_time_and_made_forms_are_spread() -> None:
    made = course('exercise = "aided"\nsame = 10\ndifferent = 10\nwrong = 5\n')
    session = taken(made, SimulatedTrainee(ABLE))
    for earlier, later in zip(session.trials, session.trials[1:], strict=False):
        assert later.locked[0].at_ms - later.locked[0].took_ms == earlier.locked[-1].at_ms + runner.BETWEEN_MS
    assert all(one.took_ms > 0 for trial in session.trials for one in trial.locked)
    assert session.finished_ms == session.trials[-1].locked[-1].at_ms
    assert taken(made, SimulatedTrainee(ABLE)) == session
    assert taken(made, SimulatedTrainee(ABLE), 2).trials != session.trials
    made = course('exercise = "verification"\nsame = 20\ndifferent = 30\n')
    items = made.forms["a"].items
    for mated, count in ((True, 20), (False, 30)):
        b = [one.b or 0.0 for one in items if isinstance(one.key, PairKey) and one.key.mated == mated]
        assert len(b) == count
        assert mean(b) == pytest.approx(0.0, abs=1e-9)
        assert pstdev(b) == pytest.approx(1.0)
    assert (runner.difficulties(0), runner.difficulties(1)) == ([], [0.0])
    assert len({one.item_id for one in items}) == 50
    mated_order = [isinstance(one.key, PairKey) and one.key.mated for one in items]
    assert mated_order != sorted(mated_order, reverse=True)


def test_people_are_as_able_as_the_norms_say() -> None:
    """81 % right, and 7.5 points of people, by d' and by theta alike."""
    rng, people = np.random.default_rng(1), Population()
    drawn = [people.draw(rng) for _ in range(20_000)]
    by_dprime = np.array([NormalDist().cdf(one.dprime / 2) for one in drawn[:5_000]])
    form = np.array(runner.difficulties(20), dtype=np.float64)
    theta = np.array([one.theta for one in drawn], dtype=np.float64)
    by_theta = probability(theta[:, None], form[None, :], 0.5).mean(axis=1)
    for right in (by_dprime, by_theta):
        assert float(right.mean()) == pytest.approx(0.81, abs=0.015)
        assert float(right.std()) == pytest.approx(0.075, abs=0.006)
    assert min(one.dprime for one in drawn) >= 0.0
    assert stdev(one.advice_weight for one in drawn) == pytest.approx(0.2, abs=0.01)


def test_criteria_drift_slips_say_nothing_and_pairs_are_as_hard_as_the_world_has_them() -> None:
    blocks = 'exercise = "verification"\nsame = 40\ndifferent = 40\n'
    made = course(blocks)
    sure = replace(ABLE, criterion=0.0, drift=9.0)
    rows = results(made, taken(made, SimulatedTrainee(sure, None)))
    assert {one.rating for one in rows[:20]} == {3}
    assert {one.rating for one in rows[60:]} == {-3}
    slipping = SimulatedTrainee(replace(ABLE, criterion=99.0, slips=0.5), None)
    slipped = [row for seed in range(10) for row in results(made, taken(made, slipping, seed))]
    counted = Counter(one.rating for one in slipped)
    assert counted[-3] / len(slipped) == pytest.approx(0.5 + 0.5 / 7, abs=0.05)
    assert min(counted[rating] for rating in range(-3, 4)) > 0.03 * len(slipped)
    b = np.random.default_rng(1).normal(size=2_000)
    hard = np.array([Hardness(0.3, 1.0).of(f"{n}", one) for n, one in enumerate(b.tolist())])
    assert float(np.corrcoef(b, hard)[0, 1]) == pytest.approx(0.3, abs=0.06)
    assert (float(hard.mean()), float(hard.std())) == pytest.approx((-1.0, 1.0), abs=0.07)
    assert Hardness(easier=3.0).of("x", 0.5) == -2.5
    ids = [{item.item_id for item in course(blocks, seed).forms["a"].items} for seed in (1, 2)]
    assert not ids[0] & ids[1]  # each class meets other pairs, which are hard for people in other ways


def test_worlds_claims_tell_what_is_wrong(study: Study) -> None:
    """The truth is beside the mean pair of the course; a study whose truths are moved misses its bars."""
    (fitted, people), (easier, others) = study.worlds
    assert np.mean([one.ability.true for one in people]) < 1.6 < np.mean([one.ability.true for one in others])
    assert (fitted, easier.key) == (FITTED, "easier")
    assert len(people) == TRAINEES
    claims = world_claims(study)
    assert [one.figures.keys() >= {"bias"} for one in claims].count(True) == 3
    assert [one.figures.keys() >= {"coverage"} for one in claims].count(True) == 6
    moved = [
        replace(one, ability=replace(one.ability, true=99.0, target=99.0), dprime=replace(one.dprime, target=9.0))
        for one in people
    ]
    missed = world_claims(replace(study, worlds=((FITTED, tuple(moved)),)))
    assert [one.met for one in missed if one.figures.get("coverage") == 0.0] == [False]
    assert [one.met for one in missed[:2]] == [False, False]  # the bias of ability, and that of d'
    wide = [
        replace(one, ability=replace(one.ability, estimate=Estimate(0.0, 9.0, -99.0, 99.0)))  # holds everything
        for one in people
    ]
    for world, place, met in ((FITTED, 3, False), (easier, 0, True)):  # too wide, which is met only where no model fits
        ability = world_claims(replace(study, worlds=((world, tuple(wide)),)))[place]
        assert (ability.figures["coverage"], ability.met) == (1.0, met)


def test_every_adaptive_block_of_a_shipped_plan_is_held_to_its_target(study: Study) -> None:
    blocks = {(one.plan, one.block_id) for one in study.blocks}
    shipped = {
        (name, block.block_id)
        for name, plans in adaptive_sittings().items()
        for plan in plans
        for block in plan.blocks
        if block.adaptive
    }
    assert blocks == shipped != set()
    for one in study.blocks:
        assert one.right.shape == (TRAINEES, one.trials)
        assert one.trials < one.pool
    assert len(block_claims(study)) == 4 * len(blocks)
    wrong = replace(study, blocks=tuple(replace(one, right=np.zeros_like(one.right)) for one in study.blocks))
    assert not any(one.met for one in block_claims(wrong))


def test_a_cohort_that_gains_is_called_better_and_one_that_does_not_is_not(study: Study) -> None:
    assert [one.met for one in cohort_claims(replace(study, power=0.85, false_gain=0.05))] == [True, True]
    assert [one.met for one in cohort_claims(replace(study, power=0.84, false_gain=0.06))] == [False, False]
    shares = [cohorts_called_better(Population(), gain, 60, 2) for gain in (0.0, 4.0, 12.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.1 < 0.9 < shares[2]


def test_all_bars_of_training_stand_beside_what_was_found(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = training_bars.claims_of(study)
    told = " ".join(text(one.claim) for one in claims)
    for row in ("Items of an adaptive block", "headline d' of a course", "three-day/", "Cohorts of 12", "Rasch"):
        assert row in told
    assert [one.met for one in claims[-len(ORACLES) :]] == [True] * len(ORACLES)
    monkeypatch.setattr(training_bars, "run_study", lambda *_: study)
    monkeypatch.setenv("COLUMNS", "250")
    assert training_bars.main(["--trainees", "9"]) == int(any(one.met is False for one in claims))
    assert "Wilson, 34 of 40" in capsys.readouterr().out


@pytest.mark.skipif(not NIGHTLY, reason="minutes")
def test_every_bar_of_training_is_met() -> None:
    assert training_bars.main([]) == 0


PLAN = """
format = 1
title = "Most exercises"
[[sittings]]
name = "day"
blocks = [
  {id = "pairs", exercise = "verification", same = 2, different = 2, adaptive = true, trials = 3},
  {id = "triads", exercise = "triad", trials = 3},
  {id = "lists", exercise = "candidates", present = 3, absent = 1, size = 4},
  {id = "parts", exercise = "features", same = 1, different = 1},
  {id = "quality", exercise = "triage", usable = 1, limited = 1, reject = 1},
  {id = "aid", exercise = "aided", same = 2, different = 2, wrong = 2},
  {id = "own", exercise = "own_probe", trials = 3, size = 5},
  {id = "lab", exercise = "lab", about = "threshold", trials = 2},
  {id = "custody", exercise = "evidence", trials = 2},
  {id = "footage", exercise = "footage", same = 1, different = 1},
  {id = "lesson", exercise = "lesson", lesson = "thresholds"},
]
"""


def test_who_is_told_what_is_right_by_the_oracle_of_a_store_has_everything_right(tmp_path: Path) -> None:
    made, rng = runner.made_course(read_plan(PLAN), 1, NOW_MS), np.random.default_rng(1)
    items = items_by_id(made)
    with open_store(tmp_path / "training", Clock()) as store:
        store.add_course(made, [b"picture"] * sum(len(item.photos) for item in items.values()), {}, {}, {})
        cohort, _ = store.create_cohort(made.course_id, "Monday", 1, DAY_MS)
        (trainee,) = store.trainees(cohort.cohort_id)
        first = new_session(made, trainee.trainee_id, 0, "day", "a" * 32, bytes(range(32)), NOW_MS)
        session_id, oracle = store.start_session(trainee, "day", lambda: first).session_id, runner.StoreOracle(store)

        def answer(seen: ShowTrial) -> Answer:
            store.change(session_id, lambda _, __: (taking.session, None)).result()
            told, item = oracle.look(session_id, seen.trial.trial_id), items[seen.trial.item_id]
            assert (told.show.prompt, told.show.photos, told.b) == (seen.prompt, seen.photos, item.b)
            assert item.key in (None, told.key)
            return oracle.answer(SimulatedTrainee(CERTAIN), session_id, seen.trial.trial_id, rng)

        taking = Trainee(made, first, answer, NOW_MS)
        rows = results(made, taking.run())
        assert len(rows) == made.plan.sittings[0].trials
        assert all(row.correct is True for row in rows)
        assert {row.exercise for row in rows} == set(ExerciseKind) - {ExerciseKind.BLIND, ExerciseKind.LOW_PREVALENCE}
        with pytest.raises(UnknownSession):
            oracle.look("b" * 32, taking.trials[0].trial.trial_id)
        for trial_id in ("0" * 32, taking.trials[0].trial.trial_id):  # the second waits for no answer any more
            with pytest.raises(UnknownTrial):
                oracle.look(session_id, trial_id)
