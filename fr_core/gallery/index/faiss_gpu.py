"""An index on GPUs: a FAISS scan in half precision, then exact similarities of the best from the vectors in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fr_core.errors import DeviceUnavailable
from fr_core.gallery.index.faiss_scan import Share, best_candidates, scan_everything
from fr_core.gallery.index.faiss_segment import Segment, Workers
from fr_core.gallery.index.growing import Rewriting, VectorRows
from fr_core.gallery.index.protocol import Hits, IndexMemory, Upkeep, check_added, check_searched
from fr_core.types import F32, I64

_faiss: Any = faiss  # its stubs lack what is called here

# FAISS's kernels select no more than this: faiss/gpu/utils/DeviceDefs.cuh, GPU_MAX_SELECTION_K.
_MAX_FETCHED = 2048
# Vectors that a search may want of a GPU: few enough for the last of them to lie well above the last that is fetched.
MAX_K = 1024
# Candidates that are scored exactly, at least.
_CANDIDATES = 1000
# Removed rows are dropped when they are more than one in four, and more than this.
_FEW_ROWS = 1024
_HALF_BYTES = 2
# How far the inner product of two unit vectors can lie from that of their halves, which are within 2**-11 of the whole;
# twice that, to have room for how a device adds them up.
_HALF_ERROR = 2.0**-9


def gpu_count() -> int:
    """How many GPUs FAISS can use; 0 where it was built without them."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def gpu_indexes(workers: Workers) -> Callable[[int], GpuIndex]:
    """Return what makes empty indexes of a dimension, each spread over all GPUs; they share the GPUs' scratch memory.

    Raises:
        DeviceUnavailable: FAISS has no GPU.
    """
    if not gpu_count():
        raise DeviceUnavailable("FAISS has no GPU that it can use for the index.", device="gpu")
    resources = [faiss.StandardGpuResources() for _ in range(gpu_count())]
    turn = threading.Lock()

    def new_scan(dimension: int) -> Any:
        shards = _faiss.IndexShards(dimension, True, False)
        for device, own in enumerate(resources):
            config = faiss.GpuIndexFlatConfig()
            config.device, config.useFloat16 = device, True
            shards.add_shard(faiss.IndexIDMap(faiss.GpuIndexFlat(own, dimension, faiss.METRIC_INNER_PRODUCT, config)))
        return shards

    return lambda dimension: GpuIndex(dimension, lambda: new_scan(dimension), workers, turn)


class GpuIndex:
    """A `VectorIndex` that scans on GPUs and keeps the exact vectors in memory.

    Filters, searches for more than `MAX_K`, and the rare one whose last vector half precision cannot tell from those
    that were not fetched, are answered from memory.

    Args:
        dimension: D, values per vector.
        new_scan: makes an empty FAISS index of inner products that takes vectors with ids.
        workers: that search in memory; indexes may share them.
        turn: held while a device scans. The scratch memory of a GPU serves one search at a time, and FAISS leaves it to
            its callers to take turns.
    """

    def __init__(
        self, dimension: int, new_scan: Callable[[], Any], workers: Workers, turn: AbstractContextManager[Any]
    ) -> None:
        self._dimension = dimension
        self._new_scan = new_scan
        self._rows = _Scanned(dimension, new_scan())
        self._workers = workers
        self._turn = turn
        self._last_id = -1

    @property
    def exact(self) -> bool:
        """Whether a search of everything surely returns the k best: while it is small.

        Beyond, it returns them as far as the arithmetic of the device is what `_HALF_ERROR` takes it for.
        """
        return len(self._rows) <= _CANDIDATES

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
        """Remove vectors; see `VectorIndex.remove`. Their halves stay on the GPU, unseen, until upkeep drops them."""
        self._rows.remove(self._rows.rows_of(ids))

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        allowed = self._rows.allowed(among)
        count = int(np.count_nonzero(allowed))
        width = min(k, count)
        if not width or not len(probes):
            return Hits(np.empty((len(probes), width), dtype=np.int64), np.empty((len(probes), width)))
        fetched = min(max(_CANDIDATES, 2 * width), _MAX_FETCHED)
        if among is None and k <= MAX_K and len(self._rows) > fetched:
            with self._turn:
                rows, unseen = self._rows.candidates(probes, fetched, allowed)
            if ((rows >= 0).sum(axis=1) >= width).all():
                hits = best_candidates([self._rows], probes, [rows], [self._rows.products(probes, rows)], width)
                if (hits.similarities[:, -1] > unseen + _HALF_ERROR).all():
                    return Hits(hits.ids, hits.similarities, exhaustive=False)
        return scan_everything([Share(self._rows, allowed, count)], probes, width, self._workers)

    def vectors(self, ids: I64) -> F32:
        """Return copies of vectors; see `VectorIndex.vectors`."""
        return self._rows.vectors[self._rows.rows_of(ids)]

    def memory(self) -> IndexMemory:
        """Count the bytes that are held, those on GPUs as bytes of the scan; see `VectorIndex.memory`."""
        scan_bytes = len(self._rows) * self._dimension * _HALF_BYTES
        return IndexMemory(scan_bytes, self._rows.store_bytes, self._rows.other_bytes)

    def upkeep(self) -> Upkeep | None:
        """Return the dropping of removed rows where they are many; see `VectorIndex.upkeep`."""
        if len(self._rows) - self.size <= max(_FEW_ROWS, len(self._rows) // 4):
            return None
        return Rewriting([self._rows], _Scanned(self._dimension, self._new_scan()), self._replace)

    def _replace(self, new: VectorRows, ids: I64, vectors: F32) -> None:
        assert isinstance(new, _Scanned)
        self._rows = new
        new.append(ids, vectors)


class _Scanned(Segment):
    """Vectors in memory, and in half precision on GPUs.

    Args:
        dimension: D, values per vector.
        scan: an empty FAISS index that takes vectors with ids.
    """

    def __init__(self, dimension: int, scan: Any) -> None:
        super().__init__(dimension, 0, None)
        self._scan = scan

    def append(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorRows.append`."""
        if len(ids):
            self._scan.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), ids)
            super().append(ids, vectors)

    def candidates(self, probes: F32, k: int, allowed: npt.NDArray[np.bool_]) -> tuple[I64, F32]:
        """Return rows i64[n, k] of the best by the scan, and scores f32[n] that no other row exceeds.

        Rows are -1 that are not `allowed` (bool[rows]).
        """
        scores, ids = self._scan.search(np.ascontiguousarray(probes, dtype=np.float32), k)
        rows = np.searchsorted(self.ids, ids)
        known = ids >= 0
        rows[~known] = 0
        return np.where(known & allowed[rows], rows, -1), scores[:, -1]
