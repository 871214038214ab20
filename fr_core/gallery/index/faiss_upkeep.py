"""The upkeep of the compact index: its first codes, and which segments are worth rewriting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fr_core.gallery.index.faiss_codes import TRAINED_ON, Codebook, Codes
from fr_core.gallery.index.faiss_segment import Segment, Workers
from fr_core.types import F32

# A segment is rewritten when more of its rows than one in so many are removed, and more than a part of a full one.
_REMOVED = 4
_FEW_REMOVED = 128


class Coding:
    """An `Upkeep` that trains a codebook and gives every vector its code.

    Args:
        segments: of the index; those that come later are coded at the end.
        threads: that code.
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
