"""Non-maximum suppression: of several boxes on one face, the one with the best score stays."""

from typing import Any

import cv2
import numpy as np

from fr_core.detect.protocol import TileFaces
from fr_core.types import F32, I64


def iou(box: F32, boxes: F32) -> F32:
    """Intersection over union of one box with many.

    `box`: f32[4], (left, top, right, bottom); `boxes`: f32[N, 4].

    Returns f32[N] in [0, 1]; 0 for boxes without area.
    """
    shared = _areas(np.concatenate([np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])], axis=1))
    union = _areas(box[None])[0] + _areas(boxes) - shared
    share: F32 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def keep_best(boxes: F32, scores: F32, threshold: float) -> I64:
    """Greedy non-maximum suppression.

    Args:
        boxes: f32[N, 4], (left, top, right, bottom). One without area, or with a number that is not finite, suppresses
            no other face.
        scores: f32[N]; a box whose score is not above 0, or no number, goes.
        threshold: intersection over union above which the box with the lower score goes, in [0, 1].

    Returns i64[K]: indices of the boxes that stay, best score first; equal scores in their given order.
    """
    rectangles = boxes.astype(np.float64)  # the difference of two float32 may be none
    rectangles[~np.isfinite(boxes).all(axis=1)] = 0
    rectangles[:, 2:] = np.maximum(rectangles[:, 2:] - rectangles[:, :2], 0)
    kept: Any = cv2.dnn.NMSBoxes(rectangles, scores, 0.0, threshold)  # type: ignore[arg-type]  # takes arrays too
    return np.array(kept, np.int64)


def best_of_each(faces: TileFaces, owners: I64, count: int, threshold: float) -> list[TileFaces]:
    """The faces of each of `count` tiles, best score first, each face once.

    `owners`: i64[N], the tile of each face; `threshold`: as that of `keep_best`.
    """
    each = [faces] if count == 1 else [faces.take(owners == tile) for tile in range(count)]
    return [one.take(keep_best(one.boxes, one.scores, threshold)) for one in each]


def _areas(boxes: F32) -> F32:
    areas: F32 = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return areas
