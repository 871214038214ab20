"""Embedding models of the ArcFace and SFace families: they differ by the numbers of their pack alone.

ArcFace: Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019. SFace: Zhong et al.,
"SFace: sigmoid-constrained hypersphere loss for robust face recognition", IEEE TIP 30, 2021. Both take a crop aligned
to the ArcFace template and give one vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fr_core.embed.protocol import EmbeddingWithNorm, normalised
from fr_core.packs.manifest import EmbedderSpec
from fr_core.runtime.session import Session
from fr_core.types import F32, AlignedFace, ModelId

# The runtimes keep memory for every new shape, so batches come in few sizes; larger ones gain nothing on a processor.
BATCH_SIZES = (16, 8, 4, 2, 1)


class OnnxEmbedder:
    """An embedding model.

    Args:
        session: of the model.
        spec: of the model.
        model: the id that its embeddings carry.
    """

    def __init__(self, session: Session, spec: EmbedderSpec, model: ModelId) -> None:
        self.model = model
        self.size = spec.embedding_size
        self._session = session
        largest = min(spec.max_batch or BATCH_SIZES[0], session.input_shape[0] or BATCH_SIZES[0])
        self._batch_sizes = tuple(size for size in BATCH_SIZES if size <= largest)

    def embed(self, faces: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """As `Embedder.embed`; the norm is that of the model's vector."""
        return normalised(self.vectors(faces), self.model)

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`."""
        parts = [self._session.run(np.stack([face.pixels for face in batch]))[0] for batch in self._batches(faces)]
        return np.concatenate(parts) if parts else np.empty((0, self.size), np.float32)

    def _batches(self, faces: Sequence[AlignedFace]) -> Iterator[Sequence[AlignedFace]]:
        start = 0
        while start < len(faces):
            size = next(size for size in self._batch_sizes if size <= len(faces) - start)
            yield faces[start : start + size]
            start += size
