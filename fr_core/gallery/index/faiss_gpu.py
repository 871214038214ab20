"""An index on GPUs: a FAISS scan in half precision, then exact similarities of the best from the vectors in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fr_core.errors import DeviceUnavailable, message
from fr_core.gallery.index.faiss_codes import Segment, Workers
from fr_core.gallery.index.faiss_scan import Share, best_candidates, scan_everything
from fr_core.gallery.index.protocol import Hits, IndexMemory, check_searched
from fr_core.gallery.index.rows_index import RowsIndex
from fr_core.types import F32, I64

_faiss: Any = faiss  # its stubs lack what is called here

# FAISS's kernels select no more than this: faiss/gpu/utils/DeviceDefs.cuh, GPU_MAX_SELECTION_K.
_MAX_FETCHED = 2048
# Vectors that a search may want of a GPU: few enough for the last of them to lie well above the last that is fetched.
MAX_K = 1024
# Candidates that are scored exactly, at least.
_CANDIDATES = 1000
_HALF_BYTES = 2
# How far the inner product of two unit vectors can lie from that of their halves, which are within 2**-11 of the whole;
# twice that, to have room for how a device adds them up.
_HALF_ERROR = 2.0**-9


def gpu_count() -> int:
    """Return how many GPUs FAISS can use; 0 where it was built without them."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def gpu_indexes(workers: Workers) -> Callable[[int], GpuIndex]:
    """Return what makes empty indexes of a dimension, each spread over all GPUs; they share the GPUs' scratch memory.

    Raises `DeviceUnavailable`: FAISS has no GPU.
    """
    if not gpu_count():
        raise DeviceUnavailable(message("error.gallery.faiss_no_gpu_can"), device="gpu")
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


class GpuIndex(RowsIndex["_Scanned"]):
    """A `VectorIndex` that scans on GPUs and keeps the exact vectors in memory.

    Filters, searches for more than `MAX_K`, and the rare probe whose last vector half precision cannot tell from those
    that were not fetched, are answered from memory. The halves of removed vectors stay on the GPUs, unseen, until
    upkeep drops them.

    Args:
        new_scan: makes an empty FAISS index of inner products that takes vectors with ids.
        workers: that search in memory; indexes may share them.
        turn: held while a device scans. The scratch memory of a GPU serves one search at a time, and FAISS leaves it to
            its callers to take turns.
    """

    def __init__(
        self, dimension: int, new_scan: Callable[[], Any], workers: Workers, turn: AbstractContextManager[Any]
    ) -> None:
        super().__init__(dimension, lambda: _Scanned(dimension, new_scan()))
        self._workers = workers
        self._turn = turn

    @property
    def exact(self) -> bool:
        """Return whether a search of everything surely returns the k best: while it is small.

        Beyond, it returns them as far as the arithmetic of the device is what `_HALF_ERROR` takes it for.
        """
        return len(self._rows) <= _CANDIDATES

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        allowed = self._rows.allowed(among)
        count = int(np.count_nonzero(allowed))
        width = min(k, count)
        if not width or not len(probes):
            return Hits.unfilled(len(probes), width)
        everything = [Share(self._rows, allowed, count)]
        fetched = min(max(_CANDIDATES, 2 * width), _MAX_FETCHED)
        if among is not None or k > MAX_K or len(self._rows) <= fetched:
            return scan_everything(everything, probes, width, self._workers)
        hits = Hits.unfilled(len(probes), width, exhaustive=False)
        left = np.flatnonzero(~self._found_by_scan(hits, probes, fetched, allowed))
        if len(left):
            best = scan_everything(everything, probes[left], width, self._workers)
            hits.ids[left], hits.similarities[left] = best.ids, best.similarities
        return hits

    def memory(self) -> IndexMemory:
        """Count the bytes that are held, those on GPUs as bytes of the scan; see `VectorIndex.memory`."""
        scan_bytes = len(self._rows) * self._dimension * _HALF_BYTES
        return IndexMemory(scan_bytes, self._rows.store_bytes, self._rows.other_bytes)

    def _found_by_scan(
        self, hits: Hits, probes: F32, fetched: int, allowed: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Fill in the hits of the probes for which a scan leaves no doubt; return which these are.

        Args:
            probes: f32[n, D].
            fetched: how many rows the scan fetches for each.
            allowed: bool[rows], what may be found.

        Returns bool[n].
        """
        sure = np.zeros(len(probes), dtype=bool)
        width = hits.ids.shape[1]
        with self._turn:
            rows, unseen = self._rows.candidates(probes, fetched, allowed)
        enough = np.flatnonzero(np.count_nonzero(rows >= 0, axis=1) >= width)
        if len(enough):
            best = best_candidates([self._rows], probes[enough], [rows[enough]], width, self._workers)
            certain = best.similarities[:, -1] > unseen[enough] + _HALF_ERROR
            some = enough[certain]
            hits.ids[some], hits.similarities[some] = best.ids[certain], best.similarities[certain]
            sure[some] = True
        return sure


class _Scanned(Segment):
    """Vectors in memory, and in half precision on GPUs. `scan`: an empty FAISS index that takes vectors with ids."""

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
