"""Indexes that keep all their vectors in one array: all but the search, and the reference, which searches by NumPy."""

from collections.abc import Callable
from typing import Generic

import numpy as np

from fr_core.gallery.index.growing import Rewriting, Rows, VectorRows
from fr_core.gallery.index.protocol import (
    PROBES_TOGETHER,
    Hits,
    IndexMemory,
    Upkeep,
    best_first,
    check_added,
    check_searched,
)
from fr_core.types import F32, I64

# Removed rows are dropped when they are more than one in so many, and more than a few.
_REMOVED = 4
_FEW_REMOVED = 1024


class RowsIndex(Generic[Rows]):
    """A `VectorIndex` without `exact` and `search`. `new_rows`: makes empty rows for such vectors."""

    def __init__(self, dimension: int, new_rows: Callable[[], Rows]) -> None:
        self._dimension = dimension
        self._new_rows = new_rows
        self._rows = new_rows()
        self._last_id = -1

    @property
    def together(self) -> int:
        """Return how many probes share a pass well; see `VectorIndex.together`."""
        return PROBES_TOGETHER

    @property
    def doubted(self) -> int:
        """Return how often a first pass on GPUs left too many candidates: never; see `VectorIndex.doubted`."""
        return 0

    @property
    def dimension(self) -> int:
        """D, values per vector."""
        return self._dimension

    @property
    def size(self) -> int:
        """Return how many vectors are live."""
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

    def vectors(self, ids: I64) -> F32:
        """Return copies of vectors; see `VectorIndex.vectors`."""
        return self._rows.vectors[self._rows.rows_of(ids)]

    def memory(self) -> IndexMemory:
        """Count the bytes that are held; see `VectorIndex.memory`."""
        return IndexMemory(0, self._rows.store_bytes, self._rows.other_bytes)

    def upkeep(self) -> Upkeep | None:
        """Return the dropping of removed rows where they are many; see `VectorIndex.upkeep`."""
        if len(self._rows) - self.size <= max(_FEW_REMOVED, len(self._rows) // _REMOVED):
            return None
        return Rewriting([self._rows], self._new_rows(), self._replace)

    def _replace(self, new: Rows, ids: I64, vectors: F32) -> None:
        self._rows = new
        new.append(ids, vectors)


class NumpyIndex(RowsIndex[VectorRows]):
    """A `VectorIndex` that computes `exact_similarity` of everything."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, lambda: VectorRows(dimension))

    @property
    def exact(self) -> bool:
        """Return whether a search surely returns the k best: always."""
        return True

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        rows = np.flatnonzero(self._rows.allowed(among))
        ids = self._rows.ids[rows]
        width = min(k, len(rows))
        hits = Hits.unfilled(len(probes), width)
        for n, probe in enumerate(probes):
            hits.ids[n], hits.similarities[n] = best_first(ids, self._rows.similarities(rows, probe), width)
        return hits
