"""Framing: the template that every face is brought to, and the oval that shows the face alone."""

from __future__ import annotations

import numpy as np

from fr_core.align import ARCFACE_TEMPLATE
from fr_core.types import F32, frozen_array
from fr_training.bank.degradations import CROP_PX

SIDE = CROP_PX
"""Width and height of a picture, pixels."""

EYE_DISTANCE = SIDE / 4
"""Between the eyes of a face that fits the template, pixels."""

# Middle of the eyes. Faces reach about 1.3 eye distances above it (hairline) and 1.8 below (chin).
_EYES = (SIDE * 0.5, SIDE * 0.4375)
# Middle and half axes of the oval, pixels: brow to chin, and the ears of most faces, with little of the hair.
_CENTRE = (SIDE * 0.5, SIDE * 0.5)
_AXES = (SIDE * 0.36, SIDE * 0.46)
_SOFT = SIDE / 32  # over which the oval fades, pixels


def _template() -> F32:
    middle = (ARCFACE_TEMPLATE[0] + ARCFACE_TEMPLATE[1]) / 2
    scale = EYE_DISTANCE / float(np.linalg.norm(ARCFACE_TEMPLATE[1] - ARCFACE_TEMPLATE[0]))
    return frozen_array(((ARCFACE_TEMPLATE - middle) * scale + _EYES).astype(np.float32))


def _oval() -> F32:
    at = np.arange(SIDE) + 0.5
    x, y = (at - _CENTRE[0]) / _AXES[0], (at - _CENTRE[1]) / _AXES[1]
    inside = (1.0 - np.hypot(x[None, :], y[:, None])) * min(_AXES)  # about the distance from the edge in pixels
    shown = np.clip(inside / _SOFT, 0.0, 1.0)
    return frozen_array((shown * shown * (3.0 - 2.0 * shown)).astype(np.float32))


TEMPLATE = _template()
"""f32[5, 2], (x, y) pixels of a picture: where landmarks come to lie, those of `ARCFACE_TEMPLATE`, larger."""

OVAL = _oval()
"""f32[SIDE, SIDE]: how much of a face shows, from 0 outside the oval to 1 inside."""
