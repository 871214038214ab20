"""An exact index: a FAISS scan of every vector in float32, then exact similarities of all that could be the best.

FAISS scans with as many threads as OpenMP gives it (`OMP_NUM_THREADS`); one probe is scanned by one thread.
"""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fr_core.gallery.index.growing import VectorRows
from fr_core.gallery.index.protocol import F64, Hits, best_first, check_searched, scan_error_bound
from fr_core.gallery.index.rows_index import RowsIndex
from fr_core.types import F32, I64

_faiss: Any = faiss  # its stubs know the signatures of C++ only

# Fetched beyond k at first, so that nearly every search needs one scan only.
_SPARE = 32


class FaissFlatIndex(RowsIndex[VectorRows]):
    """A `VectorIndex` that has FAISS multiply every vector."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, lambda: VectorRows(dimension))
        self._bound = scan_error_bound(dimension)

    @property
    def exact(self) -> bool:
        """Return whether a search surely returns the k best: always."""
        return True

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        allowed = self._rows.allowed(among)
        count = int(np.count_nonzero(allowed))
        width = min(k, count)
        hits = Hits.unfilled(len(probes), width)
        if not width or not len(probes):
            return hits
        selector = None if among is None else _faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        # Without a filter the removed rows are scanned too, since FAISS multiplies matrices then.
        scanned = len(self._rows) if selector is None else count
        fetched = min(width + _SPARE, scanned)
        scores, rows = self._scan(probes, fetched, selector)
        for n, probe in enumerate(probes):
            # What was not fetched scores at most as much as the last that was.
            unseen = float(scores[n, -1]) + self._bound if fetched < scanned else -np.inf
            best = self._surely_best(probe, rows[n][allowed[rows[n]]], width, unseen)
            if best is None:  # nearly always because many vectors are equal, of which no wider scan need hold all
                best = self._best(probe, np.flatnonzero(allowed), width)
            hits.ids[n], hits.similarities[n] = best
        return hits

    def _scan(self, probes: F32, fetched: int, selector: Any | None) -> tuple[npt.NDArray[np.float32], I64]:
        """Return the scores f32[n, fetched], descending, and rows i64[n, fetched] of a float32 scan."""
        probes = np.ascontiguousarray(probes, dtype=np.float32)
        scores = np.empty((len(probes), fetched), dtype=np.float32)
        rows = np.empty((len(probes), fetched), dtype=np.int64)
        arrays = faiss.swig_ptr(probes), faiss.swig_ptr(self._rows.vectors)
        sizes = self._dimension, len(probes), len(self._rows), fetched
        _faiss.knn_inner_product(*arrays, *sizes, faiss.swig_ptr(scores), faiss.swig_ptr(rows), selector)
        return scores, rows

    def _surely_best(self, probe: F32, rows: I64, width: int, unseen: float) -> tuple[I64, F64] | None:
        """Return the best `width` of `rows`, or None where an unseen row might belong among them.

        Args:
            probe: f32[D].
            rows: i64[m], what the scan fetched and the search may find.
            unseen: no unseen row has an exact inner product above this.
        """
        if len(rows) < width:
            return None
        ids, similarities = self._best(probe, rows, width)
        # An equal similarity would be decided by the ids, so the worst of the best must lie strictly above.
        # Similarities are clipped at -1, so an unseen one is never below that.
        return (ids, similarities) if similarities[-1] > max(unseen, -1.0) or unseen == -np.inf else None

    def _best(self, probe: F32, rows: I64, width: int) -> tuple[I64, F64]:
        """Return the ids and similarities of the best `width` of `rows`, i64[m]."""
        return best_first(self._rows.ids[rows], self._rows.similarities(rows, probe), width)
