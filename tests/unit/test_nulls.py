"""The detector and the embedder without a model, on which other tests stand."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.align import align
from fr_core.detect.null import SCORE, NullDetector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.types import U8, AlignedFace


def photo(*squares: tuple[int, int, int, int]) -> U8:
    """Squares of (left, top, side, blue) on grey."""
    pixels = np.full((200, 300, 3), 128, np.uint8)
    for left, top, side, blue in squares:
        pixels[top : top + side, left : left + side] = (255, 0, blue)
    return pixels


def test_each_coloured_region_is_a_face_the_largest_first() -> None:
    faces = NullDetector().detect(photo((10, 20, 30, 1), (100, 50, 80, 2), (250, 5, 30, 3)))
    assert [face.box.tolist() for face in faces] == [[100, 50, 180, 130], [250, 5, 280, 35], [10, 20, 40, 50]]
    assert {face.score for face in faces} == {SCORE}


def test_regions_that_touch_by_a_corner_are_two() -> None:
    assert len(NullDetector().detect(photo((10, 10, 20, 0), (30, 30, 20, 0)))) == 2


def test_landmarks_lie_so_that_alignment_maps_the_box_onto_the_crop() -> None:
    (face,) = NullDetector().detect(photo((100, 50, 56, 9)))
    crop = align(photo((100, 50, 56, 9)), face.landmarks)
    assert np.allclose(crop.transform, [[2, 0, -200], [0, 2, -100]], atol=1e-3)


def test_photo_without_the_colour_has_no_face() -> None:
    assert NullDetector().detect(photo()) == ()


def test_same_crop_same_vector_other_crop_another() -> None:
    faces = [AlignedFace(np.full((112, 112, 3), n, np.uint8), np.eye(2, 3, dtype=np.float32)) for n in (1, 2, 1)]
    a, b, again = NullEmbedder(size=32).embed(faces)
    assert a.embedding.vector.shape == (32,)
    assert np.linalg.norm(a.embedding.vector) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(a.embedding.vector, again.embedding.vector)
    assert abs(a.embedding.similarity(b.embedding)) < 0.9
    assert a.norm == 1
    assert a.embedding.model == NULL_MODEL
    assert NullEmbedder().embed([]) == ()
