"""How many people a plan needs, and what is said where they are missing."""

from __future__ import annotations

import pytest

from fr_training.bank.needs import Available, PlanNeeds, available, needs, require_enough
from fr_training.errors import TooFewPeople
from support.people import EVERYTHING, TASTER, plan_of

ONE = {
    'exercise = "verification"; same = 3; different = 5': (13, 3),
    'exercise = "features"; same = 0; different = 1': (2, 0),
    'exercise = "aided"; same = 1; different = 0; wrong = 0': (1, 1),
    'exercise = "triad"; trials = 4': (8, 4),
    'exercise = "candidates"; present = 2; absent = 0; size = 5': (10, 2),
    'exercise = "candidates"; present = 0; absent = 2; size = 5': (12, 0),
    'exercise = "triage"; usable = 1; limited = 2; reject = 3': (6, 0),
    'exercise = "own_probe"; trials = 9; size = 7': (7, 0),
}


@pytest.mark.parametrize("block", ONE)
def test_each_exercise_takes_its_people(block: str) -> None:
    wanted = needs(plan_of(f'id = "one"; {block}'))
    assert (wanted.people, wanted.people_with_two_photos) == ONE[block]


def test_own_probes_use_the_people_of_the_lists() -> None:
    lists = 'id = "lists"; exercise = "candidates"; present = 1; absent = 1; size = 5'
    for size, people in ((5, 11), (10, 11), (12, 13)):
        assert (
            needs(plan_of(f'{lists}\nid = "own"; exercise = "own_probe"; trials = 1; size = {size}')).people == people
        )


def test_forms_that_two_blocks_show_count_once_and_those_of_two_groups_twice() -> None:
    first = 'id = "first"; exercise = "verification"; same = 3; different = 3; minutes = 10'
    second = 'id = "second"; exercise = "blind"; verifies = "first"; minutes = 5'
    assert needs(plan_of(f"{first}\n{second}")) == PlanNeeds(18, 6, 15, 12, 0)


def test_the_taster_needs_a_hundred_people() -> None:
    assert needs(plan_of(TASTER)) == PlanNeeds(100, 30, 0, 55, 0)
    assert needs(plan_of(EVERYTHING)).people_with_two_photos == 41
    assert needs(plan_of(EVERYTHING)).people_with_two_alike == 6


def test_what_is_missing_is_told() -> None:
    plan = plan_of('id = "one"; exercise = "verification"; same = 80; different = 66')
    with pytest.raises(TooFewPeople) as refused:
        require_enough(plan, Available(102, 60, 60))
    assert refused.value.what == (
        "The plan shows 212 people, of whom 80 need two photos; the data sets hold 102 and 60: 110 are missing."
    )
    assert refused.value.metadata == {"people": "212", "with_two_photos": "80", "missing": "110"}


@pytest.mark.parametrize(("people", "with_two", "missing"), [(11, 2, 0), (10, 10, 1), (30, 1, 1), (5, 0, 6)])
def test_enough_is_enough(people: int, with_two: int, missing: int) -> None:
    plan = plan_of(
        'id = "lists"; exercise = "candidates"; present = 2; absent = 0; size = 5\n'
        'id = "look"; exercise = "triage"; usable = 1; limited = 0; reject = 0'
    )
    if not missing:
        require_enough(plan, Available(people, with_two, 0))
        return
    with pytest.raises(TooFewPeople) as refused:
        require_enough(plan, Available(people, with_two, 0))
    assert refused.value.metadata["missing"] == str(missing)


def test_people_are_counted_by_their_photos_and_conditions() -> None:
    people = [[], [""], ["", ""], ["neutral", "smiling"], ["neutral", "smiling", "neutral"], ["neutral"]]
    assert available(people) == Available(people=5, with_two_photos=3, with_two_alike=2)


def test_triads_of_people_whose_photos_differ_in_condition_are_refused_with_the_way_out() -> None:
    plan = plan_of('id = "odd"; exercise = "triad"; trials = 20')
    require_enough(plan, Available(102, 102, 20))
    with pytest.raises(TooFewPeople) as refused:
        require_enough(plan, Available(102, 102, 0))
    assert refused.value.what == (
        "The triads of the plan need 20 people with two photos of one condition, such as one expression; the data sets "
        "hold 0. Photos of different conditions would give away which photo is the odd one. Show pairs instead of "
        "triads, or add a data set with such photos."
    )
    assert refused.value.metadata == {"missing": "20"}
