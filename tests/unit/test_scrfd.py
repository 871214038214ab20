"""SCRFD's decoder on outputs made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fr_core.detect.scrfd import ANCHORS, STRIDES, ScrfdDetector
from fr_core.types import F32, U8
from support.engines import HandmadeSession, detector_spec

SIZE = 64
OFFSETS = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]], np.float32)


def outputs(faces: Sequence[tuple[int, int, int, float]], batch: int = 1, flat: bool = False) -> list[F32]:
    """Faces (stride, column, row, score) of 1.5 strides to each side, landmarks one stride from the centre."""
    by_kind: list[list[F32]] = [[], [], []]
    for stride in STRIDES:
        cells = SIZE // stride
        scores, boxes, points = (np.zeros((batch, cells * cells * ANCHORS, n), np.float32) for n in (1, 4, 10))
        for its_stride, column, row, score in faces:
            if its_stride == stride:
                at = (row * cells + column) * ANCHORS
                scores[:, at], boxes[:, at], points[:, at] = score, 1.5, OFFSETS.reshape(-1)
        for kind, array in zip(by_kind, (scores, boxes, points), strict=True):
            kind.append(array[0] if flat else array)
    return [array for kind in by_kind for array in kind]


def detector(made: list[F32]) -> ScrfdDetector:
    session = HandmadeSession(made, (None, None, None, 3))
    return ScrfdDetector(session, detector_spec("scrfd"), ((SIZE, SIZE),), 0.4)


def tile(value: int = 0) -> U8:
    return np.full((SIZE, SIZE, 3), value, np.uint8)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("flat", [False, True])  # buffalo_l's SCRFD-10G has no batch axis in its outputs
def test_distances_are_in_strides_from_the_corner_of_the_cell(stride: int, flat: bool) -> None:
    (found,) = detector(outputs([(stride, 1, 0, 0.8)], flat=flat)).detect_tiles([tile()])
    assert found.boxes.tolist() == [[-0.5 * stride, -1.5 * stride, 2.5 * stride, 1.5 * stride]]
    assert found.landmarks.tolist() == [((OFFSETS + np.array([1, 0])) * stride).tolist()]
    assert found.scores.tolist() == pytest.approx([0.8])


def test_low_scores_and_doubles_go_and_the_best_comes_first() -> None:
    made = outputs([(8, 2, 2, 0.5), (8, 3, 2, 0.7), (8, 6, 6, 0.39), (16, 3, 3, 0.6)])
    (found,) = detector(made).detect_tiles([tile()])
    # The first is half inside the second; the fourth lies apart and larger.
    assert found.scores.tolist() == pytest.approx([0.7, 0.6])


@pytest.mark.parametrize("flat", [False, True])
def test_each_tile_of_a_batch_gets_its_own_faces(flat: bool) -> None:
    first, second = outputs([(8, 2, 2, 0.5)]), outputs([(8, 1, 4, 0.6), (16, 3, 3, 0.9)])
    if flat:  # as the exporter writes them without a batch axis: row, column, picture, anchor
        both = [
            np.stack([a.reshape(-1, ANCHORS, a.shape[-1]), b.reshape(-1, ANCHORS, b.shape[-1])], axis=1).reshape(
                -1, a.shape[-1]
            )
            for a, b in zip(first, second, strict=True)
        ]
    else:
        both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    found = detector(both).detect_tiles([tile(), tile()])
    alone = [detector(made).detect_tiles([tile()])[0] for made in (first, second)]
    for ours, theirs in zip(found, alone, strict=True):
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.scores, theirs.scores)
        assert np.array_equal(ours.landmarks, theirs.landmarks)


def test_session_is_given_the_pixels_as_they_are() -> None:
    session = HandmadeSession(outputs([], batch=2), (None, None, None, 3))
    tiles = [tile(1), tile(2)]
    ScrfdDetector(session, detector_spec("scrfd", colour="BGR"), ((SIZE, SIZE),), 0.4).detect_tiles(tiles)
    assert session.batches[0].dtype == np.uint8
    assert np.array_equal(session.batches[0], np.stack(tiles))


def test_a_tile_may_be_wider_than_high_and_higher_than_wide() -> None:
    made = outputs([(8, 1, 2, 0.8)])  # the cell of number 17, of as many as tiles of these shapes have too
    for height, width, row in ((32, 128, 1), (128, 32, 4)):
        (found,) = detector(made).detect_tiles([np.zeros((height, width, 3), np.uint8)])
        assert found.boxes.tolist() == [[-4, 8 * row - 12, 20, 8 * row + 12]]
