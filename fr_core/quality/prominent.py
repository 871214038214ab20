"""Finds the face that clearly is the subject of a photo, and says why each other face does not count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fr_core.quality.measure import share_outside
from fr_core.types import Face

MUCH_SMALLER = 0.6
CUT = 0.02


class PassedOver(StrEnum):
    """The reason why a face of a photo was not taken."""

    UNFIT = "UNFIT"
    CUT_OFF = "CUT_OFF"
    BACKGROUND = "BACKGROUND"
    SMALLER = "SMALLER"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The traits of a face that count here.

    Attributes:
        side: of a square as large as the box, pixels.
        distance: of the box's centre from the photo's, pixels.
    """

    side: float
    distance: float
    fit: bool
    cut: bool


def prominent(faces: Sequence[Face], image_size: tuple[int, int]) -> tuple[int, dict[int, PassedOver]] | None:
    """Return the place of the subject's face, and why each other face, by its place, does not count.

    Args:
        faces: of one photo, assessed against the limits of the server; in any order.
        image_size: (width, height) of the photo, pixels.

    Returns:
        None if there is no face, or if another face may be the subject too.
    """
    seen = [_seen(face, image_size) for face in faces]
    for place, taken in enumerate(seen):
        others = {other: _why_not(seen[other], taken) for other in range(len(seen)) if other != place}
        passed = {other: why for other, why in others.items() if why is not None}
        if len(passed) == len(others):
            return place, passed
    return None


def _seen(face: Face, image_size: tuple[int, int]) -> _Seen:
    left, top, right, bottom = (float(value) for value in face.detection.box)
    width, height = image_size
    return _Seen(
        side=math.sqrt(face.detection.area),
        distance=math.hypot((left + right - width) / 2, (top + bottom - height) / 2),
        fit=not face.quality.reasons,
        cut=share_outside(face.detection.box, image_size) > CUT,
    )


def _why_not(other: _Seen, taken: _Seen) -> PassedOver | None:
    """Return why a face does not count beside the one that is taken; None if it may be the subject."""
    farther = other.distance > taken.distance
    much_smaller = other.side <= MUCH_SMALLER * taken.side
    # A face that is no better than the other is not taken for the other's faults.
    beside_a_sound_one = farther and other.side <= taken.side and taken.fit and not taken.cut
    if not other.fit and (much_smaller or beside_a_sound_one):
        return PassedOver.UNFIT
    if other.cut and beside_a_sound_one:
        return PassedOver.CUT_OFF
    if much_smaller and farther:
        return PassedOver.BACKGROUND
    return None
