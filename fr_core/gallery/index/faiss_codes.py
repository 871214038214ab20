"""Four bits for two values: the codebook of the compact index, and the codes of a segment that FAISS scans with it."""

from __future__ import annotations

from typing import Any, Self

import faiss
import numpy as np

from fr_core.types import F32, I64

# Codes of a vector at most: two values share one up to D = 1024, and more values beyond. FAISS adds up the scores of
# the codes in 16 bits, so that each of them has the fewer levels, the more codes there are.
_MAX_CODES = 512
_CODE_BITS = 4
# Vectors that the codebook is trained on for each of the 16 centroids of a piece, and rounds of k-means; docs/adr/0013
# has what more of them would give.
_PER_CENTROID = 256
_ROUNDS = 10
TRAINED_ON = _PER_CENTROID * 2**_CODE_BITS


class Codebook:
    """Cuts a vector into pieces of two values or more, and names the nearest of 16 centroids for each piece.

    `scan`: a trained `faiss.IndexPQFastScan` that holds no code.
    """

    def __init__(self, dimension: int, scan: Any) -> None:
        self._dimension = dimension
        self._scan = scan

    @classmethod
    def train(cls, vectors: F32) -> Self:
        """Learn the centroids from vectors f32[n, D], n >= 16; the same vectors give the same codebook.

        Call it where FAISS has one thread: thousands of short loops over several take many times as long when a core
        is busy with something else.
        """
        dimension = vectors.shape[1]
        piece = max(2, -(-dimension // _MAX_CODES))
        codes = -(-dimension // piece)
        scan = faiss.IndexPQFastScan(codes * piece, codes, _CODE_BITS, faiss.METRIC_INNER_PRODUCT)
        scan.pq.cp.niter = _ROUNDS
        scan.pq.cp.max_points_per_centroid = _PER_CENTROID
        scan.pq.cp.min_points_per_centroid = 1  # or FAISS warns on stderr
        scan.train(_padded(vectors, scan.d))
        return cls(dimension, scan)

    def codes(self) -> Codes:
        """Return an empty list of codes for vectors to be added to."""
        return Codes(faiss.clone_index(self._scan))


class Codes:
    """The codes of vectors, in the order in which these were added. `scan`: a trained `faiss.IndexPQFastScan`."""

    def __init__(self, scan: Any) -> None:
        self._scan = scan

    def __len__(self) -> int:
        return int(self._scan.ntotal)

    @property
    def scan_bytes(self) -> int:
        """Bytes of the codes."""
        return int(self._scan.codes.size())

    def append(self, vectors: F32) -> None:
        """Add the codes of vectors f32[n, D]."""
        if len(vectors):
            self._scan.add(_padded(vectors, self._scan.d))

    def erase(self, rows: I64) -> None:
        """Overwrite the codes of rows i64[n]: most of a vector could be had back from them."""
        if not len(rows):
            return
        packer = self._scan.get_CodePacker()
        blocks = faiss.rev_swig_ptr(self._scan.codes.get(), self._scan.codes.size()).reshape(-1, packer.block_size)
        nothing = np.zeros(packer.code_size, dtype=np.uint8)
        for row in rows.tolist():
            block, place = divmod(row, packer.nvec)
            packer.pack_1(nothing, place, blocks[block : block + 1])

    def search(self, probes: F32, k: int) -> tuple[F32, I64]:
        """Return scores f32[n, k], descending, and rows i64[n, k] for probes f32[n, D]; k <= len(self).

        Scores are near the inner products. A row whose every code is the worst that there is for the probe is not
        found: -1 stands in its place.
        """
        scores, rows = self._scan.search(_padded(probes, self._scan.d), k)
        return scores, rows


def _padded(vectors: F32, dimension: int) -> F32:
    """Return vectors f32[n, D] as f32[n, dimension], C order, with zeros behind."""
    missing = dimension - vectors.shape[1]
    wider = np.pad(vectors, ((0, 0), (0, missing))) if missing else vectors
    return np.ascontiguousarray(wider, dtype=np.float32)
