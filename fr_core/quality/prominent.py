"""Finds the face that clearly is the subject of a photo, and says why each other face does not count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fr_core.types import Face

MUCH_SMALLER = 0.6
SMALLER = 0.8
TINY = 1 / 3
CUT = 0.05


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
        central: whether the box holds the photo's centre.
        fit: whether the face could be enrolled.
        cut: whether the box reaches the border of the photo.
    """

    side: float
    distance: float
    central: bool
    fit: bool
    cut: bool

    @property
    def rank(self) -> tuple[float, bool, float]:
        """Return what sorts faces by size; of equal ones, the one that may be the subject comes last."""
        return self.side, self.fit and not self.cut, -self.distance


def prominent(faces: Sequence[Face], image_size: tuple[int, int]) -> tuple[int, Mapping[int, PassedOver]] | None:
    """Return the place of the subject's face, and why each other face, by its place, does not count.

    The subject is the largest face, or the photo is refused: so it never has another subject than the policy LARGEST.

    Args:
        faces: of one photo, assessed against the limits of the server; in any order.
        image_size: (width, height) of the photo, pixels.

    Returns:
        None if there is no face, or if another face may be the subject too.
    """
    seen = [_seen(face, image_size) for face in faces]
    place = max(range(len(seen)), key=lambda one: seen[one].rank, default=-1)
    passed: dict[int, PassedOver] = {}
    for other in range(len(seen)):
        if other != place:
            why = _why_not(seen[other], seen[place])
            if why is None:
                return None
            passed[other] = why
    return None if place < 0 else (place, passed)


def _seen(face: Face, image_size: tuple[int, int]) -> _Seen:
    left, top, right, bottom = (float(value) for value in face.detection.box)
    (width, height), side = image_size, math.sqrt(face.detection.area)
    return _Seen(
        side=side,
        distance=math.hypot((left + right - width) / 2, (top + bottom - height) / 2),
        central=left <= width / 2 <= right and top <= height / 2 <= bottom,
        fit=not face.quality.reasons,
        cut=min(left, top, width - right, height - bottom) <= CUT * side,
    )


def _why_not(other: _Seen, largest: _Seen) -> PassedOver | None:
    """Return why a face does not count beside the largest one; None if it may be the subject."""
    farther, much_smaller = other.distance > largest.distance, other.side <= MUCH_SMALLER * largest.side
    # Faults of the other count only beside a face that has none: a neighbour in focus must not replace a blurred
    # subject, nor a face in the foreground that the border cuts.
    sound = farther and largest.fit and not largest.cut
    if not other.fit and (sound or other.side <= TINY * largest.side or (farther and much_smaller)):
        return PassedOver.UNFIT
    if other.cut and sound:
        return PassedOver.CUT_OFF
    if farther and (much_smaller or (largest.central and other.side <= SMALLER * largest.side)):
        return PassedOver.BACKGROUND
    return None
