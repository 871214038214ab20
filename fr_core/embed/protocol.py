"""The seam of embedding: aligned faces in, unit vectors out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fr_core.runtime.batcher import Batcher
from fr_core.types import F32, AlignedFace, Embedding, ModelId, frozen_array


class BatchedRawEmbedder:
    """A `RawEmbedder` whose faces wait for their turn with those of other threads.

    `size`: number of values of a vector.
    """

    def __init__(self, batcher: Batcher[AlignedFace, F32], size: int) -> None:
        self.size = size
        self._batcher = batcher

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`; raises what `Batcher.run` raises."""
        rows = self._batcher.run(faces)
        return np.stack(rows) if rows else np.empty((0, self.size), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingWithNorm:
    """An embedding with the length that the model's vector had."""

    embedding: Embedding  # of length 1
    norm: float  # length before normalisation, > 0, no unit; larger for clearer faces


class Embedder(Protocol):
    """Turns aligned faces into embeddings; several threads may call it at once."""

    @property
    def model(self) -> ModelId:
        """The id that its embeddings carry."""

    @property
    def size(self) -> int:
        """Number of values of an embedding."""

    def embed(self, faces: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """Embed faces, in their order; a face's embedding does not depend on its batch (cosine > 0.9995 in f32)."""


class RawEmbedder(Protocol):
    """An embedding model before normalisation; flip fusion adds such vectors."""

    @property
    def size(self) -> int:
        """Number of values of a vector."""

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """f32[len(faces), size], of any length but 0."""


def normalised(vectors: F32, model: ModelId) -> tuple[EmbeddingWithNorm, ...]:
    """Embeddings of raw vectors f32[N, D].

    Raises `ValueError`: a vector has no direction: its length is 0 or not finite.
    """
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise ValueError("the model gave a vector without a direction")
    units = (wide / norms[:, None]).astype(np.float32)
    return tuple(
        EmbeddingWithNorm(Embedding(frozen_array(unit), model), float(norm))
        for unit, norm in zip(units, norms, strict=True)
    )
