"""Plain embeddings: the vector of the crop as the model gives it, at length 1."""

from __future__ import annotations

from collections.abc import Sequence

from fr_core.embed.protocol import EmbeddingWithNorm, RawEmbedder, normalised
from fr_core.types import AlignedFace, ModelId


class PlainEmbedder:
    """Normalises what a model gives.

    Args:
        raw: the model.
        model: the id that its embeddings carry.
    """

    def __init__(self, raw: RawEmbedder, model: ModelId) -> None:
        self.model = model
        self.size = raw.size
        self._raw = raw

    def embed(self, faces: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """As `Embedder.embed`; the norm is that of the model's vector."""
        return normalised(self._raw.vectors(faces), self.model)
