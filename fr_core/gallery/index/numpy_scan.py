"""The reference index: NumPy, every vector, exact; what every other index must agree with."""

import numpy as np

from fr_core.gallery.index.growing import VectorRows
from fr_core.gallery.index.protocol import Hits, best_first, check_searched
from fr_core.gallery.index.rows_index import RowsIndex
from fr_core.types import F32, I64


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
