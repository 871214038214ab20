"""Courses of real faces: the taster from the London Set, through the default pack, to pictures that show who it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fr_core.engine import Engine
from fr_core.types import F32
from fr_evaluation.photos import EmbeddedPhoto, most_central
from fr_training.answers import Degraded, Usability
from fr_training.build.course import BuiltCourse, build_course
from fr_training.build.people import read_datasets
from fr_training.build.pictures import EYE_DISTANCE, TEMPLATE
from fr_training.keys import PairKey, TriageKey
from fr_training.plan import read_plan
from fr_training.shipped_plans import plan_text
from support.people import ExactMatcher

pytestmark = pytest.mark.models


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
