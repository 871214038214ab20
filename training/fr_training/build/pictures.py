"""Renders pictures for trainees: the head of a photo, upright, as large as any other, and nothing that tells.

A photo tells more than a face: a file name, a camera, a background, clothes, how well it compresses. So each head is
cut out to one template, what is around it is greyed, and it is encoded anew, to files of one length.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache

import cv2
import numpy as np

from fr_core.align import ARCFACE_TEMPLATE, similarity_transform
from fr_core.types import F32, U8, frozen_array
from fr_training.answers import AS_IT_IS, Degraded, Poorer
from fr_training.bank.labels import Index
from fr_training.bank.pool import Looks
from fr_training.bank.triage import UNIT_EYES
from fr_training.build.jpegs import jpeg
from fr_training.plan import Mask

SIDE = 512  # width and height of a picture, pixels
EYE_DISTANCE = SIDE / 5  # between the eyes of a face that fits the template, pixels

# Middle of the eyes. Faces reach about 1.3 eye distances above it (hairline) and 1.8 below (chin), heads 1.9 above; the
# neck is seen to about 2.8 below.
_EYES = (SIDE * 0.5, SIDE * 0.4)
_SOFT = EYE_DISTANCE / 8  # over which a mask fades, pixels


def _template() -> F32:
    middle = (ARCFACE_TEMPLATE[0] + ARCFACE_TEMPLATE[1]) / 2
    scale = EYE_DISTANCE / float(np.linalg.norm(ARCFACE_TEMPLATE[1] - ARCFACE_TEMPLATE[0]))
    return frozen_array(((ARCFACE_TEMPLATE - middle) * scale + _EYES).astype(np.float32))


def _ellipse(below: float, wide: float, high: float) -> F32:
    """Show an ellipse, by its middle below the eyes and its half axes, all in eye distances."""
    at = np.arange(SIDE) + 0.5
    axes = (wide * EYE_DISTANCE, high * EYE_DISTANCE)
    x, y = (at - _EYES[0]) / axes[0], (at - _EYES[1] - below * EYE_DISTANCE) / axes[1]
    inside = (1.0 - np.hypot(x[None, :], y[:, None])) * min(axes)  # about the distance from the edge in pixels
    part = np.clip(inside / _SOFT, 0.0, 1.0)
    return frozen_array((part * part * (3.0 - 2.0 * part)).astype(np.float32))


TEMPLATE = _template()
"""f32[5, 2], (x, y) pixels of a picture: where landmarks come to lie, those of `ARCFACE_TEMPLATE`, larger."""


@cache
def shown(mask: Mask) -> F32:
    """Return f32[SIDE, SIDE], read-only: how much of a picture shows, 0 outside and 1 inside.

    "oval" is brow to chin, with little of the hair; "head" has ears, hairline and neck, with little of the background
    and of clothes; "none" is all.
    """
    if mask == "none":
        return frozen_array(np.ones((SIDE, SIDE), dtype=np.float32))
    return _ellipse(0.25, 1.44, 1.84) if mask == "oval" else _ellipse(0.45, 1.85, 2.4)


_LOOK = 24  # pixels of the small picture whose pixels are compared


@cache
def _small(mask: Mask) -> F32:
    small = cv2.resize(shown(mask), (_LOOK, _LOOK), interpolation=cv2.INTER_AREA)
    return frozen_array(np.asarray(small, dtype=np.float32))


FACE_WIDTH = 2.2 * EYE_DISTANCE
"""Pixels of a picture across a face: cheekbones are about 137 mm apart, pupils 63 (survey ANSUR II, 2012)."""

# Of what covers a part of the face: dark, as scarves, masks and sunglasses mostly are.
_COVER = 24
# Of a pixel of the faces that strengths are meant for, pixels.
_UNIT = EYE_DISTANCE / UNIT_EYES
_UNIT_SIDE = round(SIDE / _UNIT)


def degrade(face: U8, kind: Degraded, strength: float) -> U8:
    """Make u8[SIDE, SIDE, 3], RGB, a face at `TEMPLATE`, poorer; read-only. A pose is the photo's own: nothing is done.

    It is done as to a face with `UNIT_EYES` pixels between the eyes. Noise, and the side from which a face is covered,
    are drawn from the picture itself, so that the same picture comes out the same each time. The strength is in the
    unit of `fr_training.bank.triage`; ValueError where it is out of range.
    """
    if kind == Degraded.POSE:
        return face
    most = {Degraded.OCCLUSION: 1.0, Degraded.COMPRESSION: 95.0}.get(kind, float(SIDE))
    if not 0.0 < strength <= most:
        raise ValueError(f"The strength of {kind} is above 0 and at most {most:g}, not {strength}.")
    return frozen_array(_DONE[kind](face, strength))


def poorer(face: U8, how: Poorer) -> U8:
    """Make a face as in `degrade` poorer in up to four ways, one after the other: light, scale, blur, compression.

    Light is drawn from the picture itself: the same photo always comes out the same, two photos differently.
    """
    for value, done in (
        (how.light, _light),
        (how.scale, _resolution),
        (how.blur, _blur),
        (how.compression, _compression),
    ):
        if value:
            face = done(face, value)
    return frozen_array(face)


def _light(face: U8, strength: float) -> U8:
    """Change how bright, how steep and of which colour the light is, and from where it comes."""
    rng = np.random.default_rng(int.from_bytes(_digest(face), "big"))
    gain, gamma = np.exp(strength * rng.normal(0.0, _LIGHT[:2]))
    cast = np.exp(strength * rng.normal(0.0, _LIGHT[2], 3))
    turn = rng.uniform(0.0, 2.0 * np.pi)
    at = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    side = np.cos(turn) * at[None, :] + np.sin(turn) * at[:, None]
    curve = (np.arange(256) / 255.0) ** gamma
    lit = gain * cast * np.exp(strength * _LIGHT[3] * side)[..., None] * curve[face]
    return _u8(np.rint(255.0 * np.clip(lit, 0.0, 1.0)))


# Of the logarithms of the gain, the exponent and the colours of light, standard deviations; and the logarithm by which
# it falls across a picture. At strength 1, half of the photos are brighter or darker by a third or more.
_LIGHT = (0.3, 0.35, 0.15, 2.0)


def _blur(face: U8, sigma: float) -> U8:
    return _u8(cv2.GaussianBlur(face, (0, 0), sigma * _UNIT, borderType=cv2.BORDER_REPLICATE))


def _noise(face: U8, sigma: float) -> U8:
    rng = np.random.default_rng(int.from_bytes(_digest(face), "big"))
    noise = rng.standard_normal((_UNIT_SIDE, _UNIT_SIDE, 3), dtype=np.float32) * np.float32(sigma)
    noisy = face + cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return _u8(np.clip(np.rint(noisy), 0.0, 255.0))


def _resolution(face: U8, across: float) -> U8:
    side = max(1, round(SIDE * min(1.0, across / FACE_WIDTH)))
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return _u8(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def _compression(face: U8, quality: float) -> U8:
    small = _u8(cv2.resize(face, (_UNIT_SIDE, _UNIT_SIDE), interpolation=cv2.INTER_AREA))
    data = np.frombuffer(jpeg(small, max(1, round(quality))), np.uint8)
    poor = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return _u8(cv2.resize(poor, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def _occlusion(face: U8, share: float) -> U8:
    """Cover a share of the oval from one side: forehead, chin, left or right."""
    quarters = _digest(face)[0] % 4
    covered = np.cumsum(np.rot90(shown("oval"), quarters).sum(axis=1, dtype=np.float64))
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


GREY = 128  # the grey around the face: in the middle of the scale, so that neither dark nor light skin stands out

# Of a picture's pixel, in each direction, where a face is larger than the template.
_SAMPLES = 4


def render(
    pixels: U8,
    landmarks: F32,
    mask: Mask,
    degraded: Degraded | None,
    strength: float,
    how: Poorer = AS_IT_IS,
    *,
    colour: bool = True,
) -> U8:
    """Cut a face out; the same arguments give the same picture.

    Args:
        pixels: u8[H, W, 3], RGB, the photo.
        landmarks: f32[5, 2], (x, y) pixels of the photo, as `Detection.landmarks`.
        mask: "head" greys what is not head or neck, "oval" what is not the face; "none" shows all around it.
        degraded: what is done to the face, see `degrade`; None for nothing.
        strength: of it.
        how: what the block does to all of its photos.
        colour: whether the picture keeps its colours; else each pixel has its luma (ITU-R BT.601) thrice.

    Returns:
        u8[SIDE, SIDE, 3], RGB, read-only: upright, at `TEMPLATE`, grey outside the photo.

    Raises:
        ValueError: as `fr_core.align.similarity_transform`, for landmarks that are no face.
    """
    face = _warp(pixels, landmarks)
    if degraded is not None:
        face = degrade(face, degraded, strength)
    face = poorer(face, how)
    if not colour:
        face = np.asarray(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return frozen_array(face if mask == "none" else _masked(face, mask))


def enlarged(landmarks: F32) -> float:
    """Return how many pixels of a picture one of the photo becomes in each direction; above 1, nothing new is seen.

    `landmarks` are as in `render`.
    """
    return float(np.linalg.norm(similarity_transform(landmarks, TEMPLATE)[:, 0]))


def looks_of(pixels: U8, landmarks: F32) -> tuple[Looks, Looks]:
    """Look at the pixels and the colours of a face, of a photo and its landmarks as in `render`.

    Returns them with the head, and with all around it.
    """
    small = _warp(pixels, landmarks, _LOOK)
    return _looks(small, "head"), _looks(small, "none")


def looks_of_picture(picture: U8, mask: Mask) -> Looks:
    """Look at them in a picture, u8[SIDE, SIDE, 3], as it is shown."""
    small = cv2.resize(picture, (_LOOK, _LOOK), interpolation=cv2.INTER_AREA)
    return _looks(np.asarray(small, dtype=np.uint8), mask)


def _looks(small: U8, head: Mask) -> Looks:
    seen = small.astype(np.float32)
    masks = (_small("oval"), _small(head))
    luma = seen @ np.array((0.299, 0.587, 0.114), dtype=np.float32) - GREY  # ITU-R BT.601
    face, whole = (mask * luma for mask in masks)
    colours = [seen[mask > 0.5].mean(axis=0) for mask in masks]
    pixels = (_standard(face), _standard(luma[masks[0] > 0.5]), _standard(whole))
    return Looks(pixels, frozen_array(np.stack(colours)))


def _standard(luma: F32) -> F32:
    """The values with mean 0 and length 1, as f32[n], read-only."""
    values = luma.ravel() - luma.mean()
    length = float(np.linalg.norm(values))
    return frozen_array((values / length if length else values).astype(np.float32))


def _warp(pixels: U8, landmarks: F32, side: int = SIDE) -> U8:
    """Bring a face to the template, u8[side, side, 3]; each pixel of a large one is the mean of those that it covers.

    A warp alone would take one pixel here and there of a large photo, and show patterns that are not there. So a photo
    that must shrink is first shrunk by a whole factor, each pixel the mean of a block, just so far that it is warped to
    `_SAMPLES` times the size without leaving a pixel out; then `_SAMPLES` x `_SAMPLES` of these make one.
    """
    template = TEMPLATE * np.float32(side / SIDE)
    zoom = float(np.linalg.norm(similarity_transform(landmarks, template)[:, 0]))
    samples = 1 if zoom >= 1.0 else _SAMPLES
    factor = min(math.ceil(1.0 / (samples * zoom)), *pixels.shape[:2])
    points = landmarks.astype(np.float64)
    if factor > 1:
        height, width = pixels.shape[:2]
        small = cv2.resize(pixels, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        points *= (small.shape[1] / width, small.shape[0] / height)
        pixels = np.asarray(small, dtype=np.uint8)
    matrix = similarity_transform(points.astype(np.float32), template).astype(np.float64) * samples
    # Points are measured from the corner of the first pixel, and OpenCV measures from its middle.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    size, border = (samples * side, samples * side), (GREY, GREY, GREY)
    warped = cv2.warpAffine(
        pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    return np.asarray(cv2.resize(warped, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _masked(face: U8, mask: Mask) -> U8:
    """Grey what is outside a mask; sums are done where it fades alone, as most of a picture is inside or outside."""
    inside, fading, shares = _parts(mask)
    picture = np.full_like(face, GREY)
    cv2.copyTo(face, inside, picture)
    pixels = picture.reshape(-1, 3)
    seen = (pixels[fading].astype(np.float32) - GREY) * shares + GREY
    pixels[fading] = np.rint(seen).astype(np.uint8)
    return picture


@cache
def _parts(mask: Mask) -> tuple[U8, Index, F32]:
    """Which values of a picture are not outside a mask, the pixels where it fades, and how much shows of these."""
    part = shown(mask)
    fading = np.flatnonzero((part > 0.0) & (part < 1.0))
    inside = np.repeat((part > 0.0)[..., None], 3, axis=2).astype(np.uint8)
    return frozen_array(inside), frozen_array(fading), frozen_array(part.ravel()[fading][:, None])
