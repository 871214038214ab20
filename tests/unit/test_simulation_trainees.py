"""Simulated trainees answer by their abilities, made courses are as planned, and the oracle tells the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path
from statistics import NormalDist, mean, pstdev, stdev

import numpy as np
import pytest

from fr_training.answers import Answer, ListChoice
from fr_training.courses import Course
from fr_training.errors import UnknownSession, UnknownTrial
from fr_training.keys import ListKey, PairKey
from fr_training.plan import read_plan
from fr_training.prompts import ExerciseKind, Step
from fr_training.sessions.flow import new_session, show
from fr_training.sessions.results import results
from fr_training.sessions.views import ShowTrial
from fr_training.shipped_plans import plan_names, plan_text
from fr_training.simulation.answers import Scale, first_evidence, rating_of, second_evidence
from fr_training.simulation.runner import (
    BETWEEN_MS,
    Seat,
    StoreOracle,
    difficulties,
    items_of,
    made_course,
    run_sitting,
)
from fr_training.simulation.trainee import Abilities, Population, SimulatedTrainee
from fr_training.statistics.item_response import probability
from fr_training.statistics.signal_detection import rates_of
from fr_training.trials import Result, Session
from support.sessions import Trainee, items_by_id
from support.training_stores import DAY_MS, NOW_MS, Clock, open_store

T0 = 1_700_000_000_000
MANY = 4_000
ABLE = Abilities(1.6, 0.3, 0.5, theta=0.7)
CERTAIN = Abilities(
    20.0, theta=40.0, advice_weight=0.0, picks_mate=1.0, picks_foil=0.0, false_alarm=0.0, inconclusive=0.0, triage=1.0
)


def course(blocks: str, seed: int = 1) -> Course:
    toml = f'format = 1\ntitle = "Made"\n[[sittings]]\nname = "day"\n[[sittings.blocks]]\nid = "a"\n{blocks}'
    return made_course(read_plan(toml), seed, T0)


def taken(made: Course, who: SimulatedTrainee, seed: int = 1, sitting: str = "day", group: int = 0) -> Session:
    rng = np.random.default_rng(seed)
    return run_sitting(made, items_of(made), Seat("S-1", group, who), sitting, rng, T0)


def shown_first(made: Course) -> ShowTrial:
    session = new_session(made, "S-1", 0, "day", "5" * 32, bytes(32), T0)
    _, seen = show(made, session, "a", T0)
    assert isinstance(seen, ShowTrial)
    return seen


def test_ratings_lie_to_both_sides_of_the_criterion_alike() -> None:
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


def test_a_second_look_is_spread_as_if_the_first_were_remembered() -> None:
    rng, scale, memory = np.random.default_rng(1), Scale(), 0.8
    for mated in (True, False):
        first = [first_evidence(mated, 0.9, rng) for _ in range(MANY)]
        second = [second_evidence(mated, 0.9, *scale.range_of(scale.rating(x)), memory, rng) for x in first]
        centre = 0.9 if mated else -0.9
        assert mean(second) == pytest.approx(centre, abs=0.07)
        assert stdev(second) == pytest.approx(1.0, abs=0.05)
        # Each first look is known by its rating alone, so that what is kept of it is a little less than all.
        assert 0.7 < float(np.corrcoef(first, second)[0, 1]) < memory


def test_a_perfect_memory_stays_within_what_the_first_rating_said() -> None:
    rng, scale = np.random.default_rng(2), Scale()
    for rating in range(-3, 4):
        low, high = scale.range_of(rating)
        for mated in (True, False):
            drawn = [second_evidence(mated, 3.0, low, high, 1.0, rng) for _ in range(50)]
            assert all(low - 1e-9 <= one <= high + 1e-9 for one in drawn)
            assert rating in (-3, 3) or len(set(drawn)) > 10
    for mated, low, high in ((False, 8.0, inf), (True, -inf, -8.0)):  # 9 standard deviations off
        drawn = [abs(second_evidence(mated, 1.0, low, high, 1.0, rng)) for _ in range(200)]
        assert min(drawn) >= 8.0
        assert mean(drawn) == pytest.approx(8.109, abs=0.03)  # of the tail: 1 / 9 beyond its end, about


def test_stated_probabilities_are_calibrated() -> None:
    rng, m = np.random.default_rng(3), 0.8
    stated = [
        (rating_of(first_evidence(mated, m, rng), 0.0, m, Scale()).p_same, mated) for mated in (True, False) * MANY
    ]
    high = [mated for p, mated in stated if p is not None and 0.7 <= p < 0.9]
    assert mean(high) == pytest.approx(0.8, abs=0.04)
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
            chance = mean(float(probability(ABLE.theta, one.b or 0.0, 0.5)) for one in here)
            assert mean(one.correct is True for one in here) == pytest.approx(chance, abs=0.04)
        assert not any(one.rating == 0 for one in rows)


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


def test_triads_are_answered_by_theta_with_a_guess_rate_of_a_third() -> None:
    made = course('exercise = "triad"\ntrials = 300\n')
    rows = [row for seed in (1, 2) for row in results(made, taken(made, SimulatedTrainee(ABLE), seed))]
    chance = mean(float(probability(ABLE.theta, one.b or 0.0, 1 / 3)) for one in rows)
    assert mean(one.correct is True for one in rows) == pytest.approx(chance, abs=0.05)
    wrong = results(made, taken(made, SimulatedTrainee(replace(ABLE, theta=-40.0))))
    assert mean(one.correct is True for one in wrong) == pytest.approx(1 / 3, abs=0.08)
    chosen = Counter(one.answer for one in wrong)
    assert min(chosen.values()) > 70


def test_lists_are_decided_by_their_chances() -> None:
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


def test_who_knows_everything_has_everything_right() -> None:
    """Whatever order photos are shown in: every exercise of every plan, at every step."""
    kinds: Counter[ExerciseKind] = Counter()
    for name in plan_names():
        made = made_course(read_plan(plan_text(name)), 3, T0)
        for group in (0, 1):
            for sitting in made.plan.sittings:
                for row in results(made, taken(made, SimulatedTrainee(CERTAIN), 5, sitting.name, group)):
                    kinds[row.exercise] += 1
                    assert row.correct is True
    assert set(kinds) == set(ExerciseKind)


def test_an_own_probe_of_unknown_truth_is_answered_as_if_nobody_were_there() -> None:
    made = course('exercise = "candidates"\npresent = 1\nabsent = 0\nsize = 5\n')
    rng, seen = np.random.default_rng(1), shown_first(made)
    pictures = tuple(replace(one, picture_id=f"{n:016x}") for n, one in enumerate(seen.prompt.pictures * 6))
    prompt = replace(seen.prompt, step=Step.DECIDE, pictures=pictures)
    trial = replace(seen.trial, order=tuple(range(6)))
    unknown = ListKey(2, (0.5,) * 5, scored=False)
    answer = SimulatedTrainee(CERTAIN).answer(replace(seen, prompt=prompt, trial=trial), unknown, None, rng)
    assert getattr(answer.given, "choice", None) == ListChoice.NONE


def test_the_clock_of_a_sitting_is_that_of_the_answers() -> None:
    made = course('exercise = "aided"\nsame = 10\ndifferent = 10\nwrong = 5\n')
    session = taken(made, SimulatedTrainee(ABLE))
    for earlier, later in zip(session.trials, session.trials[1:], strict=False):
        assert later.locked[0].at_ms - later.locked[0].took_ms == earlier.locked[-1].at_ms + BETWEEN_MS
    assert all(one.took_ms > 0 for trial in session.trials for one in trial.locked)
    assert session.finished_ms == session.trials[-1].locked[-1].at_ms
    assert taken(made, SimulatedTrainee(ABLE)) == session
    assert taken(made, SimulatedTrainee(ABLE), 2).trials != session.trials


def test_made_forms_are_spread_as_the_bank_spreads_them() -> None:
    made = course('exercise = "verification"\nsame = 20\ndifferent = 30\n')
    items = made.forms["a"].items
    for mated, count in ((True, 20), (False, 30)):
        b = [one.b or 0.0 for one in items if isinstance(one.key, PairKey) and one.key.mated == mated]
        assert len(b) == count
        assert mean(b) == pytest.approx(0.0, abs=1e-9)
        assert pstdev(b) == pytest.approx(1.0)
    assert (difficulties(0), difficulties(1)) == ([], [0.0])
    assert len({one.item_id for one in items}) == 50
    mated_order = [isinstance(one.key, PairKey) and one.key.mated for one in items]
    assert mated_order != sorted(mated_order, reverse=True)


def test_people_are_as_able_as_the_norms_say() -> None:
    """81 % right, and 7.5 points of people, by d' and by theta alike."""
    rng, people = np.random.default_rng(1), Population()
    drawn = [people.draw(rng) for _ in range(20_000)]
    by_dprime = np.array([NormalDist().cdf(one.dprime / 2) for one in drawn[:5_000]])
    form = np.array(difficulties(20), dtype=np.float64)
    theta = np.array([one.theta for one in drawn], dtype=np.float64)
    by_theta = probability(theta[:, None], form[None, :], 0.5).mean(axis=1)
    for right in (by_dprime, by_theta):
        assert float(right.mean()) == pytest.approx(0.81, abs=0.015)
        assert float(right.std()) == pytest.approx(0.075, abs=0.006)
    assert min(one.dprime for one in drawn) >= 0.0
    assert stdev(one.advice_weight for one in drawn) == pytest.approx(0.2, abs=0.01)


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
]
"""


def test_who_is_told_what_is_right_by_the_oracle_of_a_store_has_everything_right(tmp_path: Path) -> None:
    made, rng = made_course(read_plan(PLAN), 1, NOW_MS), np.random.default_rng(1)
    items = items_by_id(made)
    with open_store(tmp_path / "training", Clock()) as store:
        store.add_course(made, [b"picture"] * sum(len(item.photos) for item in items.values()), {}, {}, {})
        cohort, _ = store.create_cohort(made.course_id, "Monday", 1, DAY_MS)
        (trainee,) = store.trainees(cohort.cohort_id)
        first = new_session(made, trainee.trainee_id, 0, "day", "a" * 32, bytes(range(32)), NOW_MS)
        session_id, oracle = store.start_session(trainee, "day", lambda: first).session_id, StoreOracle(store)

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
