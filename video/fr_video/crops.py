"""Cuts the best shots of tracks out of their frames, so that a verifier can repeat it."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import PIL.Image

from fr_core.errors import message
from fr_core.types import U8, frozen_array
from fr_video.errors import VideoChanged
from fr_video.reading import VideoFile
from fr_video.values import Box, Frame, Look

# Side of the square that a crop shows, in larger sides of the face's box. Detectors miss faces that fill the picture,
# and an examiner needs hair, ears and chin.
_SIDES = 2.0

CropBox = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of the upright frame, whole pixels; right and bottom lie outside it."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of a frame, in the frame's own pixels: neither turned nor scaled."""

    box: CropBox
    pixels: U8  # u8[H, W, 3], RGB
    sha256: str  # of the bytes of `pixels`, row by row, 64 hexadecimal digits

    def to_png(self) -> bytes:
        """Return the crop as a PNG file, which loses nothing."""
        file = io.BytesIO()
        PIL.Image.fromarray(self.pixels).save(file, "PNG")
        return file.getvalue()


def crop_box(box: Box, width: int, height: int) -> CropBox:
    """Return the square of twice the size around a face, as far as it lies in a frame of this size in pixels."""
    left, top, right, bottom = box
    x, y, half = (left + right) / 2, (top + bottom) / 2, _SIDES * max(right - left, bottom - top) / 2
    within = max(0, math.floor(x - half)), max(0, math.floor(y - half))
    return *within, min(width, math.ceil(x + half)), min(height, math.ceil(y + half))


def cut(frame: Frame, box: CropBox) -> Crop:
    """Cut a part out of a frame; raises `ValueError` if the box is empty or does not lie in the frame."""
    left, top, right, bottom = box
    height, width, _ = frame.pixels.shape
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError("the box does not lie in the frame")
    pixels = frozen_array(frame.pixels[top:bottom, left:right].copy())  # of the whole frame, nothing else is kept
    return Crop(box, pixels, sha256_of(pixels))


def sha256_of(pixels: U8) -> str:
    """Return the SHA-256 of pixels, u8[H, W, 3], row by row."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def crops_of(video: VideoFile, looks: Sequence[Look]) -> Iterator[tuple[Look, Crop]]:
    """Decode the frames of looks again, and yield each look with its face, in the order of time.

    Raises `VideoError` as `Reading`; `VideoChanged` also if a frame is missing now, or has other pixels.
    """
    by_time: dict[int, list[Look]] = {}
    for look in looks:
        by_time.setdefault(look.at.pts, []).append(look)
    if not by_time:
        return
    with video.frames_at(sorted(by_time)) as reading:
        for frame in reading:
            height, width, _ = frame.pixels.shape
            for look in by_time.pop(frame.pts, ()):
                if look.frame_sha256 != frame.sha256:
                    raise VideoChanged(message("error.video.changed"))
                yield look, cut(frame, crop_box(look.at.box, width, height))
            if not by_time:
                return
    raise VideoChanged(message("error.video.changed"))


def crop_hashes_at(video: VideoFile, boxes: Mapping[int, Sequence[CropBox]]) -> dict[tuple[int, CropBox], str]:
    """Cut parts out of the frames at these times, in ticks; returns `Crop.sha256` of each that there is.

    Raises `VideoError` as `Reading`.
    """
    found: dict[tuple[int, CropBox], str] = {}
    with video.frames_at(sorted(boxes)) as reading:
        for frame in reading:
            for box in boxes.get(frame.pts, ()):
                with suppress(ValueError):  # the frame is smaller
                    found[frame.pts, box] = cut(frame, box).sha256
    return found
