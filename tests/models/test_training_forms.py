"""Courses of real faces: London, all of whose people are used up, and people of LFW."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fr_core.engine import Engine
from fr_core.types import F32
from fr_datasets import lfw, london
from fr_datasets.values import Person
from fr_evaluation.photos import EmbeddedPhoto, most_central
from fr_training.answers import Degraded, Usability
from fr_training.bank.compose import Composed
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto
from fr_training.build.course import BuiltCourse, build_course
from fr_training.build.people import read_datasets
from fr_training.build.pictures import EYE_DISTANCE, TEMPLATE
from fr_training.keys import PairKey, TriageKey
from fr_training.plan import read_plan
from fr_training.shipped_plans import plan_text
from support.counts import NIGHTLY
from support.people import (
    TASTER,
    ExactMatcher,
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


@pytest.mark.parametrize("seed", range(5 if NIGHTLY else 2))
def test_the_taster_can_be_made_and_its_tests_are_equally_hard(pool: Pool, seed: int) -> None:
    made = made_of(pool, seed)
    people = shown_people(made)
    assert len(set(people)) == len(people) == 100
    found = differences_of(made, "test-a", "test-b")
    assert set(found) == {"same", "different", "all"}
    assert all(one.strain < 1.0 for one in found.values()), found


def test_the_same_seed_gives_the_same_course_and_another_another(pool: Pool) -> None:
    assert made_of(pool, 1) == made_of(pool, 1)
    assert len({made_of(pool, seed).manifest_sha256 for seed in range(3)}) == 3


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


def taster(engine: Engine, testdata: Path) -> BuiltCourse:
    return build_course(
        read_plan(plan_text("taster-90")),
        read_datasets([("london", testdata / "london")]),
        engine,
        ExactMatcher(),
        seed=1,
        workers=4,
        course_id="0123456789abcdef",
        gallery_id="gallery",
        now_ms=0,
        on_progress=lambda stage, done, total: None,
    )


@pytest.fixture(scope="module")
def course(default_engine: Engine, testdata: Path) -> BuiltCourse:
    return taster(default_engine, testdata)


def found(engine: Engine, picture: bytes) -> tuple[F32, F32] | None:
    """Embedding and landmarks of the face in a picture."""
    photo = engine.pipeline.analyze(picture)
    face = most_central(EmbeddedPhoto((photo.image.width, photo.image.height), photo.faces))
    return None if face is None else (face.embedding.vector, face.face.detection.landmarks)


def test_the_london_set_is_enough_for_the_taster(course: BuiltCourse) -> None:
    assert course.course.excluded == {}
    people = [number for form in course.course.forms.values() for item in form.items for number in item.people]
    assert len(people) == len(set(people)) == 100
    assert {form.name: len(form.items) for form in course.course.forms.values()} == {
        "test-a": 20,
        "test-b": 20,
        "features": 4,
        "practice": 8,
        "lists": 2,
        "aided": 4,
        "triage": 5,
    }
    assert len({len(picture) for picture in course.pictures}) == 1


def test_the_same_seed_gives_the_same_course(default_engine: Engine, testdata: Path, course: BuiltCourse) -> None:
    again = taster(default_engine, testdata)
    assert again.course == course.course
    assert again.pictures == course.pictures


def test_faces_lie_at_the_template_and_still_show_who_it_is(default_engine: Engine, course: BuiltCourse) -> None:
    mated: list[float] = []
    nonmated: list[float] = []
    misplaced: list[float] = []
    for name in ("test-a", "test-b"):
        for item in course.course.forms[name].items:
            faces = [found(default_engine, course.pictures[number]) for number in item.photos]
            assert isinstance(item.key, PairKey)
            assert None not in faces
            (one, at), (other, _) = [face for face in faces if face is not None]
            similarity = float(one @ other)
            assert abs(similarity - item.key.similarity) < 0.25  # a crop, half the size, without hair
            (mated if item.key.mated else nonmated).append(similarity)
            misplaced.append(float(np.linalg.norm(at - TEMPLATE, axis=1).max()))
    assert min(mated) > max(nonmated)
    assert np.median(misplaced) < 0.15 * EYE_DISTANCE


def test_photos_to_reject_show_less_of_a_face_than_usable_ones(default_engine: Engine, course: BuiltCourse) -> None:
    scores: dict[Usability, list[float]] = {usability: [] for usability in Usability}
    for item in course.course.forms["triage"].items:
        assert isinstance(item.key, TriageKey)
        assert item.key.degraded is not Degraded.POSE  # all of the set look straight ahead
        faces = default_engine.pipeline.analyze(course.pictures[item.photos[0]]).faces
        scores[item.key.usability].append(max((face.face.quality.score for face in faces), default=0.0))
    assert min(scores[Usability.USABLE]) > 0.5
    assert max(scores[Usability.REJECT]) < min(scores[Usability.USABLE])
