"""The default index on processors: a scan of codes, two bits for a value, then exact similarities of the best thousand.

While it is small it scans the vectors themselves, and is exact.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from fr_core.gallery.index.faiss_codes import TRAINED_ON, Codebook, Codes, Segment, Workers
from fr_core.gallery.index.faiss_scan import Share, scan_codes, scan_everything
from fr_core.gallery.index.growing import Rewriting
from fr_core.gallery.index.protocol import PROBES_TOGETHER, Hits, IndexMemory, Upkeep, check_added, check_searched
from fr_core.types import F32, I64

# A segment is rewritten when more of its rows than one in so many are removed, and more than a part of a full one.
_REMOVED = 4
_FEW_REMOVED = 128


class Coding:
    """An `Upkeep` that trains a codebook and gives every vector its code.

    Args:
        segments: of the index; those that come later are coded at the end.
        take: hands the codebook, and codes for each of `segments`, to the index.
    """

    def __init__(
        self, segments: Sequence[Segment], threads: int, take: Callable[[Codebook, Sequence[Codes]], None]
    ) -> None:
        self._segments = tuple(segments)
        self._threads = threads
        self._take = take
        # What was there when the work was found: views of rows that never change, except for removals.
        self._vectors = [segment.vectors for segment in segments]
        self._live = [np.flatnonzero(segment.live) for segment in segments]
        self._codebook: Codebook | None = None
        self._codes: list[Codes] = []

    def prepare(self) -> None:
        """Train and code; see `Upkeep.prepare`."""
        workers = Workers(self._threads)  # searches have theirs
        workers.each(self._train, [self._sample()])
        workers.each(self._code, range(len(self._segments)))

    def finish(self) -> None:
        """Take over what was removed and added since; see `Upkeep.finish`."""
        assert self._codebook is not None
        for segment, live, codes in zip(self._segments, self._live, self._codes, strict=True):
            codes.erase(live[~segment.live[live]])
        self._take(self._codebook, self._codes)

    def _train(self, vectors: F32) -> None:
        self._codebook = Codebook.train(vectors)
        self._codes = [self._codebook.codes() for _ in self._segments]

    def _code(self, n: int) -> None:
        self._codes[n].append(self._vectors[n])

    def _sample(self) -> F32:
        """Return f32[n, D]: some of the live vectors, always the same ones of the same vectors."""
        ends = np.cumsum([len(live) for live in self._live])
        wanted = min(TRAINED_ON, int(ends[-1]))
        picked = np.sort(np.random.default_rng(0).choice(int(ends[-1]), wanted, replace=False))
        parts = np.split(picked, np.searchsorted(picked, ends[:-1]))
        starts = ends - [len(live) for live in self._live]
        return np.concatenate(
            [
                vectors[live[part - start]]
                for vectors, live, part, start in zip(self._vectors, self._live, parts, starts, strict=True)
            ]
        )


def worth_rewriting(segments: Sequence[Segment], segment_rows: int) -> list[Segment]:
    """Return neighbours to be made one without removed rows, one segment to be freed of them, or nothing.

    Neighbours are worth it when they fit together and none is larger than two thirds of all: a vector's segment then
    grows by half at least each time that it is copied, and small segments that stay are few.
    """
    for segment in segments:
        removed = len(segment) - segment.size
        if removed > max(len(segment) // _REMOVED, segment_rows // _FEW_REMOVED):
            return [segment]
    for start in range(len(segments)):
        total = largest = 0
        for end in range(start, len(segments)):
            size = segments[end].size
            total, largest = total + size, max(largest, size)
            if total > segment_rows:
                break
            if end > start and 3 * largest <= 2 * total:
                return list(segments[start : end + 1])
    return []


# Rows of a segment: 16 MiB of codes at D = 512, which eight cores scan side by side where there are a million.
SEGMENT_ROWS = 131_072
# Vectors from which on codes are worth their memory; below this their scan takes no longer than that of the codes.
CODED_FROM = 16_384
# Candidates that are scored exactly, and how many there are for each that is wanted where many are.
_CANDIDATES = 1000
_CANDIDATES_PER_WANTED = 4
# The share of the rows up to which what a filter lets through is multiplied rather than picked from a scan of codes.
_FEW = 1 / 12


class CompactIndex:
    """A `VectorIndex` in segments, of which only the last grows.

    Args:
        threads: that search, and as many that code; 0 = one for each core that the process may use.
        workers: the threads that search, where indexes share them; None = `threads` of its own.
        coded_from: vectors from which on there are codes; 16 or more.
        candidates: how many vectors are scored exactly for a probe, at least.
    """

    def __init__(
        self,
        dimension: int,
        threads: int = 0,
        *,
        workers: Workers | None = None,
        segment_rows: int = SEGMENT_ROWS,
        coded_from: int = CODED_FROM,
        candidates: int = _CANDIDATES,
    ) -> None:
        self._dimension = dimension
        self._workers = workers or Workers(threads)
        self._segment_rows = segment_rows
        self._coded_from = coded_from
        self._candidates = candidates
        self._segments: list[Segment] = []
        self._codebook: Codebook | None = None
        self._last_id = -1

    @property
    def exact(self) -> bool:
        """Return whether a search of everything surely returns the k best: while it is small."""
        return self._codebook is None or self.size <= self._few()

    @property
    def together(self) -> int:
        """Return how many probes share a pass well; see `VectorIndex.together`."""
        return PROBES_TOGETHER

    @property
    def doubted(self) -> int:
        """Return how often a first pass on GPUs left too many candidates: never; see `VectorIndex.doubted`."""
        return 0

    @property
    def dimension(self) -> int:
        """D, values per vector."""
        return self._dimension

    @property
    def size(self) -> int:
        """Return how many vectors are live."""
        return sum(segment.size for segment in self._segments)

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorIndex.add`."""
        check_added(ids, vectors, self._dimension, self._last_id)
        if len(ids):
            self._append(self._segments, ids, vectors)
            self._last_id = int(ids[-1])

    def remove(self, ids: I64) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        for segment, rows, _ in self._places(ids):
            segment.remove(rows)

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`."""
        check_searched(probes, k, self._dimension)
        probes = np.ascontiguousarray(probes, dtype=np.float32)
        shares = self._shares(among)
        count = sum(share.count for share in shares)
        width = min(k, count)
        if not width or not len(probes):
            return Hits.unfilled(len(probes), width)
        candidates = max(self._candidates, _CANDIDATES_PER_WANTED * width)
        if self._codebook is None or count <= max(candidates, self._few()):
            return scan_everything(shares, probes, width, self._workers)
        return scan_codes(shares, probes, width, candidates, self._workers)

    def vectors(self, ids: I64) -> F32:
        """Return copies of vectors; see `VectorIndex.vectors`."""
        found: F32 = np.empty((len(ids), self._dimension), dtype=np.float32)
        for segment, rows, places in self._places(ids):
            found[places] = segment.vectors[rows]
        return found

    def memory(self) -> IndexMemory:
        """Count the bytes that are held; see `VectorIndex.memory`."""
        return IndexMemory(
            sum(segment.codes.scan_bytes for segment in self._segments if segment.codes),
            sum(segment.store_bytes for segment in self._segments),
            sum(segment.other_bytes for segment in self._segments),
        )

    def upkeep(self) -> Upkeep | None:
        """Return what is worth doing: codes for all once they are worth it, or segments that can be made fewer."""
        if self._codebook is None and self.size >= self._coded_from:
            return Coding(self._segments, self._workers.count, self._coded)
        run = worth_rewriting(self._segments, self._segment_rows)
        if not run:
            return None
        return Rewriting(run, self._new_segment(), partial(self._replace, run))

    def _few(self) -> int:
        return max(self._candidates, int(_FEW * sum(map(len, self._segments))))

    def _new_segment(self) -> Segment:
        return Segment(self._dimension, self._segment_rows, self._codebook)

    def _append(self, segments: list[Segment], ids: I64, vectors: F32) -> None:
        """Add vectors f32[n, D] under ids i64[n] behind the last of `segments`, and open others where it is full."""
        start = 0
        while start < len(ids):
            if not segments or len(segments[-1]) >= self._segment_rows:
                segments.append(self._new_segment())
            end = start + self._segment_rows - len(segments[-1])
            segments[-1].append(ids[start:end], vectors[start:end])
            start = end

    def _places(self, ids: I64) -> list[tuple[Segment, I64, I64]]:
        """Return the segments of ids i64[n], with the rows that the ids have there and their places in `ids`.

        Raises `KeyError`: there is no live vector of one of the ids.
        """
        if len(ids) and not self._segments:
            raise KeyError("no vector of one of these ids")
        firsts = np.array([segment.ids[0] for segment in self._segments[1:]], dtype=np.int64)
        owners = np.searchsorted(firsts, ids, side="right")
        places = []
        for owner in np.unique(owners):
            mine = np.flatnonzero(owners == owner)
            segment = self._segments[owner]
            places.append((segment, segment.rows_of(ids[mine]), mine))
        return places

    def _shares(self, among: I64 | None) -> list[Share]:
        """Return what a search may find in each segment: live rows, of ascending ids i64[n] where these are given."""
        shares = []
        for segment in self._segments:
            allowed = segment.allowed(among)
            count = segment.size if among is None else int(np.count_nonzero(allowed))
            if count:
                shares.append(Share(segment, allowed if count < len(segment) else None, count))
        return shares

    def _coded(self, codebook: Codebook, codes: Sequence[Codes]) -> None:
        """Take over a codebook and the codes of the first rows of the first segments; the other rows are coded now."""
        self._codebook = codebook
        for n, segment in enumerate(self._segments):
            segment.codes = codes[n] if n < len(codes) else codebook.codes()
            segment.codes.append(segment.vectors[len(segment.codes) :])

    def _replace(self, old: list[Segment], new: Segment, ids: I64, vectors: F32) -> None:
        """Put `new` in the place of neighbours, and what was added to the last of them since: see `Rewriting`."""
        # That has greater ids than `new`, and smaller ones than the segments that came since.
        instead = [new] if len(new) else []
        self._append(instead, ids, vectors)
        place = self._segments.index(old[0])
        self._segments[place : place + len(old)] = instead
