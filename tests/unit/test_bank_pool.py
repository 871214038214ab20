"""Pools of people: what may be in them, what labels say, and how many people a plan needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fr_core.types import ModelId
from fr_training.bank.labels import age_of, sex_of, shared_labels, traits_of
from fr_training.bank.needs import Available, PlanNeeds, available, needs, require_enough
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto, without_photos, without_shared_photos
from fr_training.errors import TooFewPeople
from support.people import EVERYTHING, TASTER, plan_of, unit

VECTOR = unit(np.ones(4))


def photo(number: int, digit: str) -> PoolPhoto:
    return PoolPhoto(number, digit * 64, VECTOR, 0.0, 1.0)


def pool(*people: str) -> Pool:
    """Each word is a person, each letter of it a photo."""
    found = [
        PoolPerson(number, tuple(photo(100 * number + turn, digit) for turn, digit in enumerate(word)))
        for number, word in enumerate(people)
    ]
    return Pool(tuple(found), ModelId("made-up", "1", "a" * 64))


def hashes(found: Pool) -> list[str]:
    return ["".join(one.sha256[0] for one in person.photos) for person in found.people]


def person(**labels: str) -> PoolPerson:
    return PoolPerson(0, (), labels)


def test_a_photo_has_a_hash_and_a_unit_vector_that_nobody_writes_to() -> None:
    writable = VECTOR.copy()
    for wrong in (writable, unit(np.ones(4)).astype(np.float64), 2 * VECTOR, np.stack([VECTOR])):
        with pytest.raises(ValueError, match="embedding"):
            PoolPhoto(0, "a" * 64, wrong, 0.0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SHA-256"):
        replace(photo(0, "a"), sha256="A" * 64)


def test_numbers_are_unique_and_vectors_of_one_size() -> None:
    sound = pool("a", "b")
    with pytest.raises(ValueError, match="Two people"):
        replace(sound, people=(*sound.people, PoolPerson(1, ())))
    with pytest.raises(ValueError, match="Two photos"):
        replace(sound, people=(*sound.people, PoolPerson(2, (photo(100, "c"),))))
    other = replace(photo(7, "c"), embedding=unit(np.ones(5)))
    with pytest.raises(ValueError, match="differ in size"):
        replace(sound, people=(*sound.people, PoolPerson(2, (other,))))


def test_excluded_photos_go_and_people_who_have_no_other() -> None:
    assert hashes(without_photos(pool("ab", "c", "d"), frozenset({"b" * 64, "c" * 64}))) == ["a", "d"]


def test_people_who_share_a_photo_are_one_and_who_has_most_photos_stays() -> None:
    assert hashes(without_shared_photos(pool("ab", "d", "bce", "f", ""))) == ["bce", "d", "f"]
    assert hashes(without_shared_photos(pool("aab"))) == ["ab"]


def test_the_order_of_people_is_that_of_their_hashes() -> None:
    assert hashes(without_shared_photos(pool("f", "a", "cb"))) == ["a", "cb", "f"]


def test_sex_and_age_are_read_from_the_kinds_that_data_sets_use() -> None:
    assert [sex_of({kind: "Female "}) for kind in ("face_gender", "gender", "sex", "hair")] == ["female"] * 3 + [""]
    assert sex_of({"sex": "M"}) == "male"
    assert [age_of({"face_age": text}) for text in ("24", "old", "nan", "-1", "")] == [24.0, None, None, None, None]
    assert age_of({"age": "30.5"}) == 30.5


def test_labels_that_all_share_are_kept_and_ages_by_ten_years() -> None:
    a, b = person(gender="female", age="31", eth="x"), person(gender="female", age="39", eth="y")
    assert shared_labels([a, b]) == {"gender": "female", "age": "30-39"}
    assert shared_labels([a, person(age="40")]) == {}


def test_a_pair_loses_most_for_another_data_set_then_for_the_sex_then_for_the_age() -> None:
    people = [
        PoolPerson(0, (), {"sex": "f", "age": "20"}, "x"),
        PoolPerson(1, (), {"sex": "f", "age": "31"}, "x"),
        PoolPerson(2, (), {"sex": "m", "age": "20"}, "x"),
        PoolPerson(3, (), {"sex": "f", "age": "20"}, "y"),
        PoolPerson(4, (), {}, "x"),
    ]
    lost = traits_of(people).unlike(np.array([0]), np.arange(5))
    assert lost is not None
    own, age, sex, source, unknown = lost[0].tolist()
    assert own == unknown == 0.0
    assert age > 2.0
    assert sex > age + 2.0
    assert source > sex + age + 2.0
    assert traits_of([people[4], people[4]]).unlike(np.array([0]), np.array([1])) is None


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
