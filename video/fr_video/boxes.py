"""Measures boxes (overlap, middle and distance), and moves them."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over union of two boxes (left, top, right, bottom), 0 to 1."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (_area(one) + _area(other) - wide * high)


def middle(box: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the middle of a box (left, top, right, bottom), f64[2], pixels."""
    return np.array([box[0] + box[2], box[1] + box[3]]) / 2


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the distance of the middles of two boxes, in sides of the larger."""
    across, down = ((one[side] + one[side + 2] - other[side] - other[side + 2]) / 2 for side in (0, 1))
    return math.hypot(across, down) / max(one[2] - one[0], other[2] - other[0], 1.0)


def moved(box: Sequence[float], by: npt.NDArray[np.float64]) -> list[float]:
    """Return a box after a movement, f64[2], pixels."""
    there: list[float] = (np.array(box) + np.tile(by, 2)).tolist()
    return there


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
