"""An embedder without a model, for tests: the same crop gives the same vector, any other crop one far from it."""

import hashlib
from collections.abc import Sequence

import numpy as np

from fr_core.embed.protocol import EmbeddingWithNorm
from fr_core.types import F32, AlignedFace, Embedding, ModelId, frozen_array

NULL_MODEL = ModelId("null", "1", "0" * 64)


class NullEmbedder:
    """Seeds a random direction with the sha256 of the crop's pixels. `size`: number of values of an embedding."""

    def __init__(self, size: int = 64) -> None:
        self.model = NULL_MODEL
        self.size = size

    def embed(self, faces: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """As `Embedder.embed`; every norm is 1."""
        return tuple(EmbeddingWithNorm(Embedding(self._direction(face), self.model), 1.0) for face in faces)

    def _direction(self, face: AlignedFace) -> F32:
        seed = int.from_bytes(hashlib.sha256(face.pixels.tobytes()).digest(), "big")
        vector = np.random.default_rng(seed).standard_normal(self.size)
        return frozen_array((vector / np.linalg.norm(vector)).astype(np.float32))
