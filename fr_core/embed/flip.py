"""Flip fusion: the embedding of a face put together with that of its mirror image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_core.embed.protocol import EmbeddingWithNorm, RawEmbedder, normalised
from fr_core.types import AlignedFace, ModelId, frozen_array


class FlipFusion:
    """Adds the vector of the crop and that of its mirror image, as InsightFace's evaluation does (eval_ijbc.py).

    Args:
        raw: the model.
        model: the id of the fused embeddings; never that of plain ones, for the two do not compare.
    """

    def __init__(self, raw: RawEmbedder, model: ModelId) -> None:
        self.model = model
        self.size = raw.size
        self._raw = raw

    def embed(self, faces: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """As `Embedder.embed`; the norm is half that of the sum, so that it is on the scale of plain embeddings."""
        mirrored = [_mirrored(face) for face in faces]
        vectors = self._raw.vectors([*faces, *mirrored])
        return normalised((vectors[: len(faces)] + vectors[len(faces) :]) / np.float32(2), self.model)


def _mirrored(face: AlignedFace) -> AlignedFace:
    pixels = np.ascontiguousarray(face.pixels[:, ::-1])
    mirror = np.array([[-1, 0, pixels.shape[1] - 1], [0, 1, 0]], np.float32)
    transform = mirror[:, :2] @ face.transform
    transform[:, 2] += mirror[:, 2]
    return AlignedFace(frozen_array(pixels), frozen_array(transform))
