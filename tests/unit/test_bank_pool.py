"""Pools: what may be in them, what is left out, and what labels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fr_core.types import ModelId
from fr_training.bank.labels import age_of, sex_of, shared_labels, traits_of
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto, without_photos, without_shared_photos
from support.people import unit

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
