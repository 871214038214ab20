"""What is done to a picture to make it poor, by a kind and a strength, and always the same to the same picture."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

from fr_core.types import U8, frozen_array
from fr_training.answers import Degraded
from fr_training.build.framing import EYE_DISTANCE, OVAL, SIDE

FACE_WIDTH = 2.2 * EYE_DISTANCE
"""Pixels of a picture across a face: cheekbones are about 137 mm apart, pupils 63 (survey ANSUR II, 2012)."""

# Of what covers a part of the face: dark, as scarves, masks and sunglasses mostly are.
_COVER = 24


def degrade(face: U8, kind: Degraded, strength: float) -> U8:
    """Make a picture poorer.

    Noise, and the side from which a face is covered, are drawn from the picture itself, so that the same picture comes
    out the same each time.

    Args:
        face: u8[SIDE, SIDE, 3], RGB, a face that was brought to `fr_training.build.framing.TEMPLATE`.
        kind: what is done; a pose is the photo's own, so that nothing is done.
        strength: above 0, in the unit of `fr_training.bank.degradations`; an occlusion is below 1.

    Returns:
        u8[SIDE, SIDE, 3], RGB, read-only.

    Raises:
        ValueError: the strength is out of range.
    """
    if kind == Degraded.POSE:
        return face
    most = {Degraded.OCCLUSION: 1.0, Degraded.COMPRESSION: 95.0}.get(kind, float(SIDE))
    if not 0.0 < strength <= most:
        raise ValueError(f"The strength of {kind} is above 0 and at most {most:g}, not {strength}.")
    return frozen_array(_DONE[kind](face, strength))


def _blur(face: U8, sigma: float) -> U8:
    return _u8(cv2.GaussianBlur(face, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def _noise(face: U8, sigma: float) -> U8:
    rng = np.random.default_rng(int.from_bytes(_digest(face), "big"))
    noisy = face + rng.standard_normal(face.shape, dtype=np.float32) * np.float32(sigma)
    return _u8(np.clip(np.rint(noisy), 0.0, 255.0))


def _resolution(face: U8, across: float) -> U8:
    side = max(1, round(SIDE * min(1.0, across / FACE_WIDTH)))
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return _u8(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def _compression(face: U8, quality: float) -> U8:
    options = [cv2.IMWRITE_JPEG_QUALITY, max(1, round(quality))]
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), options)
    if not encoded:
        raise RuntimeError("OpenCV could not encode a picture in memory.")
    return _u8(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _occlusion(face: U8, share: float) -> U8:
    """Cover a share of the oval from one side: forehead, chin, left or right."""
    quarters = _digest(face)[0] % 4
    covered = np.cumsum(np.rot90(OVAL, quarters).sum(axis=1, dtype=np.float64))
    rows = int(np.searchsorted(covered, share * covered[-1])) + 1
    turned = np.rot90(face, quarters).copy()
    turned[:rows] = _COVER
    return _u8(np.rot90(turned, -quarters).copy())


_DONE = {
    Degraded.BLUR: _blur,
    Degraded.NOISE: _noise,
    Degraded.RESOLUTION: _resolution,
    Degraded.COMPRESSION: _compression,
    Degraded.OCCLUSION: _occlusion,
}


def _digest(face: U8) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(face).tobytes()).digest()


def _u8(pixels: object) -> U8:
    return np.asarray(pixels, dtype=np.uint8)
