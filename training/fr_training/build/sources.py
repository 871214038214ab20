"""Defines where the photos of a course lie, and which faces no course shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fr_core.types import F32, QualityReason

# A face that nobody can compare, or that may be none. Other shortcomings are what a trainee is to learn to see.
UNUSABLE = (QualityReason.TOO_SMALL, QualityReason.DOUBTFUL_FACE, QualityReason.WEAK_EMBEDDING, QualityReason.CUT_OFF)
"""Reasons of quality for which a photo is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class PhotoSource:
    """The file of a photo of the pool, its sha256 (64 hexadecimal digits), and the landmarks of the face in it.

    They are f32[5, 2], (x, y) pixels, as `Detection.landmarks`.
    """

    path: Path
    sha256: str
    landmarks: F32
