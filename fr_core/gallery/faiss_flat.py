"""The default index: a FAISS scan of every vector in float32, then exact similarities of all that could be the best.

FAISS scans with as many threads as OpenMP gives it (`OMP_NUM_THREADS`); one probe is scanned by one thread.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fr_core.gallery.growing import GrowingArray
from fr_core.gallery.index import F64, Hits, best_first, check_added, check_searched, exact_similarity, rows_of
from fr_core.types import F32, I64, UNIT_TOLERANCE

# Fetched beyond k at first, so that nearly every search needs one scan only.
_SPARE = 32
# Removed rows are dropped when they are more than one in four, and more than this.
_FEW_ROWS = 1024


def scan_error_bound(dimension: int) -> float:
    """How far a float32 scan's inner product of two unit vectors can lie from `exact_similarity`.

    A sum of D rounded products, in whatever order and with or without fused multiply-add, is off by at most
    gamma(D) * sum |x_i y_i| <= gamma(D) * |x| |y|, where gamma(D) = D u / (1 - D u) (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1), plus the smallest normal number for each product that underflows.
    """

    def gamma(unit_roundoff: float) -> float:
        return dimension * unit_roundoff / (1.0 - dimension * unit_roundoff)

    lengths = 1.0 + UNIT_TOLERANCE
    underflow = dimension * float(np.finfo(np.float32).tiny)
    return lengths * (gamma(2.0**-24) + gamma(2.0**-53)) + underflow


class FaissFlatIndex:
    """A `VectorIndex` over `faiss.IndexFlatIP`, which holds the only copy of the vectors.

    A removed vector is overwritten with zeros at once; its row is dropped when enough of them have come together.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._scan: Any = faiss.IndexFlatIP(dimension)
        self._ids = GrowingArray(np.int64)
        self._live = GrowingArray(np.bool_)
        self._size = 0
        self._last_id = -1
        self._bound = scan_error_bound(dimension)

    @property
    def dimension(self) -> int:
        """D, values per vector."""
        return self._dimension

    @property
    def size(self) -> int:
        """How many vectors are live."""
        return self._size

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorIndex.add`."""
        check_added(ids, vectors, self._dimension, self._last_id)
        if len(ids):
            self._scan.add(np.ascontiguousarray(vectors, dtype=np.float32))
            self._ids.append(ids)
            self._live.append(np.ones(len(ids), dtype=bool))
            self._size += len(ids)
            self._last_id = int(ids[-1])

    def remove(self, ids: I64) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        rows = rows_of(ids, self._ids.rows)
        if not self._live.rows[rows].all():
            raise KeyError("no vector of one of these ids")
        self._live.rows[rows] = False
        self._size -= len(np.unique(rows))
        if len(rows):
            self._vectors()[rows] = 0.0
        removed = len(self._ids) - self._size
        if removed > max(_FEW_ROWS, len(self._ids) // 4):
            self._drop_removed()

    def search(self, probes: F32, k: int) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        width = min(k, self.size)
        ids: I64 = np.empty((len(probes), width), dtype=np.int64)
        similarities: F64 = np.empty((len(probes), width), dtype=np.float64)
        waiting = np.arange(len(probes)) if width else np.empty(0, dtype=np.int64)
        fetched = width + _SPARE
        while len(waiting):
            fetched = min(fetched, len(self._ids))
            scores, rows = self._scan.search(np.ascontiguousarray(probes[waiting], dtype=np.float32), fetched)
            certain = np.zeros(len(waiting), dtype=bool)
            for n, probe in enumerate(waiting):
                # What was not fetched scores at most as much as the last that was.
                unseen = float(scores[n, -1]) + self._bound if fetched < len(self._ids) else -np.inf
                best = self._exact(probes[probe], rows[n], width, unseen)
                if best is not None:
                    ids[probe], similarities[probe] = best
                    certain[n] = True
            waiting = waiting[~certain]
            fetched *= 4
        return Hits(ids, similarities)

    def _exact(self, probe: F32, rows: I64, width: int, unseen: float) -> tuple[I64, F64] | None:
        """Return the best `width` among the live of `rows`, or None where an unseen row might belong among them.

        Args:
            probe: f32[D].
            rows: i64[m], what the scan fetched.
            width: how many are wanted.
            unseen: no unseen row has an exact inner product above this.
        """
        rows = rows[self._live.rows[rows]]
        if len(rows) < width:
            return None
        similarities = exact_similarity(self._vectors()[rows], probe)
        ids, similarities = best_first(self._ids.rows[rows], similarities, width)
        # An equal similarity would be decided by the ids, so the worst of the best must lie strictly above.
        # Similarities are clipped at -1, so an unseen one is never below that.
        return (ids, similarities) if similarities[-1] > max(unseen, -1.0) or unseen == -np.inf else None

    def _vectors(self) -> F32:
        """FAISS's own memory of the vectors, f32[rows, D]: a view that is valid until the next change."""
        flat: npt.NDArray[np.float32] = faiss.rev_swig_ptr(self._scan.get_xb(), len(self._ids) * self._dimension)
        return flat.reshape(len(self._ids), self._dimension)

    def _drop_removed(self) -> None:
        live = self._live.rows.copy()
        removed = np.flatnonzero(~live).astype(np.int64)
        self._scan.remove_ids(removed)
        self._ids.keep(live)
        self._live.keep(live)
