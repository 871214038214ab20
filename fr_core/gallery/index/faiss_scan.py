"""The search of the compact index: candidates by a scan of codes or of vectors, then exact similarities of the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_core.gallery.index.faiss_segment import Segment, Workers
from fr_core.gallery.index.protocol import Hits, best_of_each, exact_similarity, scan_error_bound
from fr_core.types import F32, I64

# Probes that FAISS's kernel scores in one pass over the codes; docs/adr/0013 has what other numbers give.
_PROBES_PER_PASS = 4
# Rows that are multiplied at a time where there are no codes: as few as stay in a core's cache, 512 KiB at D = 512,
# while several probes are multiplied with them; more for one probe, that has each row once.
_BLOCK_ROWS = 256
_BLOCK_ROWS_OF_ONE = 4096
# Fetched of a segment at first: this many times its share of the candidates, and some. Nearly always enough.
_WIDER = 1.5
# Pairs that are scored exactly at a time: 128 MiB of vectors and probes in float64 at D = 512.
_GATHERED = 2**14
_SPARE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What a search may find in a segment.

    Attributes:
        segment: where.
        allowed: bool[rows] of the segment; None = every row.
        count: how many rows are allowed, 1 or more.
    """

    segment: Segment
    allowed: npt.NDArray[np.bool_] | None
    count: int


@dataclass(slots=True, eq=False)
class _Found:
    """Candidates of n probes in one segment, best first by their compact scores.

    Attributes:
        share: where they were found.
        width: how many are fetched for each probe.
        scores: f32[n, w], w <= width; -inf where a probe has fewer candidates.
        rows: i64[n, w]; -1 where a probe has fewer.
        unseen: f32[n], no row that was not fetched scores higher; -inf with `complete`.
        complete: whether all of the segment is fetched.
    """

    share: Share
    width: int
    scores: F32 = field(init=False)
    rows: I64 = field(init=False)
    unseen: F32 = field(init=False)

    @property
    def complete(self) -> bool:
        return self.width == len(self.share.segment)

    def clear(self, probes: int) -> None:
        """Make room for the candidates of so many probes."""
        self.scores = np.full((probes, self.width), -np.inf, dtype=np.float32)
        self.rows = np.full((probes, self.width), -1, dtype=np.int64)
        self.unseen = np.empty(probes, dtype=np.float32)

    def scan(self, probes: F32, some: slice) -> None:
        """Fetch the candidates of `some` of the probes f32[n, D]."""
        codes = self.share.segment.codes
        assert codes is not None
        scores, rows = codes.search(probes[some], self.width)
        missed = rows < 0
        if missed.any():
            scores[missed] = -np.inf
            if self.complete:
                _fill(rows)
        self.unseen[some] = -np.inf if self.complete else scores[:, -1]
        if self.share.allowed is None:
            self.scores[some], self.rows[some] = scores, rows
            return
        shown = self.share.allowed[rows] & (rows >= 0)
        places = np.nonzero(shown)[0], (np.cumsum(shown, axis=1) - 1)[shown]
        self.scores[some][places], self.rows[some][places] = scores[shown], rows[shown]

    def trim(self) -> None:
        """Give back the room that no candidate needed."""
        widest = int(np.count_nonzero(self.rows >= 0, axis=1).max())
        self.scores, self.rows = self.scores[:, :widest], self.rows[:, :widest]


def scan_everything(shares: Sequence[Share], probes: F32, k: int, workers: Workers) -> Hits:
    """Return the k best for each of probes f32[n, D], surely; k is at most the number of rows that are shared."""
    rows = [_rows(share) for share in shares]
    scores: list[F32] = [np.empty((len(probes), len(some)), dtype=np.float32) for some in rows]

    def multiply(task: tuple[int, int]) -> None:
        n, start = task
        block = slice(start, start + step)
        scores[n][:, block] = shares[n].segment.products(probes, alike[n][:, block])

    step = _BLOCK_ROWS if len(probes) > 1 else _BLOCK_ROWS_OF_ONE
    alike = [np.broadcast_to(some, (len(probes), len(some))) for some in rows]
    workers.each(multiply, [(n, start) for n, some in enumerate(rows) for start in range(0, len(some), step)])
    return best_candidates([share.segment for share in shares], probes, alike, scores, k)


