"""The reference index: NumPy, every vector, exact; what every other index must agree with."""

from __future__ import annotations

import numpy as np

from fr_core.gallery.growing import GrowingArray
from fr_core.gallery.index import F64, Hits, best_first, check_added, check_searched, exact_similarity, rows_of
from fr_core.types import F32, I64

# Rows that are widened to float64 at a time: 4 MiB at D = 512, which stays in most processors' last cache.
_BLOCK_ROWS = 1024


class FlatIndex:
    """A `VectorIndex` that computes `exact_similarity` of everything; a removal copies what is left."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._ids = GrowingArray(np.int64)
        self._vectors = GrowingArray(np.float32, (dimension,))
        self._last_id = -1

    @property
    def dimension(self) -> int:
        """D, values per vector."""
        return self._dimension

    @property
    def size(self) -> int:
        """How many vectors are live."""
        return len(self._ids)

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorIndex.add`."""
        check_added(ids, vectors, self._dimension, self._last_id)
        if len(ids):
            self._vectors.append(vectors)
            self._ids.append(ids)
            self._last_id = int(ids[-1])

    def remove(self, ids: I64) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        kept = np.ones(self.size, dtype=bool)
        kept[rows_of(ids, self._ids.rows)] = False
        self._vectors.keep(kept)
        self._ids.keep(kept)

    def search(self, probes: F32, k: int) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        width = min(k, self.size)
        found_ids = np.empty((len(probes), width), dtype=np.int64)
        found: F64 = np.empty((len(probes), width), dtype=np.float64)
        for row, probe in enumerate(probes):
            found_ids[row], found[row] = best_first(self._ids.rows, self._similarities(probe), width)
        return Hits(found_ids, found)

    def _similarities(self, probe: F32) -> F64:
        similarities: F64 = np.empty(self.size, dtype=np.float64)
        for start in range(0, self.size, _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            similarities[block] = exact_similarity(self._vectors.rows[block], probe)
        return similarities
