"""The condition of a photo, such as an expression, does not give the answer away in any exercise."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fr_training.bank.compose import Composed
from fr_training.bank.pool import Pool, PoolPerson
from fr_training.courses import Item, Learned
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriadKey
from fr_training.plan import read_plan
from fr_training.shipped_plans import plan_text
from support.people import made_course, made_pool, plan_of, unit

NEUTRAL, SMILING = "neutral", "smiling"
TRIADS = 'id = "odd"; exercise = "triad"; trials = 8'
PAIRS = 'id = "pairs"; exercise = "verification"; same = 10; different = 10'
LISTS = 'id = "lists"; exercise = "candidates"; present = 6; absent = 6; size = 4'


def said(person: PoolPerson, *conditions: str) -> PoolPerson:
    """The person with photos of those conditions, as many as there are of either."""
    photos = (replace(photo, condition=one) for photo, one in zip(person.photos, conditions, strict=False))
    return replace(person, photos=tuple(photos))


def studio(people: int, two: int, *, source: str = "", first: int = 0, seed: int = 0) -> Pool:
    """People who are neutral and smiling; those with one photo are neutral."""
    made = made_pool(people, two, source=source, first=first, seed=seed)
    return replace(made, people=tuple(said(person, NEUTRAL, SMILING) for person in made.people))


def shown(made: Composed, pool: Pool, item: Item) -> tuple[str, ...]:
    """Conditions of the photos of an item."""
    conditions = {photo.number: photo.condition for person in pool.people for photo in person.photos}
    return tuple(conditions[made.pictures[number].photo.number] for number in item.photos)


def mates(item: Item) -> bool:
    """Whether an item shows somebody twice."""
    assert isinstance(item.key, PairKey | ListKey)
    return item.key.mated if isinstance(item.key, PairKey) else item.key.mate is not None


def by_answer(made: Composed, pool: Pool, form: str) -> dict[bool, Counter[tuple[str, ...]]]:
    """The conditions of items that show a person twice, and of those that do not."""
    found: dict[bool, Counter[tuple[str, ...]]] = {True: Counter(), False: Counter()}
    for item in made.forms[form].items:
        found[mates(item)][shown(made, pool, item)] += 1
    return found


def test_triads_of_people_who_are_neutral_and_smiling_are_refused() -> None:
    with pytest.raises(
        TooFewPeople, match=r"triads of the plan need 8 people with two photos of one condition.*hold 0\."
    ):
        made_course(TRIADS, studio(60, 60), 1)


@pytest.mark.parametrize("seed", range(3))
def test_all_photos_of_a_triad_have_one_condition(seed: int) -> None:
    pool = studio(90, 90)
    people = [
        said(person, *([(NEUTRAL,) * 2, (SMILING,) * 2][n % 2])) if n < 20 else person
        for n, person in enumerate(pool.people)
    ]
    pool = replace(pool, people=tuple(people))
    made = made_course(f"{PAIRS}\n{TRIADS}", pool, seed)
    found = Counter(shown(made, pool, item) for item in made.forms["odd"].items)
    assert set(found) == {(NEUTRAL,) * 3, (SMILING,) * 3}
    assert all(isinstance(item.key, TriadKey) for item in made.forms["odd"].items)


def test_the_only_people_who_can_be_shown_in_triads_are_kept_for_them() -> None:
    pool = studio(140, 100)
    people = [said(person, NEUTRAL, NEUTRAL) if n < 8 else person for n, person in enumerate(pool.people)]
    plan = plan_of(f'id = "pairs"; exercise = "verification"; same = 20; different = 0\n{LISTS}\n{TRIADS}')
    for seed in range(3):
        made = made_course(plan, replace(pool, people=tuple(people)), seed)
        assert {item.people[0] for item in made.forms["odd"].items} | {
            item.people[1] for item in made.forms["odd"].items
        } >= set(range(8))


def test_pairs_of_two_people_show_the_conditions_of_pairs_of_one() -> None:
    pool = studio(100, 40)  # 60 of them are neutral alone
    found = by_answer(made_course(PAIRS, pool, 1), pool, "pairs")
    assert found == {True: {(NEUTRAL, SMILING): 10}, False: {(NEUTRAL, SMILING): 10}}


@pytest.mark.parametrize(("plan", "missing"), [(PAIRS, "2"), (LISTS, "26")])
def test_where_others_would_have_to_be_shown_in_another_condition_the_course_is_refused(
    plan: str, missing: str
) -> None:
    with pytest.raises(TooFewPeople, match="the condition of a photo would give the answer away") as refused:
        made_course(plan, studio(100, 28), 1)
    assert refused.value.metadata["missing"] == missing


def test_probes_and_candidates_have_the_same_conditions_whether_or_not_the_person_is_there() -> None:
    pool = studio(140, 80)
    found = by_answer(made_course(LISTS, pool, 1), pool, "lists")
    wanted = {(NEUTRAL, *(SMILING,) * 4): 6}
    assert found == {True: wanted, False: wanted}


def test_two_data_sets_have_the_same_share_of_probes_whether_or_not_the_person_is_there() -> None:
    one, other = studio(80, 80, source="studio"), made_pool(200, 80, seed=1, source="news", first=1000)
    pool = replace(one, people=one.people + other.people)
    for seed in range(3):
        found = by_answer(made_course(LISTS, pool, seed), pool, "lists")
        assert found[True] == found[False]
        assert set(found[True]) <= {(NEUTRAL, *(SMILING,) * 4), ("",) * 5}


@pytest.mark.parametrize(
    "plan", [PAIRS, LISTS, PAIRS.replace("same = 10", "same = 0"), LISTS.replace("= 6;", "= 0;", 1)]
)
def test_conditions_of_which_there_are_few_are_left_out_of_pairs_and_lists(plan: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        people = [
            said(person, NEUTRAL, SMILING) if n < 90 else said(person, *map(str, rng.integers(3, size=2)))
            for n, person in enumerate(made_pool(120, 100, seed=seed).people)
        ]
        pool = replace(made_pool(1, 1), people=tuple(people))
        made = made_course(plan, pool, seed)
        (name,) = made.forms
        found = by_answer(made, pool, name)
        assert set(found[False]) <= set(found[True]) or not found[True]


def test_what_takes_the_place_of_items_that_are_set_aside_has_their_conditions() -> None:
    pool = studio(200, 150)
    people = [said(person, SMILING, SMILING) if n < 20 else person for n, person in enumerate(pool.people)]
    pool, plan = replace(pool, people=tuple(people)), plan_of(f"{PAIRS}\n{TRIADS}\n{LISTS}")
    before = made_course(plan, pool, 1)
    suspects = {item.item_id for name in ("pairs", "odd") for item in before.forms[name].items[:5]}
    made = made_course(plan, pool, 1, Learned(suspects=frozenset(suspects)))
    assert suspects.isdisjoint(item.item_id for form in made.forms.values() for item in form.items)
    assert by_answer(made, pool, "pairs") == by_answer(before, pool, "pairs")
    assert Counter(shown(made, pool, item) for item in made.forms["odd"].items) == {(SMILING,) * 3: 8}


def test_candidates_are_of_the_sex_of_the_probe_where_there_are_enough() -> None:
    pool = made_pool(160, 80)
    people = {person.number: person for person in pool.people}
    made = made_course(LISTS, pool, 1)
    for item in made.forms["lists"].items:
        assert len({people[person].labels["gender"] for person in item.people}) == 1


def test_two_people_are_of_one_ethnicity_where_there_are_enough() -> None:
    pool = made_pool(160, 160)
    words = ("east", "west", "east", "west", "north")
    people = {
        n: replace(person, labels={**person.labels, "ethnicity": words[n % 5]}) for n, person in enumerate(pool.people)
    }
    pool = replace(pool, people=tuple(people.values()))
    made = made_course(f"{PAIRS}\n{TRIADS}", pool, 1)
    for item in (item for form in made.forms.values() for item in form.items):
        assert len({people[person].labels["ethnicity"] for person in item.people}) == 1
        assert len({people[person].labels["gender"] for person in item.people}) == 1


def test_in_a_set_like_lfw_the_number_of_photos_tells_nothing() -> None:
    made = made_course(read_plan(plan_text("three-day")), made_pool(5_749, 1_680, size=16, labelled=False))
    for form in made.forms.values():
        for item in form.items:
            if isinstance(item.key, PairKey | TriadKey | ListKey):
                assert max(item.people) < 1_680  # who has two photos


def moved(pool: Pool, by: float) -> Pool:
    """The pool with the second photo of everybody moved in one and the same direction."""
    way = unit(np.ones(len(pool.people[0].photos[0].embedding)))
    people = []
    for person in pool.people:
        first, *rest = person.photos
        moved = (replace(photo, embedding=unit(photo.embedding + by * way)) for photo in rest)
        people.append(replace(person, photos=(first, *moved)))
    return replace(pool, people=tuple(people))


def test_where_everybody_was_photographed_in_one_order_the_order_is_the_condition() -> None:
    pool = moved(made_pool(90, 60), 1.0)
    words = r"hold 0\..*in the same order.*conditions\.csv.*Show pairs instead of triads"
    with pytest.raises(TooFewPeople, match=words):
        made_course(TRIADS, pool, 1)
    firsts = {person.photos[0].number for person in pool.people}
    plan = f"{PAIRS}\n{LISTS}".replace("absent = 6", "absent = 1")
    made = made_course(plan, pool)
    assert made_course(plan, pool) == made
    for item in made.forms["pairs"].items:
        assert [made.pictures[number].photo.number in firsts for number in item.photos] == [True, False]


def test_an_order_that_does_not_show_is_no_condition() -> None:
    for seed in range(15):
        made_course(TRIADS, made_pool(60, 60, seed=seed), 1)
    made_course(TRIADS, moved(made_pool(60, 19), 1.0), 1)  # too few to tell
