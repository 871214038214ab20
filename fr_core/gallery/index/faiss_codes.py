"""Four bits for two values: codebook and segments of the compact index, and the threads that work through segments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Self, TypeVar

import faiss
import numpy as np

from fr_core.gallery.index.growing import VectorRows
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
        scan.pq.sync_transposed_centroids()  # the same codes, in a quarter less time
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


Item = TypeVar("Item")

_faiss: Any = faiss  # its stubs lack what is called here


class Segment(VectorRows):
    """Vectors with their codes, once there is a codebook.

    Args:
        limit: rows that are expected at most, 0 = unknown.
        codebook: gives codes to what is added; None = there are none yet.
    """

    def __init__(self, dimension: int, limit: int, codebook: Codebook | None) -> None:
        super().__init__(dimension, limit)
        self.codes: Codes | None = codebook.codes() if codebook else None

    def append(self, ids: I64, vectors: F32) -> None:
        """Add vectors and their codes; see `VectorRows.append`."""
        super().append(ids, vectors)
        if self.codes is not None:
            self.codes.append(vectors)

    def remove(self, rows: I64) -> None:
        """Erase vectors and their codes; see `VectorRows.remove`."""
        super().remove(rows)
        if self.codes is not None:
            self.codes.erase(rows)

    def products(self, probes: F32, rows: I64) -> F32:
        """Return the inner products f32[n, m] of probes f32[n, D] with rows i64[n, m]; -inf where a row is -1."""
        probes, rows = np.ascontiguousarray(probes, dtype=np.float32), np.ascontiguousarray(rows)
        products: F32 = np.empty(rows.shape, dtype=np.float32)
        arrays = (faiss.swig_ptr(array) for array in (products, probes, self.vectors, rows))
        _faiss.fvec_inner_products_by_idx(*arrays, probes.shape[1], *rows.shape)
        return products


class Workers:
    """Threads that search segments, each with FAISS to itself.

    `count`: how many; 0 = one for each core that the process may use.
    """

    def __init__(self, count: int) -> None:
        self.count = count or _cores()
        # FAISS would start threads of its own in each of these.
        self._pool = ThreadPoolExecutor(self.count, "gallery-scan", faiss.omp_set_num_threads, (1,))

    def each(self, do: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Do all items, in any order; raises what one of them raised, once all that were begun are done."""
        if len(items) == 1:
            self._do_here(do, items[0])
            return
        turns = iter(tuple(items))  # its `__next__` is one step of the interpreter: no item is taken twice
        workers = [self._pool.submit(_work, do, turns) for _ in range(min(self.count, len(items)))]
        wait(workers)
        for worker in workers:
            worker.result()

    def _do_here(self, do: Callable[[Item], None], item: Item) -> None:
        """Do one item in the thread that asks, which spares small galleries two changes of threads."""
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # of this thread only
        try:
            do(item)
        finally:
            faiss.omp_set_num_threads(threads)


def _work(do: Callable[[Item], None], turns: Iterator[Item]) -> None:
    for item in turns:
        do(item)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
