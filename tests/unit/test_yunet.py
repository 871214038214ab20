"""YuNet's decoder on outputs made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.detect.yunet import STRIDES, YunetDetector
from fr_core.types import F32, U8
from support.engines import HandmadeSession, detector_spec

SIZE = 64
POINTS = np.array([[-0.5, -0.5], [0.5, -0.5], [0, 0], [-0.5, 0.5], [0.5, 0.5]], np.float32)
NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)


def outputs(stride: int, column: int, row: int, cls: float, obj: float) -> list[F32]:
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


def detect(made: list[F32]) -> tuple[F32, F32, F32]:
    session = HandmadeSession(made, (1, SIZE, SIZE, 3), NAMES)
    tile: U8 = np.zeros((SIZE, SIZE, 3), np.uint8)
    (found,) = YunetDetector(session, detector_spec("yunet"), ((SIZE, SIZE),), 0.3).detect_tiles([tile])
    return found.boxes, found.landmarks, found.scores


@pytest.mark.parametrize("stride", STRIDES)
def test_centre_and_size_are_in_strides(stride: int) -> None:
    boxes, landmarks, scores = detect(outputs(stride, 1, 0, 0.9, 0.4))
    assert np.allclose(boxes, [[0.25 * stride, -1.25 * stride, 2.25 * stride, 1.75 * stride]], atol=1e-4)
    assert np.allclose(landmarks, [(POINTS + np.array([1, 0])) * stride])
    assert scores.tolist() == pytest.approx([0.6])  # the geometric mean of 0.9 and 0.4


def test_score_stays_within_bounds_and_weak_faces_go() -> None:
    assert detect(outputs(8, 1, 1, 1.5, 1.2))[2].tolist() == [1.0]
    assert detect(outputs(8, 1, 1, -0.5, 0.9))[2].tolist() == []
    assert detect(outputs(8, 1, 1, 0.2, 0.4))[2].tolist() == []
