"""Adaptive blocks hold the share of right answers, and no order of a session depends on what is right."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_training.answers import Answer, PairRating
from fr_training.courses import Course
from fr_training.sessions.flow import finish, show
from fr_training.sessions.order import GUESS_RATE, class_order, is_mated
from fr_training.sessions.results import results
from fr_training.sessions.views import ShowTrial
from fr_training.statistics.item_response import probability
from support.counts import examples
from support.sessions import T0, Trainee, begun, course, items_by_id

TRIALS = 50
PEOPLE = 5
SETTLED = 20
"""Trials after which the ability is known well enough."""


def adaptive_course(target: float, same: int = 80, different: int = 80, trials: int = TRIALS) -> Course:
    return course(
        f"""
        format = 1
        title = "Adaptive"
        [[sittings]]
        name = "first"
        [[sittings.blocks]]
        id = "a"
        exercise = "verification"
        same = {same}
        different = {different}
        adaptive = true
        trials = {trials}
        target = {target}
        """,
        spread=4.0,
    )


def secret(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def simulated(made: Course, theta: float, seed: int) -> list[float]:
    """Chances of a right answer, trial by trial, of a trainee of an ability who answers by them."""
    rng = np.random.default_rng(seed)
    items = items_by_id(made)
    chances: list[float] = []

    def answer(shown: ShowTrial) -> Answer:
        item = items[shown.trial.item_id]
        chances.append(float(probability(theta, item.b or 0.0, GUESS_RATE)))
        return Answer(PairRating(2 if is_mated(item) == (rng.random() < chances[-1]) else -2))

    Trainee(made, begun(made, secret=secret(seed)), answer).run()
    return chances


@pytest.mark.parametrize("target", [0.75, 0.85])
def test_trainees_of_any_ability_are_right_as_often_as_planned(target: float) -> None:
    made = adaptive_course(target)
    for theta in (-2.0, 0.0, 2.0):
        chances = np.array([simulated(made, theta, seed) for seed in range(PEOPLE)])
        assert chances.shape == (PEOPLE, TRIALS)
        assert abs(chances[:, SETTLED:].mean() - target) < 0.05
        if theta == 0.0:
            assert abs(chances.mean() - target) < 0.05


def test_items_of_a_fixed_order_would_not_hold_it() -> None:
    # The control: the same trainees, the same items, no adaption.
    items = [item for item in items_by_id(adaptive_course(0.75)).values() if item.b is not None]
    for theta in (-2.0, 2.0):
        assert abs(np.mean([float(probability(theta, item.b or 0.0, GUESS_RATE)) for item in items]) - 0.75) > 0.05


@settings(max_examples=examples(60))
@given(same=st.integers(0, 12), different=st.integers(0, 12), share=st.floats(0.01, 1.0), seed=st.integers(0, 2**16))
def test_a_block_shows_what_was_drawn_beforehand_whatever_is_answered(
    same: int, different: int, share: float, seed: int
) -> None:
    if same + different == 0:
        return
    trials = max(1, round(share * (same + different)))
    made = adaptive_course(0.8, same, different, trials)
    items = items_by_id(made)
    rng = np.random.default_rng(seed)

    def answer(_: ShowTrial) -> Answer:
        return Answer(PairRating(int(rng.integers(-3, 4))), known_to_me=bool(rng.random() < 0.2))

    session = Trainee(made, begun(made, secret=secret(seed)), answer).run()
    shown = [items[trial.item_id] for trial in session.trials]
    assert len({item.item_id for item in shown}) == trials
    assert tuple(map(is_mated, shown)) == class_order(secret(seed), "a", same, different, trials)


def test_neither_whom_a_trainee_knows_nor_what_was_not_answered_counts() -> None:
    made = adaptive_course(0.75)
    items = items_by_id(made)

    def second_b(known: bool) -> float:
        """Difficulty of the item after a wrong answer."""

        def wrong(shown: ShowTrial) -> Answer:
            return Answer(PairRating(-1 if is_mated(items[shown.trial.item_id]) else 1), known_to_me=known)

        trainee = Trainee(made, begun(made), wrong)
        shown = trainee.look()
        assert shown is not None
        trainee.reply(shown)
        following = trainee.look()
        assert following is not None
        return items[following.trial.item_id].b or 0.0

    assert abs(second_b(known=True)) < 0.1  # as at first: theta 0, offset 0
    assert second_b(known=False) < -0.5


def test_undecided_counts_as_wrong() -> None:
    made = adaptive_course(0.75)

    def path(rating: int) -> list[str]:
        def answer(shown: ShowTrial) -> Answer:
            mated = is_mated(items_by_id(made)[shown.trial.item_id])
            return Answer(PairRating(-rating if mated else rating))

        return [trial.item_id for trial in Trainee(made, begun(made), answer).run().trials]

    assert path(0) == path(2) != path(-2)


@pytest.mark.parametrize("block", ["pre", "odd"])
def test_no_order_depends_on_what_is_right(block: str) -> None:
    made = course()
    number = [one.block_id for one in made.plan.blocks].index(block)
    first: Counter[str] = Counter()
    places: Counter[tuple[int, ...]] = Counter()
    sessions = 600
    for n in range(sessions):
        session = begun(made, secret=secret(n))
        # As if the blocks before had been done.
        session = replace(session, block=number)
        session, shown = show(made, session, block, T0)
        assert isinstance(shown, ShowTrial)
        (row,) = results(made, finish(session, T0))
        first[row.truth] += 1
        places[shown.trial.order] += 1
    # Each as often as its share, within 5 standard deviations of a binomial count.
    for counts, kinds in ((first, 2 if block == "pre" else 3), (places, 2 if block == "pre" else 6)):
        expected = sessions / kinds
        assert len(counts) == kinds
        assert all(abs(count - expected) < 5 * (expected * (1 - 1 / kinds)) ** 0.5 for count in counts.values())
