"""A segment of the compact index, and the threads that work through segments."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import faiss
import numpy as np

from fr_core.gallery.index.faiss_codes import Codebook, Codes
from fr_core.gallery.index.growing import VectorRows
from fr_core.types import F32, I64

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
