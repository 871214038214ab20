"""An exact index: a FAISS scan of every vector in float32, then exact similarities of all that could be the best.

FAISS scans with as many threads as OpenMP gives it (`OMP_NUM_THREADS`); one probe is scanned by one thread.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

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
    scan_error_bound,
)
from fr_core.types import F32, I64

_faiss: Any = faiss  # its stubs know the signatures of C++ only

# Fetched beyond k at first, so that nearly every search needs one scan only.
_SPARE = 32
# Removed rows are dropped when they are more than one in four, and more than this.
_FEW_ROWS = 1024


class FaissFlatIndex:
    """A `VectorIndex` that has FAISS multiply every vector."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._rows = VectorRows(dimension)
        self._last_id = -1
        self._bound = scan_error_bound(dimension)

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
        allowed = self._rows.allowed(among)
        count = int(np.count_nonzero(allowed))
        selector = None if among is None else _faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        # Without a filter the removed rows are scanned too, since FAISS multiplies matrices then.
        scanned = len(self._rows) if selector is None else count
        width = min(k, count)
        ids: I64 = np.empty((len(probes), width), dtype=np.int64)
        similarities: F64 = np.empty((len(probes), width), dtype=np.float64)
        waiting = np.arange(len(probes)) if width else np.empty(0, dtype=np.int64)
        fetched = width + _SPARE
        while len(waiting):
            fetched = min(fetched, scanned)
            scores, rows = self._scan(probes[waiting], fetched, selector)
            certain = np.zeros(len(waiting), dtype=bool)
            for n, probe in enumerate(waiting):
                # What was not fetched scores at most as much as the last that was.
                unseen = float(scores[n, -1]) + self._bound if fetched < scanned else -np.inf
                best = self._exact(probes[probe], rows[n][allowed[rows[n]]], width, unseen)
                if best is not None:
                    ids[probe], similarities[probe] = best
                    certain[n] = True
            waiting = waiting[~certain]
            fetched *= 4
        return Hits(ids, similarities)

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

    def _scan(self, probes: F32, fetched: int, selector: Any | None) -> tuple[npt.NDArray[np.float32], I64]:
        """Return the scores f32[n, fetched], descending, and rows i64[n, fetched] of a float32 scan."""
        probes = np.ascontiguousarray(probes, dtype=np.float32)
        scores = np.empty((len(probes), fetched), dtype=np.float32)
        rows = np.empty((len(probes), fetched), dtype=np.int64)
        arrays = faiss.swig_ptr(probes), faiss.swig_ptr(self._rows.vectors)
        sizes = self._dimension, len(probes), len(self._rows), fetched
        _faiss.knn_inner_product(*arrays, *sizes, faiss.swig_ptr(scores), faiss.swig_ptr(rows), selector)
        return scores, rows

    def _exact(self, probe: F32, rows: I64, width: int, unseen: float) -> tuple[I64, F64] | None:
        """Return the best `width` of `rows`, or None where an unseen row might belong among them.

        Args:
            probe: f32[D].
            rows: i64[m], what the scan fetched and the search may find.
            width: how many are wanted.
            unseen: no unseen row has an exact inner product above this.
        """
        if len(rows) < width:
            return None
        similarities = exact_similarity(self._rows.vectors[rows], probe)
        ids, similarities = best_first(self._rows.ids[rows], similarities, width)
        # An equal similarity would be decided by the ids, so the worst of the best must lie strictly above.
        # Similarities are clipped at -1, so an unseen one is never below that.
        return (ids, similarities) if similarities[-1] > max(unseen, -1.0) or unseen == -np.inf else None
