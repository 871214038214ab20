"""Defines of which data sets courses are made, where their photos lie, and which faces no course shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fr_core.types import F32, QualityReason
from fr_datasets.catalogue import VIDEO_READERS
from fr_datasets.values import PeopleSet
from fr_evaluation.identification.run import PEOPLE_READERS

MOST_OF_FOOTAGE = 3
"""Photos, and videos, of a person of footage: the pair is the least alike of a photo and a track."""


def _people_in(name: str, root: Path) -> PeopleSet:
    return VIDEO_READERS[name](root).people_in(MOST_OF_FOOTAGE)


COURSE_READERS: Mapping[str, Callable[[Path], PeopleSet]] = {
    **PEOPLE_READERS,
    **{name: partial(_people_in, name) for name in VIDEO_READERS},
}
"""Reads the people of a data set that courses can be made of, by the name of its manifest."""

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
