"""Pictures: what a trainee sees of a photo, the face alone, upright, as large as any other, and nothing that tells.

A photo tells more than a face: a file name, a camera, a background, clothes, how well it compresses. So each face is
cut out to one template, what is around it is greyed, and it is encoded anew, to files of one length.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import cv2
import numpy as np

from fr_core.align import similarity_transform
from fr_core.types import F32, U8, frozen_array
from fr_training.answers import Degraded
from fr_training.build.degrade import degrade
from fr_training.build.framing import OVAL, SIDE, TEMPLATE
from fr_training.plan import Mask

GREY = 128
"""What is shown where the face is not: in the middle of the scale, so that neither dark nor light skin stands out."""

JPEG_QUALITY = 90

# Of a picture's pixel, in each direction, where a face is larger than the template.
_SAMPLES = 4

_COM = b"\xff\xfe"  # a comment, which no decoder shows (ITU-T T.81, B.2.4.5)
_COM_HEAD = 4  # bytes of its marker and its length
_COM_MOST = 65_533  # bytes in one, beside its marker and its length


def render(
    pixels: U8, landmarks: F32, mask: Mask, degraded: Degraded | None, strength: float, *, colour: bool = True
) -> U8:
    """Cut a face out.

    The picture depends on the arguments alone: the same give the same.

    Args:
        pixels: u8[H, W, 3], RGB, the photo.
        landmarks: f32[5, 2], (x, y) pixels of the photo, as `Detection.landmarks`.
        mask: "oval" greys what is not the face; "none" shows what the photo has around it.
        degraded: what is done to the face; None for nothing. A pose is the photo's own: nothing is done.
        strength: of it, in the unit of `fr_training.bank.degradations`.
        colour: whether the picture keeps its colours; else each pixel has its luma (ITU-R BT.601) thrice.

    Returns:
        u8[SIDE, SIDE, 3], RGB, read-only: upright, at `fr_training.build.framing.TEMPLATE`, grey outside the photo.

    Raises:
        ValueError: as `fr_core.align.similarity_transform`, for landmarks that are no face.
    """
    face = _warp(pixels, landmarks)
    if degraded is not None:
        face = degrade(face, degraded, strength)
    if not colour:
        face = np.asarray(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return frozen_array(_masked(face) if mask == "oval" else face)


def encode(pictures: Sequence[U8]) -> list[bytes]:
    """Encode pictures as JPEG files of one length, without metadata.

    Args:
        pictures: u8[H, W, 3], RGB.
    """
    return padded([jpeg(picture) for picture in pictures])


def jpeg(picture: U8) -> bytes:
    """Encode one picture, u8[H, W, 3], RGB, as a JPEG without metadata."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not encoded:
        raise RuntimeError("OpenCV could not encode a picture in memory.")
    return bytes(data)


def padded(files: Sequence[bytes]) -> list[bytes]:
    """Bring JPEG files to one length, with comments right after their first segment.

    A blurred or flat picture is a smaller file: its length would tell. Comments are filled with what cannot be
    compressed, so that a connection that compresses does not undo it. What such a connection still tells is what the
    pictures themselves show: two that are alike take some bytes less together. TLS does not compress.
    """
    if not files:
        return []
    length = max(map(len, files)) + _COM_HEAD
    return [_padded(data, length - len(data)) for data in files]


def _padded(data: bytes, missing: int) -> bytes:
    """The file with `missing` bytes more, at least 4."""
    fill = memoryview(hashlib.shake_256(data).digest(missing))
    parts = []
    while missing:
        size = min(missing - _COM_HEAD, _COM_MOST)
        if 0 < missing - _COM_HEAD - size < _COM_HEAD:  # what would be left is too little for a comment
            size -= _COM_HEAD
        parts += [_COM, (size + 2).to_bytes(2, "big"), bytes(fill[:size])]
        fill = fill[size:]
        missing -= _COM_HEAD + size
    first = 4 + int.from_bytes(data[4:6], "big")  # after the JFIF header, which has to be the first segment
    return b"".join((data[:first], *parts, data[first:]))


def _warp(pixels: U8, landmarks: F32) -> U8:
    """Bring a face to the template; each pixel of a large one is the mean of those that it covers.

    A warp alone would take one pixel here and there of a large photo, and show patterns that are not there. So a photo
    that must shrink is first shrunk by a whole factor, each pixel the mean of a block, just so far that it is warped to
    `_SAMPLES` times the size without leaving a pixel out; then `_SAMPLES` x `_SAMPLES` of these make one.
    """
    zoom = float(np.linalg.norm(similarity_transform(landmarks, TEMPLATE)[:, 0]))
    samples = 1 if zoom >= 1.0 else _SAMPLES
    factor = min(math.ceil(1.0 / (samples * zoom)), *pixels.shape[:2])
    points = landmarks.astype(np.float64)
    if factor > 1:
        height, width = pixels.shape[:2]
        small = cv2.resize(pixels, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        points *= (small.shape[1] / width, small.shape[0] / height)
        pixels = np.asarray(small, dtype=np.uint8)
    matrix = similarity_transform(points.astype(np.float32), TEMPLATE).astype(np.float64) * samples
    # Points are measured from the corner of the first pixel, and OpenCV measures from its middle.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    size, border = (samples * SIDE, samples * SIDE), (GREY, GREY, GREY)
    warped = cv2.warpAffine(
        pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    return np.asarray(cv2.resize(warped, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _masked(face: U8) -> U8:
    return np.asarray(np.rint(GREY + OVAL[..., None] * (face.astype(np.float32) - GREY)), dtype=np.uint8)
