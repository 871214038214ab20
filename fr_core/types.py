"""The frozen values that flow through FR Core, each with its shape, dtype, unit and range.

Coordinates are pixels, (x, y), origin at the top left corner of the top left pixel, of the photo after its EXIF
orientation was applied. "Left" and "right" are those of the picture, not of the person. Colour order is RGB. Sizes are
(width, height). Arrays are read-only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_core.errors import EmbeddingNotFinite, EmbeddingNotUnit, EmbeddingWrongSize, ModelMismatch, message

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

# |‖v‖² - 1| that float32 rounding and a decimal print with six digits can cause, with room to spare.
UNIT_TOLERANCE = 1e-3


def frozen_array(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `array` with its write flag cleared (the array itself, not a copy)."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class ModelId:
    """The model that made an embedding. Embeddings of two different ids never compare."""

    pack: str  # the pack's name, such as "buffalo_s"
    version: str  # the pack's version, with "+flip" where embeddings are fused with those of the mirrored face
    sha256: str  # of the embedder's file, 64 hexadecimal digits

    def __str__(self) -> str:
        return f"{self.pack}@{self.version}:{self.sha256[:12]}"

    def require_same(self, other: ModelId) -> None:
        """Raise `ModelMismatch` unless `other` is this very model."""
        if self != other:
            raise ModelMismatch(
                message("error.types.embedding_model_cannot_compared", other=str(other), own=str(self)),
                expected=str(self),
                found=str(other),
            )


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded photo."""

    pixels: U8  # u8[H, W, 3], RGB, upright by its EXIF orientation
    sha256: str  # of the encoded bytes it came from, 64 hexadecimal digits

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face found in a photo."""

    box: F32  # f32[4], (left, top, right, bottom) in pixels; may reach beyond the photo
    # f32[5, 2] in pixels: left eye, right eye, nose tip, left and right corner of the mouth, left and right as seen in
    # the picture.
    landmarks: F32
    score: float  # the detector's confidence in [0, 1]

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = (float(v) for v in self.box)
        return max(0.0, right - left) * max(0.0, bottom - top)


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face warped to the pose that an embedder expects."""

    pixels: U8  # u8[112, 112, 3], RGB
    transform: F32  # f32[2, 3], from pixels of the photo to pixels of the crop


class QualityReason(StrEnum):
    """A reason why a face is less than ideal for comparison."""

    TOO_SMALL = "TOO_SMALL"
    BLURRED = "BLURRED"
    TOO_DARK = "TOO_DARK"
    TOO_BRIGHT = "TOO_BRIGHT"
    NOT_FRONTAL = "NOT_FRONTAL"
    TILTED = "TILTED"
    DOUBTFUL_FACE = "DOUBTFUL_FACE"
    WEAK_EMBEDDING = "WEAK_EMBEDDING"
    CUT_OFF = "CUT_OFF"


@dataclass(frozen=True, slots=True)
class Quality:
    """The suitability of a face for comparison, and the measures behind it."""

    score: float  # in [0, 1], 1 is best
    # Every limit that the face misses, in the order of `QualityReason`; empty for a good face.
    reasons: tuple[QualityReason, ...]
    inter_eye_px: float  # distance between the eyes in pixels of the photo
    sharpness: float  # variance of the Laplacian of the aligned grey crop, grey levels squared; higher is sharper
    brightness: float  # mean luma of the aligned crop, in [0, 1]
    yaw: float  # head turn estimated from the landmarks, in degrees; positive = towards the right of the picture
    pitch: float  # head nod estimated from the landmarks, in degrees; positive = up
    roll: float  # in-plane tilt, in degrees; positive = clockwise in the picture
    detector_score: float  # the detector's confidence in [0, 1]
    # Length of the embedding before normalisation (no unit; larger for clearer faces); None where the face was not
    # embedded.
    embedding_norm: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face as a point on the unit sphere, with the model that put it there."""

    vector: F32  # f32[D], length 1
    model: ModelId  # the model that made it

    def similarity(self, other: Embedding) -> float:
        """Cosine similarity in [-1, 1]; raises `ModelMismatch` for embeddings of two models."""
        self.model.require_same(other.model)
        dot = np.dot(self.vector.astype(np.float64), other.vector.astype(np.float64))
        return float(np.clip(dot, -1.0, 1.0))


def checked_embedding(vector: npt.ArrayLike, model: ModelId, size: int) -> Embedding:
    """Build an `Embedding` from a vector of unknown origin.

    Args:
        vector: numbers of any real dtype, shape [D].
        model: the model that the caller says made it.
        size: D of that model.

    Raises `EmbeddingWrongSize`: the shape is not [size]; `EmbeddingNotFinite`: NaN or infinity; `EmbeddingNotUnit`: the
    squared length differs from 1 by more than `UNIT_TOLERANCE`.
    """
    wide = np.asarray(vector, dtype=np.float64)
    if wide.shape != (size,):
        found = "x".join(str(n) for n in wide.shape)
        raise EmbeddingWrongSize(
            message("error.types.embedding_size", found=found, size=size), expected=str(size), found=found
        )
    squared = float(wide.dot(wide))
    if not math.isfinite(squared) and not np.isfinite(wide).all():  # else its squares are too large
        raise EmbeddingNotFinite(message("error.gallery.embedding_holds_value_not"))
    length = math.sqrt(squared)
    if not abs(length**2 - 1.0) <= UNIT_TOLERANCE:
        raise EmbeddingNotUnit(message("error.types.embedding_length_must", length=length), length=f"{length:.6g}")
    return Embedding(frozen_array((wide / length).astype(np.float32)), model)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face of a photo: where it is, and how fit it is for comparison."""

    detection: Detection
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFace:
    """A face of a photo with its embedding."""

    face: Face
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lead for a human examiner: one subject of the gallery, by the best of its templates."""

    subject_id: str  # the caller's own id of the subject
    template_id: int  # the template that gave the similarity
    similarity: float  # cosine similarity in [-1, 1]
    rank: int  # 1 is the most similar
    above_threshold: bool  # whether similarity >= the threshold of the search


class Decision(StrEnum):
    """The outcome of a search, in the words of INTERPOL's face process; never an identity."""

    POTENTIAL_CANDIDATES = "POTENTIAL_CANDIDATES"
    NO_CANDIDATE = "NO_CANDIDATE"


@dataclass(frozen=True, slots=True)
class Identification:
    """The answer of a 1:N search: an ordered candidate list and what it was made with."""

    candidates: tuple[Candidate, ...]  # best first; equal similarities in the order of their template ids
    threshold: float  # the similarity at or above which a candidate counts as a lead
    decision: Decision  # whether any candidate reaches the threshold
    gallery_version: int  # of the gallery that was searched; grows with each change
    model: ModelId  # of the gallery and the probe
