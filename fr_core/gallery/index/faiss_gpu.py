"""An index on GPUs: a FAISS scan in half precision, then exact similarities of the best from the vectors in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from fr_core.errors import DeviceUnavailable, message
from fr_core.gallery.index.faiss_codes import Segment, Workers
from fr_core.gallery.index.faiss_cuda import CudaGpu, gpu_count
from fr_core.gallery.index.faiss_scan import Share, best_candidates, scan_everything
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, MAX_FETCHED, PROBES_PER_PASS, Gpu, GpuOwner, Halves
from fr_core.gallery.index.protocol import Hits, IndexMemory, check_searched
from fr_core.gallery.index.rows_index import RowsIndex
from fr_core.types import F32, I64

# Vectors that a search may want of a GPU: few enough for the last of them to lie well above the last that is fetched.
MAX_K = 1024
# Rows that are fetched at first, and how many there are for each that is wanted where many are. The score of the 128th
# of ten million unlike vectors lies .018 below that of the 20th, nine times `_HALF_ERROR`.
_FETCHED = 128
_FETCHED_PER_WANTED = 2
# How far the inner product of two unit vectors can lie from that of their halves, which are within 2**-11 of the whole;
# twice that, to have room for how a device adds them up.
_HALF_ERROR = 2.0**-9


def gpu_indexes(workers: Workers, open_gpu: Callable[[int], Gpu] = CudaGpu) -> Callable[[int], GpuIndex]:
    """Return a factory of empty indexes of a dimension, spread over all GPUs; all share the threads that use these.

    `open_gpu`: opens the GPU of such a number.

    Raises `DeviceUnavailable`: FAISS has no GPU, or what `open_gpu` raises.
    """
    if not gpu_count():
        raise DeviceUnavailable(message("error.gallery.faiss_no_gpu_can"), device="gpu")
    owners = [GpuOwner(partial(open_gpu, device), f"gallery-gpu-{device}") for device in range(gpu_count())]
    return lambda dimension: GpuIndex(dimension, owners, workers)


class GpuIndex(RowsIndex["_Scanned"]):
    """A `VectorIndex` that scans on GPUs and keeps the exact vectors in memory.

    Memory answers where a filter lets few rows through (a small share of them where the GPUs take no filters), for more
    than `MAX_K` rows, and for the rare probe whose last vector half precision cannot tell from those that were not
    fetched. A removal overwrites a vector's halves at once; upkeep gives their memory back.

    Args:
        owners: of the GPUs; indexes share them.
        workers: that search in memory; indexes may share them.
        block_rows: of a full block of a GPU's memory.
        fetched: rows that are fetched at first, at least.
    """

    def __init__(
        self,
        dimension: int,
        owners: Sequence[GpuOwner],
        workers: Workers,
        *,
        block_rows: int = BLOCK_ROWS,
        fetched: int = _FETCHED,
    ) -> None:
        super().__init__(dimension, lambda: _Scanned(dimension, Halves(dimension, owners, block_rows)))
        self._owners = tuple(owners)
        self._workers = workers
        self._fetched = fetched

    @property
    def exact(self) -> bool:
        """Return whether a search of everything surely returns the k best: while it is small.

        In a larger index, it returns them if the arithmetic of the device errs by no more than `_HALF_ERROR`.
        """
        return len(self._rows) <= MAX_FETCHED

    @property
    def together(self) -> int:
        """Return how many probes share a pass well; see `VectorIndex.together`."""
        return PROBES_PER_PASS

    @property
    def doubted(self) -> int:
        """Return how often a first pass left too many candidates; see `VectorIndex.doubted`."""
        return sum(owner.doubted for owner in self._owners)

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        allowed = self._rows.allowed(among)
        count = self.size if among is None else int(np.count_nonzero(allowed))
        width = min(k, count)
        if not width or not len(probes):
            return Hits.unfilled(len(probes), width)
        everything = [Share(self._rows, allowed, count)]
        fetched, searched = max(self._fetched, _FETCHED_PER_WANTED * width), count
        if not self._rows.halves.filters:
            # So many that enough of them are allowed, if those are as like the probe as all others.
            fetched, searched = -(-fetched * len(self._rows) // count), len(self._rows)
        if searched <= MAX_FETCHED or k > MAX_K or fetched > MAX_FETCHED:
            return scan_everything(everything, probes, width, self._workers)
        hits = Hits.unfilled(len(probes), width, exhaustive=False)
        left = np.arange(len(probes))
        for rows in sorted({fetched, MAX_FETCHED}):
            left = left[~self._found_by_scan(hits, left, probes, rows, allowed)]
            if not len(left):
                return hits
        best = scan_everything(everything, probes[left], width, self._workers)
        hits.ids[left], hits.similarities[left] = best.ids, best.similarities
        return hits

    def memory(self) -> IndexMemory:
        """Count the bytes that are held, those on GPUs as bytes of the scan; see `VectorIndex.memory`."""
        return IndexMemory(self._rows.halves.scan_bytes, self._rows.store_bytes, self._rows.other_bytes)

    def _found_by_scan(
        self, hits: Hits, some: I64, probes: F32, fetched: int, allowed: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Fill in the hits of the probes for which a scan leaves no doubt; return which these are.

        Args:
            some: i64[m], of probes f32[n, D].
            fetched: how many rows the scan fetches for each.
            allowed: bool[rows], true where a row may be found.

        Returns bool[m].
        """
        width = hits.ids.shape[1]
        halves = self._rows.halves
        found = halves.search(probes[some], fetched, allowed if halves.filters and not allowed.all() else None)
        rows = _near(np.where(allowed[found.rows], found.scores, -np.inf), found.rows, width)
        sure: npt.NDArray[np.bool_] = np.count_nonzero(rows >= 0, axis=1) >= width
        enough = np.flatnonzero(sure)
        for start in range(0, len(enough), PROBES_PER_PASS):
            part = enough[start : start + PROBES_PER_PASS]
            best = best_candidates([self._rows], probes[some[part]], [rows[part]], width, self._workers)
            # Similarities are clipped at -1, so an unseen one is never below that.
            unseen = np.maximum(found.unseen[part].astype(np.float64) + _HALF_ERROR, -1.0)
            sure[part] = (best.similarities[:, -1] > unseen) | (found.unseen[part] == -np.inf)
            hits.ids[some[part]], hits.similarities[some[part]] = best.ids, best.similarities
        return sure


def _near(scores: F32, rows: I64, width: int) -> I64:
    """Return the rows i64[n, w] that may be among the `width` best by their exact similarities, and -1 for the others.

    `scores`: f32[n, w], within `_HALF_ERROR` of the inner products; -inf where a row may not be found.
    """
    place = scores.shape[1] - width
    kth = np.partition(scores, place, axis=1)[:, place]
    # Similarities are clipped: beyond -1 and 1 the order of products says nothing.
    least = np.clip(kth, -1.0, 1.0) - 2.0 * _HALF_ERROR
    least[least <= -1.0] = np.finfo(np.float32).min
    return np.where(scores >= least[:, None], rows, -1)


class _Scanned(Segment):
    """Vectors in memory, and in half precision on GPUs."""

    def __init__(self, dimension: int, halves: Halves) -> None:
        super().__init__(dimension, 0, None)
        self.halves = halves

    def append(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorRows.append`."""
        self.halves.append(vectors)
        super().append(ids, vectors)

    def remove(self, rows: I64) -> None:
        """Erase vectors and their halves; see `VectorRows.remove`."""
        self.halves.erase(rows)
        super().remove(rows)
