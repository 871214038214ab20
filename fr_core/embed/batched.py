"""An embedding model behind a batcher: faces of many photos share a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_core.runtime.batcher import Batcher
from fr_core.types import F32, AlignedFace


class BatchedRawEmbedder:
    """A `RawEmbedder` whose faces wait for their turn with those of other threads.

    Args:
        batcher: of an embedding model.
        size: number of values of a vector.
    """

    def __init__(self, batcher: Batcher[AlignedFace, F32], size: int) -> None:
        self.size = size
        self._batcher = batcher

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`; raises what `Batcher.run` raises."""
        rows = self._batcher.run(faces)
        return np.stack(rows) if rows else np.empty((0, self.size), np.float32)
