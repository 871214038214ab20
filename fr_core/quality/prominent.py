"""Finds the face that clearly is the subject of a photo, and says why each other face does not count."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fr_core.types import Face

# Shares of the side of the subject's face. They were chosen on people of LFW and celeba_wild whom no acceptance test
# uses; `tests/models/test_prominent_face.py` prints the figures, which docs/adr/0044-the-prominent-face.md lists.
TINY = 1 / 3  # an unfit face
MUCH_SMALLER = 0.6
SMALLER = 0.8  # an unfit face beside one without a fault
BESIDE_THE_CENTRE = 0.9  # beside one in the centre
# The photo was framed around a face that is this near to its centre. No face of the group photos is.
CENTRE = 0.25
# A cut face may be larger than a subject in the centre by at most this factor; a larger one stands in the foreground.
LARGEST_CUT = 1.2
# If a box ends this near to the border, as a share of its side, the border cuts the face: detectors end boxes there.
BORDER = 0.1


class PassedOver(StrEnum):
    """The reason why a face of a photo was not taken."""

    UNFIT = "UNFIT"
    CUT_OFF = "CUT_OFF"
    BACKGROUND = "BACKGROUND"
    SMALLER = "SMALLER"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The traits of a face that count here."""

    side: float  # of the square that is as large as the box, pixels
    distance: float  # from the centre of the box to the centre of the photo, pixels
    central: bool  # whether the photo is centred on the face
    fit: bool  # whether the face could be enrolled
    cut: bool  # whether the box reaches the border of the photo


def prominent(faces: Sequence[Face], image_size: tuple[int, int]) -> tuple[int, Mapping[int, PassedOver]] | None:
    """Return the place of the subject's face, and why each other face, by its place, does not count.

    Args:
        faces: of one photo, assessed against the limits of the server; in any order.
        image_size: (width, height) of the photo, pixels.

    Returns:
        None if there is no face, or if another face may be the subject too.
    """
    seen = [_seen(face, image_size) for face in faces]
    # The largest first: beside it most faces are ruled out at once.
    order = sorted(range(len(seen)), key=lambda place: -seen[place].side)
    for place in order:
        passed: dict[int, PassedOver] = {}
        for other in order:
            if other != place:
                why = _why_not(seen[other], seen[place])
                if why is None:
                    break
                passed[other] = why
        else:
            return place, passed
    return None


def _seen(face: Face, image_size: tuple[int, int]) -> _Seen:
    left, top, right, bottom = (float(value) for value in face.detection.box)
    (width, height), side = image_size, math.sqrt(face.detection.area)
    distance = math.hypot((left + right - width) / 2, (top + bottom - height) / 2)
    return _Seen(
        side=side,
        distance=distance,
        central=distance <= CENTRE * side,
        fit=not face.quality.reasons,
        cut=min(left, top, width - right, height - bottom) <= BORDER * side,
    )


def _why_not(other: _Seen, subject: _Seen) -> PassedOver | None:
    """Return why a face does not count beside the one that would be the subject; None if it counts."""
    share = other.side / subject.side if subject.side else math.inf
    if not other.fit and share <= TINY:
        return PassedOver.UNFIT
    # One in the foreground that the border cuts must not replace a subject behind it.
    if other.distance <= subject.distance or (subject.cut and not subject.central):
        return None
    # Faults of the other count only beside a face without any: a neighbour in focus must not replace a blurred subject.
    sound = subject.fit and not subject.cut
    if not other.fit and share <= (SMALLER if sound else MUCH_SMALLER):
        return PassedOver.UNFIT
    if other.cut and sound and share <= (LARGEST_CUT if subject.central else 1.0):
        return PassedOver.CUT_OFF
    if share <= (BESIDE_THE_CENTRE if subject.central else MUCH_SMALLER):
        return PassedOver.BACKGROUND
    return None
