"""Decoders of SCRFD and YuNet on outputs made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fr_core.detect import scrfd, yunet
from fr_core.detect.scrfd import ANCHORS, ScrfdDetector
from fr_core.detect.yunet import YunetDetector
from fr_core.types import F32, U8
from support.engines import HandmadeSession, detector_spec

# --- SCRFD ----------------------------------------------------------------------------------------------------


SIZE = 64
OFFSETS = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]], np.float32)


def outputs(faces: Sequence[tuple[int, int, int, float]], batch: int = 1, flat: bool = False) -> list[F32]:
    """Faces (stride, column, row, score) of 1.5 strides to each side, landmarks one stride from the centre."""
    by_kind: list[list[F32]] = [[], [], []]
    for stride in scrfd.STRIDES:
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


@pytest.mark.parametrize("stride", scrfd.STRIDES)
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


def test_a_tile_may_be_wider_than_high_and_higher_than_wide() -> None:
    made = outputs([(8, 1, 2, 0.8)])  # the cell of number 17, of as many as tiles of these shapes have too
    for height, width, row in ((32, 128, 1), (128, 32, 4)):
        (found,) = detector(made).detect_tiles([np.zeros((height, width, 3), np.uint8)])
        assert found.boxes.tolist() == [[-4, 8 * row - 12, 20, 8 * row + 12]]


# --- YuNet ----------------------------------------------------------------------------------------------------


POINTS = np.array([[-0.5, -0.5], [0.5, -0.5], [0, 0], [-0.5, 0.5], [0.5, 0.5]], np.float32)
NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in yunet.STRIDES)


def yunet_outputs(stride: int, column: int, row: int, cls: float, obj: float) -> list[F32]:
    """Outputs for one face: centre a quarter of a cell in, 2 cells wide and 3 high."""
    arrays = {name: np.zeros((1, (SIZE // int(name.split("_")[1])) ** 2, 1), np.float32) for name in NAMES}
    for name in NAMES:
        if name.startswith(("bbox", "kps")):
            arrays[name] = np.repeat(arrays[name], 4 if name.startswith("bbox") else 10, axis=2)
    at = row * (SIZE // stride) + column
    arrays[f"cls_{stride}"][0, at], arrays[f"obj_{stride}"][0, at] = cls, obj
    arrays[f"bbox_{stride}"][0, at] = [0.25, 0.25, np.log(2), np.log(3)]
    arrays[f"kps_{stride}"][0, at] = POINTS.reshape(-1)
    return [arrays[name] for name in NAMES]


def yunet_faces(made: list[F32]) -> tuple[F32, F32, F32]:
    session = HandmadeSession(made, (1, SIZE, SIZE, 3), NAMES)
    tile: U8 = np.zeros((SIZE, SIZE, 3), np.uint8)
    (found,) = YunetDetector(session, detector_spec("yunet"), ((SIZE, SIZE),), 0.3).detect_tiles([tile])
    return found.boxes, found.landmarks, found.scores


@pytest.mark.parametrize("stride", yunet.STRIDES)
def test_centre_and_size_are_in_strides(stride: int) -> None:
    boxes, landmarks, scores = yunet_faces(yunet_outputs(stride, 1, 0, 0.9, 0.4))
    assert np.allclose(boxes, [[0.25 * stride, -1.25 * stride, 2.25 * stride, 1.75 * stride]], atol=1e-4)
    assert np.allclose(landmarks, [(POINTS + np.array([1, 0])) * stride])
    assert scores.tolist() == pytest.approx([0.6])  # the geometric mean of 0.9 and 0.4


def test_score_stays_within_bounds_and_weak_faces_go() -> None:
    assert yunet_faces(yunet_outputs(8, 1, 1, 1.5, 1.2))[2].tolist() == [1.0]
    assert yunet_faces(yunet_outputs(8, 1, 1, -0.5, 0.9))[2].tolist() == []
    assert yunet_faces(yunet_outputs(8, 1, 1, 0.2, 0.4))[2].tolist() == []
