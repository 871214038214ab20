"""Picks the face that a pair is about from a photo with several faces; a rule for each data set."""

from __future__ import annotations

from collections.abc import Callable

from fr_core.types import EmbeddedFace
from fr_evaluation.photos import EmbeddedPhoto

Pick = Callable[[EmbeddedPhoto], EmbeddedFace | None]


def most_central(photo: EmbeddedPhoto) -> EmbeddedFace | None:
    """The face with the greatest box area - 2 * squared distance of its centre from the photo's, in square pixels.

    For photos that were framed around the person meant, with bystanders: LFW and CelebA. Source: InsightFace,
    model_zoo/scrfd.py, metric "default". None where the photo shows no face.
    """
    width, height = photo.size

    def weight(face: EmbeddedFace) -> float:
        left, top, right, bottom = (float(value) for value in face.face.detection.box)
        across, down = (left + right - width) / 2, (top + bottom - height) / 2
        return face.face.detection.area - 2.0 * (across**2 + down**2)

    return max(photo.faces, key=weight, default=None)


def largest(photo: EmbeddedPhoto) -> EmbeddedFace | None:
    """The face with the greatest box area, as the service's policy LARGEST has it; None where there is none."""
    return max(photo.faces, key=lambda face: face.face.detection.area, default=None)
