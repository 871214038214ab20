"""1:N search: one candidate per subject, ranks, thresholds and what comes with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import InvalidThreshold, InvalidTopK
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate, SubjectName
from fr_core.types import Candidate, Decision, Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
HERE = ("compact", "flat", "numpy")


def at(degrees: float) -> Embedding:
    """A point of the unit circle; two of them have the cosine of the angle between as their similarity."""
    angle = np.radians(degrees)
    return Embedding(np.array([np.cos(angle), np.sin(angle)], dtype=np.float32), MODEL)


@pytest.fixture(params=HERE)
def galleries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path, index=request.param) as opened:
        opened.create("g", "", MODEL, 2)
        yield opened


def enrol(galleries: Galleries, subject_id: str, *degrees: float) -> None:
    for angle in degrees:
        galleries.enrol("g", Enrolment(subject_id, NewTemplate(at(angle)), f"name of {subject_id}"))


def candidates(galleries: Galleries, k: int = 10, threshold: float = 0.0) -> tuple[Candidate, ...]:
    return galleries.search("g", at(0), k, threshold).identification.candidates


def test_an_empty_gallery_has_no_candidate(galleries: Galleries) -> None:
    found = galleries.search("g", at(0), 5, -1.0)
    assert found.identification.candidates == ()
    assert found.identification.decision is Decision.NO_CANDIDATE
    assert found.identification.gallery_version == 1
    assert found.subjects == {}


def test_candidates_come_best_first_with_ranks_and_subjects(galleries: Galleries) -> None:
    enrol(galleries, "far", 90)
    enrol(galleries, "near", 10)
    enrol(galleries, "middle", 45)
    found = galleries.search("g", at(0), 2, 0.8)
    assert found.identification.candidates == (
        Candidate("near", 2, at(0).similarity(at(10)), 1, True),
        Candidate("middle", 3, at(0).similarity(at(45)), 2, False),
    )
    assert found.identification.decision is Decision.POTENTIAL_CANDIDATES
    assert (found.identification.threshold, found.identification.gallery_version) == (0.8, 4)
    assert found.identification.model == MODEL
    assert {key: subject.display_name for key, subject in found.subjects.items()} == {
        "near": "name of near",
        "middle": "name of middle",
    }
    near = galleries.subject("g", "near")
    assert found.subjects["near"] == SubjectName("near", near.display_name, near.metadata)


def test_a_subject_appears_once_by_its_best_template(galleries: Galleries) -> None:
    enrol(galleries, "a", 80, 5, 60)
    enrol(galleries, "b", 7)
    assert [(c.subject_id, c.template_id) for c in candidates(galleries)] == [("a", 2), ("b", 4)]


def test_the_nearest_templates_of_one_subject_do_not_hide_another(galleries: Galleries) -> None:
    """All that is fetched at first belongs to one subject; the search must go on until it has k subjects."""
    enrol(galleries, "crowd", *np.linspace(0, 1, 300))
    enrol(galleries, "second", 50)
    enrol(galleries, "third", 60)
    assert [c.subject_id for c in candidates(galleries, 2)] == ["crowd", "second"]
    assert [c.subject_id for c in candidates(galleries, 1000)] == ["crowd", "second", "third"]


def test_equal_similarities_come_in_the_order_of_their_templates(galleries: Galleries) -> None:
    for subject_id in ("z", "m", "a", "q"):
        enrol(galleries, subject_id, 30, 30)
    assert [(c.subject_id, c.template_id) for c in candidates(galleries, 3)] == [("z", 1), ("m", 3), ("a", 5)]
    galleries.delete_template("g", 1)
    assert [(c.subject_id, c.template_id) for c in candidates(galleries, 3)] == [("z", 2), ("m", 3), ("a", 5)]


def test_a_similarity_equal_to_the_threshold_is_accepted(galleries: Galleries) -> None:
    enrol(galleries, "a", 37)
    similarity = at(0).similarity(at(37))
    for threshold, accepted in ((similarity, True), (float(np.nextafter(similarity, 2)), False)):
        found = galleries.search("g", at(0), 1, threshold).identification
        assert found.candidates[0].above_threshold is accepted
        assert found.decision is (Decision.POTENTIAL_CANDIDATES if accepted else Decision.NO_CANDIDATE)
        only = galleries.search("g", at(0), 1, threshold, only_above_threshold=True)
        assert len(only.identification.candidates) == len(only.subjects) == int(accepted)


def test_only_what_is_above_the_threshold_can_be_asked_for(galleries: Galleries) -> None:
    enrol(galleries, "a", 10)
    enrol(galleries, "b", 20)
    enrol(galleries, "c", 80)
    found = galleries.search("g", at(0), 3, 0.9, only_above_threshold=True)
    assert [c.subject_id for c in found.identification.candidates] == ["a", "b"]
    assert set(found.subjects) == {"a", "b"}


def test_a_threshold_of_minus_one_takes_everybody(galleries: Galleries) -> None:
    enrol(galleries, "opposite", 180)
    assert candidates(galleries, 1, -1.0) == (Candidate("opposite", 1, -1.0, 1, True),)


def test_a_deleted_subject_is_not_found(galleries: Galleries) -> None:
    enrol(galleries, "a", 0, 1)
    enrol(galleries, "b", 90)
    galleries.delete_subject("g", "a")
    assert [c.subject_id for c in candidates(galleries)] == ["b"]


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_top_k_out_of_range_is_refused(galleries: Galleries, k: int) -> None:
    with pytest.raises(InvalidTopK):
        galleries.search("g", at(0), k, 0.5)


@pytest.mark.parametrize("threshold", [float("nan"), 1.1, -1.1])
def test_a_threshold_out_of_range_is_refused(galleries: Galleries, threshold: float) -> None:
    with pytest.raises(InvalidThreshold):
        galleries.search("g", at(0), 1, threshold)


def test_the_answer_cannot_be_changed(galleries: Galleries) -> None:
    enrol(galleries, "a", 0)
    found = galleries.search("g", at(0), 1, 0.5)
    with pytest.raises(TypeError):
        found.subjects["b"] = found.subjects["a"]  # type: ignore[index]
    with pytest.raises(TypeError):
        found.subjects["a"].metadata["k"] = "v"  # type: ignore[index]
