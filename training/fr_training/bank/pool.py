"""The people and photos that a course may show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_core.scoring.calibration import SHA256, Calibration
from fr_core.types import ModelId

F32 = npt.NDArray[np.float32]

UNIT_TOLERANCE = 1e-3
"""Of the squared length of an embedding."""


@dataclass(frozen=True, slots=True, eq=False)
class PoolPhoto:
    """A photo with one face, analysed.

    Attributes:
        number: unique in the pool.
        sha256: of the photo's file, 64 lower-case hexadecimal digits.
        embedding: f32[D], length 1, not to be written to.
        yaw_degrees: turn of the head; positive = towards the right of the picture.
        quality_score: in [0, 1], 1 is best.
        condition: how the photo was taken, as the data set states it, such as "smiling"; "" where it says
            nothing.
    """

    number: int
    sha256: str
    embedding: F32
    yaw_degrees: float
    quality_score: float
    condition: str = ""

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.sha256):
            raise ValueError("The hash of a photo is a SHA-256 of 64 lower-case hex digits.")
        vector = self.embedding
        if vector.ndim != 1 or vector.dtype != np.float32 or vector.flags.writeable:
            raise ValueError("The embedding of a photo is f32[D], and read-only.")
        if not abs(float(np.dot(vector, vector)) - 1.0) <= UNIT_TOLERANCE:
            raise ValueError("The embedding of a photo has length 1.")


@dataclass(frozen=True, slots=True)
class PoolPerson:
    """A person.

    Attributes:
        number: unique in the pool.
        photos: of the person, in the order of the data set; may be empty.
        labels: what the data set says, by kind, such as "gender": "female".
        source: name of the data set. Its photos look alike, so that two people are compared within it where possible:
            else a pair from two sets gives itself away as different.
    """

    number: int
    photos: tuple[PoolPhoto, ...]
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    source: str = ""

    @property
    def photo_conditions(self) -> tuple[str, ...]:
        """The condition of each photo; "" if the data set states none."""
        return tuple(photo.condition for photo in self.photos)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """People, all analysed by one model.

    Attributes:
        people: numbers are unique, those of all photos too.
        model: that made every embedding.
        calibration: of that model; None where it has none.
    """

    people: tuple[PoolPerson, ...]
    model: ModelId
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        photos = [photo for person in self.people for photo in person.photos]
        if len({person.number for person in self.people}) != len(self.people):
            raise ValueError("Two people of a pool have one number.")
        if len({photo.number for photo in photos}) != len(photos):
            raise ValueError("Two photos of a pool have one number.")
        if len({photo.embedding.shape for photo in photos}) > 1:
            raise ValueError("The embeddings of a pool differ in size.")
