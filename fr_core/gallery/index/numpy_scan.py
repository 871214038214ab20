"""The reference index: NumPy, every vector, exact; what every other index must agree with."""

from __future__ import annotations

import numpy as np

from fr_core.gallery.index.growing import Rewriting, VectorRows
from fr_core.gallery.index.protocol import (
    F64,
    Hits,
    IndexMemory,
    Upkeep,
    best_first,
    check_added,
    check_searched,
    exact_similarity,
)
from fr_core.types import F32, I64

# Rows that are widened to float64 at a time: 4 MiB at D = 512, which stays in most processors' last cache.
_BLOCK_ROWS = 1024
# Removed rows are dropped when they are more than one in four, and more than this.
_FEW_ROWS = 1024


class NumpyIndex:
    """A `VectorIndex` that computes `exact_similarity` of everything."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._rows = VectorRows(dimension)
        self._last_id = -1

    @property
    def exact(self) -> bool:
        """Whether a search surely returns the k best: always."""
        return True

    @property
    def dimension(self) -> int:
        """D, values per vector."""
        return self._dimension

    @property
    def size(self) -> int:
        """How many vectors are live."""
        return self._rows.size

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorIndex.add`."""
        check_added(ids, vectors, self._dimension, self._last_id)
        if len(ids):
            self._rows.append(ids, vectors)
            self._last_id = int(ids[-1])

    def remove(self, ids: I64) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        self._rows.remove(self._rows.rows_of(ids))

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        rows = np.flatnonzero(self._rows.allowed(among))
        ids = self._rows.ids[rows]
        width = min(k, len(rows))
        found_ids = np.empty((len(probes), width), dtype=np.int64)
        found: F64 = np.empty((len(probes), width), dtype=np.float64)
        for n, probe in enumerate(probes):
            found_ids[n], found[n] = best_first(ids, self._similarities(rows, probe), width)
        return Hits(found_ids, found)

    def vectors(self, ids: I64) -> F32:
        """Return copies of vectors; see `VectorIndex.vectors`."""
        return self._rows.vectors[self._rows.rows_of(ids)]

    def memory(self) -> IndexMemory:
        """Count the bytes that are held; see `VectorIndex.memory`."""
        return IndexMemory(0, self._rows.store_bytes, self._rows.other_bytes)

    def upkeep(self) -> Upkeep | None:
        """Return the dropping of removed rows where they are many; see `VectorIndex.upkeep`."""
        if len(self._rows) - self.size <= max(_FEW_ROWS, len(self._rows) // 4):
            return None
        return Rewriting([self._rows], VectorRows(self._dimension), self._replace)

    def _replace(self, new: VectorRows, ids: I64, vectors: F32) -> None:
        self._rows = new
        new.append(ids, vectors)

    def _similarities(self, rows: I64, probe: F32) -> F64:
        similarities: F64 = np.empty(len(rows), dtype=np.float64)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            similarities[block] = exact_similarity(self._rows.vectors[rows[block]], probe)
        return similarities