def scan_codes(shares: Sequence[Share], probes: F32, k: int, candidates: int, workers: Workers) -> Hits:
    """Return the k best for each of probes f32[n, D], of those that are among the best by their compact scores.

    Candidates are all whose compact score is not below that of the `candidates`-th: which these are depends on nothing
    but the probe and the rows, so that a probe finds the same alone and in company.

    Args:
        shares: what may be found, of segments with codes; more than `candidates` rows.
        probes: what is searched for.
        k: how many are wanted, at most `candidates`.
        candidates: how many are scored exactly, and those that tie with the last.
        workers: do the work.
    """
    count = sum(share.count for share in shares)
    found = []
    for share in shares:
        width = int(_WIDER * candidates * len(share.segment) / count) + _SPARE
        found.append(_Found(share, min(width, len(share.segment))))
    groups = [slice(start, start + _PROBES_PER_PASS) for start in range(0, len(probes), _PROBES_PER_PASS)]
    lowest = _fetch(found, probes, candidates, groups, workers)
    scores: list[F32] = [np.empty_like(one.scores) for one in found]

    def multiply(task: tuple[int, slice]) -> None:
        n, some = task
        rows = np.where(found[n].scores[some] >= lowest[some, None], found[n].rows[some], -1)
        scores[n][some] = shares[n].segment.products(probes[some], rows)

    workers.each(multiply, [(n, some) for some in groups for n in range(len(found))])
    return best_candidates([share.segment for share in shares], probes, [one.rows for one in found], scores, k)


def _fetch(found: list[_Found], probes: F32, candidates: int, groups: list[slice], workers: Workers) -> F32:
    """Fetch candidates until none is missing; return the least score f32[n] that one of them may have."""
    waiting = found
    while True:
        for one in waiting:
            one.clear(len(probes))
        tasks = [(one, some) for some in groups for one in waiting]
        workers.each(lambda task: task[0].scan(probes, task[1]), tasks)
        for one in waiting:
            one.trim()
        scores = np.concatenate([one.scores for one in found], axis=1)
        lowest: F32 = np.full(len(probes), -np.inf, dtype=np.float32)
        if scores.shape[1] >= candidates:
            place = scores.shape[1] - candidates
            lowest = np.partition(scores, place, axis=1)[:, place]
        # One that scores as much as the last candidate is a candidate too, and may not have been fetched.
        waiting = [one for one in found if not one.complete and (one.unseen >= lowest).any()]
        if not waiting:
            return lowest
        for one in waiting:
            one.width = min(4 * one.width, len(one.share.segment))


def best_candidates(segments: list[Segment], probes: F32, rows: list[I64], scores: list[F32], k: int) -> Hits:
    """Return the k best candidates by their exact similarities.

    Args:
        segments: where the candidates are.
        probes: f32[n, D].
        rows: i64[n, w] for each segment.
        scores: f32[n, w] for each segment, float32 inner products; -inf for what is no candidate. k or more are
            candidates of each probe.
        k: how many are wanted.
    """
    everything = np.concatenate(scores, axis=1)
    place = everything.shape[1] - k
    kth = np.partition(everything, place, axis=1)[:, place].astype(np.float64)
    # Both a float32 score and the k-th of them are off by no more than the bound, so what lies further below the k-th
    # cannot be among the k best. Similarities are clipped: beyond 1 the order of float32 scores says nothing.
    least = np.clip(kth, -1.0, 1.0) - 2.0 * scan_error_bound(probes.shape[1])
    lowest = np.nextafter(least.astype(np.float32), np.float32(-np.inf))
    lowest[least <= -1.0] = np.finfo(np.float32).min
    owners, ids, similarities = [], [], []
    for segment, of_segment, close in zip(segments, rows, scores, strict=True):
        probe, column = np.nonzero(close >= lowest[:, None])
        kept = of_segment[probe, column]
        owners.append(probe)
        ids.append(segment.ids[kept])
        # Where very many are equal, all of them are close; they are not gathered all at once.
        for start in range(0, len(kept), _GATHERED):
            some = slice(start, start + _GATHERED)
            similarities.append(exact_similarity(segment.vectors[kept[some]], probes[probe[some]]))
    return best_of_each(len(probes), np.concatenate(owners), np.concatenate(ids), np.concatenate(similarities), k)


def _rows(share: Share) -> I64:
    if share.allowed is None:
        return np.arange(len(share.segment))
    return np.flatnonzero(share.allowed)


def _fill(rows: I64) -> None:
    """Put the rows that are missing from each line of i64[n, rows of the segment] in the place of its -1."""
    for line in rows:
        line[line < 0] = np.setdiff1d(np.arange(len(line)), line)
