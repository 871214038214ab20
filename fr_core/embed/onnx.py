"""Runs embedding models of the ArcFace and SFace families, which differ only by the numbers of their pack.

ArcFace: Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019. SFace: Zhong et al.,
"SFace: sigmoid-constrained hypersphere loss for robust face recognition", IEEE TIP 30, 2021. Both take a crop aligned
to the ArcFace template and give one vector.
"""

from collections.abc import Sequence

import numpy as np

from fr_core.embed.protocol import EmbeddingWithNorm, RawEmbedder, normalised
from fr_core.runtime.session import Session
from fr_core.types import F32, AlignedFace, ModelId, frozen_array


class FlipFusion:
    """Adds the vector of the crop and that of its mirror image, as InsightFace's evaluation does (eval_ijbc.py).

    `model`: the id of the fused embeddings; never that of plain ones, for the two do not compare.
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


class PlainEmbedder:
    """Normalises what a model gives. `model`: the id that its embeddings carry."""

    def __init__(self, raw: RawEmbedder, model: ModelId) -> None:
        self.model = model
        self.size = raw.size
        self._raw = raw

    def embed(self, faces: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """As `Embedder.embed`; the norm is that of the model's vector."""
        return normalised(self._raw.vectors(faces), self.model)


class OnnxEmbedder:
    """An embedding model; gives vectors as they are, a `RawEmbedder`. `size`: number of values of a vector."""

    def __init__(self, session: Session, size: int) -> None:
        self.size = size
        self._session = session

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`, in one run: there are as many faces as a batch may have."""
        return self._session.run(np.stack([face.pixels for face in faces]))[0]
