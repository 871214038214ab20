"""Courses of real faces: London, all of whose people are used up, and people of LFW."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fr_datasets import lfw, london
from fr_datasets.values import Person
from fr_training.bank.compose import Composed
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto
from fr_training.keys import PairKey
from support.people import (
    TASTER,
    differences_of,
    different_pairs,
    made_course,
    of_one_sex_and_age,
    plan_of,
    shown_people,
)

if TYPE_CHECKING:
    from fr_core.engine import Engine

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(300)]

PLAN = plan_of(TASTER)
OF_LFW = 200


def pool_of(engine: Engine, source: str, people: Sequence[Person]) -> Pool:
    """Analyse the photos of people; the first face of a photo counts, and a photo without one is left out."""
    found = []
    number = 0
    for person_number, person in enumerate(people):
        photos = []
        for path in person.photos[:2]:
            analysed = engine.pipeline.analyze(path.read_bytes())
            if analysed.faces:
                face = analysed.faces[0]
                quality = face.face.quality
                vector = face.embedding.vector
                photos.append(PoolPhoto(number, analysed.image.sha256, vector, quality.yaw, quality.score))
            number += 1
        found.append(PoolPerson(person_number, tuple(photos), person.labels, source))
    return Pool(tuple(found), engine.pipeline.model)


@pytest.fixture(scope="module")
def of_london(testdata: Path, default_engine: Engine) -> Pool:
    return pool_of(default_engine, "london", london.people(testdata / "london").people)


@pytest.fixture(scope="module")
def of_lfw(testdata: Path, default_engine: Engine) -> Pool:
    return pool_of(default_engine, "lfw", lfw.people(testdata / "lfw").people[:OF_LFW])


@pytest.fixture(scope="module", params=["london", "lfw"])
def pool(request: pytest.FixtureRequest) -> Pool:
    found: Pool = request.getfixturevalue(f"of_{request.param}")
    return found


def made_of(pool: Pool, seed: int) -> Composed:
    return made_course(PLAN, pool, seed)


@pytest.mark.parametrize("seed", range(5))
def test_the_taster_can_be_made_and_its_tests_are_equally_hard(pool: Pool, seed: int) -> None:
    made = made_of(pool, seed)
    people = shown_people(made)
    assert len(set(people)) == len(people) == 100
    found = differences_of(made, "test-a", "test-b")
    assert set(found) == {"same", "different", "all"}
    assert all(one.strain < 1.0 for one in found.values()), found


def test_the_same_seed_gives_the_same_course_and_another_another(pool: Pool) -> None:
    assert made_of(pool, 1) == made_of(pool, 1)
    assert len({made_of(pool, seed).manifest_sha256 for seed in range(5)}) == 5


def test_different_pairs_are_hard(pool: Pool) -> None:
    first = np.stack([person.photos[0].embedding for person in pool.people if person.photos])
    chance = float(np.mean((first @ first.T)[np.triu_indices(len(first), 1)]))
    items = [item for form in made_of(pool, 1).forms.values() for item in form.items]
    keys = [item.key for item in items if isinstance(item.key, PairKey) and not item.key.mated]
    assert np.mean([key.similarity for key in keys]) > chance + 0.1


def test_different_pairs_of_london_are_of_one_sex_and_about_one_age(of_london: Pool) -> None:
    pairs = different_pairs(made_of(of_london, 1), of_london, "test-a", "test-b", "practice", "aid")
    found = [of_one_sex_and_age(*pair) for pair in pairs]
    assert len(found) == 28
    assert sum(sex for sex, _ in found) >= 27
    assert sum(age for _, age in found) >= 0.8 * 28
