"""What courses teach of their items: pooled difficulties, and items on which the able do worse than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_training.courses import ByPeople, Learned
from fr_training.grading.items import item_rows, learned
from fr_training.statistics.item_analysis import MIN_PEOPLE
from fr_training.statistics.item_response import eap, probability
from fr_training.trials import Result
from support.results import pair, results, triad

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
