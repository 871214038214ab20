"""The search of the compact index: candidates by a scan of codes or of vectors, then exact similarities of the best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_core.gallery.index.faiss_codes import Segment, Workers
from fr_core.gallery.index.protocol import F64, Hits, best_of_each, exact_similarity, scan_error_bound
from fr_core.types import F32, I64

# Probes that FAISS's kernel scores in one pass over the codes; docs/adr/0013 has what other numbers give.
_PROBES_PER_PASS = 4
# Rows that are multiplied at a time: as few as stay in a core's cache, 512 KiB at D = 512, while several probes are
# multiplied with them; more for one probe, that has each row once.
_BLOCK_ROWS = 256
_BLOCK_ROWS_OF_ONE = 4096
# Fetched of a segment at first: this many times its share of the candidates, and some. Nearly always enough; else
# several times as many.
_SPARE_SHARE = 1.5
_SPARE = 64
_WIDER = 4
# Candidates of all probes that are looked at together: 48 MiB of scores and rows, and some five times that where all of
# them are scored exactly.
_TOGETHER = 2**22
_PROBES_TOGETHER = 64
# Pairs that are scored exactly at a time: 6 MiB of vectors and probes at D = 512. Many more take three times as long,
# since they leave the cache and have fresh memory each time.
_GATHERED = 2**9


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """The part of a segment that a search may find."""

    segment: Segment
    allowed: npt.NDArray[np.bool_] | None  # bool[rows] of the segment; None = every row
    count: int  # how many rows are allowed, 1 or more


@dataclass(slots=True, eq=False)
class _Found:
    """Candidates of n probes in one segment, best first by their compact scores."""

    share: Share
    width: int  # how many are fetched for each probe
    scores: F32 = field(init=False)  # f32[n, w], w <= width; -inf where a probe has fewer candidates
    rows: I64 = field(init=False)  # i64[n, w]; -1 where a probe has fewer
    unseen: F32 = field(init=False)  # f32[n], no row that was not fetched scores higher; -inf with `complete`

    @property
    def complete(self) -> bool:
        return self.width == len(self.share.segment)

    def clear(self, probes: int) -> None:
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
        widest = int(np.count_nonzero(self.rows >= 0, axis=1).max())
        self.scores, self.rows = self.scores[:, :widest], self.rows[:, :widest]

    def lacks(self, lowest: F32) -> npt.NDArray[np.bool_]:
        """Return bool[n]: for whom a row that scores `lowest` (f32[n]) or more may not have been fetched."""
        return np.zeros(len(lowest), dtype=bool) if self.complete else self.unseen >= lowest

    def keep(self, probes: npt.NDArray[np.bool_]) -> None:
        """Drop the candidates of other probes than these, bool[n]."""
        self.scores, self.rows, self.unseen = self.scores[probes], self.rows[probes], self.unseen[probes]

    def widen(self) -> None:
        self.width = min(_WIDER * self.width, len(self.share.segment))


def scan_everything(shares: Sequence[Share], probes: F32, k: int, workers: Workers) -> Hits:
    """Return the k best for each of probes, surely.

    `probes`: f32[n, D], n >= 1; `k`: how many are wanted, at most the number of rows that are shared.
    """
    segments, rows = [share.segment for share in shares], [_rows(share) for share in shares]

    def search(some: F32) -> Hits:
        alike = [np.broadcast_to(of_segment, (len(some), len(of_segment))) for of_segment in rows]
        return best_candidates(segments, some, alike, k, workers)

    return _in_steps(search, probes, _TOGETHER // sum(share.count for share in shares))


def scan_codes(shares: Sequence[Share], probes: F32, k: int, candidates: int, workers: Workers) -> Hits:
    """Return the k best for each of probes, of those that are among the best by their compact scores.

    Candidates are all whose compact score is not below that of the `candidates`-th: which these are depends on nothing
    but the probe and the rows, so that a probe finds the same alone and in company.

    Args:
        shares: what may be found, of segments with codes; more than `candidates` rows.
        probes: f32[n, D], n >= 1.
        k: how many are wanted, at most `candidates`.
        candidates: how many are scored exactly, and those that tie with the last.
    """

    def search(some: F32) -> Hits:
        return _by_codes(shares, some, k, candidates, workers)

    return _in_steps(search, probes, _TOGETHER // (2 * candidates))


def best_candidates(segments: Sequence[Segment], probes: F32, rows: Sequence[I64], k: int, workers: Workers) -> Hits:
    """Return the k best candidates by their exact similarities.

    Args:
        probes: f32[n, D].
        rows: i64[n, w] for each segment: the candidates of each probe; -1 is none. Each probe has k or more.
        k: how many are wanted; 1 or more.
    """
    scores = _products(segments, probes, rows, workers)
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
        similarities.append(_similarities(segment, kept, probes, probe, workers))
    return best_of_each(len(probes), np.concatenate(owners), np.concatenate(ids), np.concatenate(similarities), k)


def _by_codes(shares: Sequence[Share], probes: F32, k: int, candidates: int, workers: Workers) -> Hits:
    segments = [share.segment for share in shares]
    found = _first_widths(shares, candidates)
    hits = Hits.unfilled(len(probes), k, exhaustive=False)
    waiting, left = found, np.arange(len(probes))
    while len(left):
        _fetch(waiting, probes[left], workers)
        lowest = _lowest(found, candidates)
        lacking = np.array([one.lacks(lowest) for one in found])
        ready = np.logical_not(lacking.any(axis=0))
        if ready.any():
            rows = [np.where(one.scores[ready] >= lowest[ready, None], one.rows[ready], -1) for one in found]
            best = best_candidates(segments, probes[left[ready]], rows, k, workers)
            hits.ids[left[ready]], hits.similarities[left[ready]] = best.ids, best.similarities
        # The others may have many that tie, and are fetched more; who is ready does not wait for that again.
        left = left[~ready]
        waiting = []
        for one, some in zip(found, lacking, strict=True):
            one.keep(~ready)
            if some.any():
                one.widen()
                waiting.append(one)
        if len(left) > 1 and len(left) * sum(one.width for one in found) > _TOGETHER:
            rest = _in_steps(lambda some: _by_codes(shares, some, k, candidates, workers), probes[left], len(left) // 2)
            hits.ids[left], hits.similarities[left] = rest.ids, rest.similarities
            break
    return hits


def _first_widths(shares: Sequence[Share], candidates: int) -> list[_Found]:
    count = sum(share.count for share in shares)
    found = []
    for share in shares:
        width = int(_SPARE_SHARE * candidates * len(share.segment) / count) + _SPARE
        found.append(_Found(share, min(width, len(share.segment))))
    return found


def _fetch(waiting: Sequence[_Found], probes: F32, workers: Workers) -> None:
    for one in waiting:
        one.clear(len(probes))
    groups = [slice(start, start + _PROBES_PER_PASS) for start in range(0, len(probes), _PROBES_PER_PASS)]
    tasks = [(one, some) for some in groups for one in waiting]
    workers.each(lambda task: task[0].scan(probes, task[1]), tasks)
    for one in waiting:
        one.trim()


def _lowest(found: Sequence[_Found], candidates: int) -> F32:
    """Return the least score f32[n] of a candidate, as far as they were fetched; -inf where there are fewer."""
    scores = np.concatenate([one.scores for one in found], axis=1)
    place = scores.shape[1] - candidates
    if place < 0:
        return np.full(len(scores), -np.inf, dtype=np.float32)
    lowest: F32 = np.partition(scores, place, axis=1)[:, place]
    return lowest


def _products(segments: Sequence[Segment], probes: F32, rows: Sequence[I64], workers: Workers) -> list[F32]:
    """Return the inner products f32[n, w] with rows i64[n, w] of each segment; -inf where a row is -1."""
    products: list[F32] = [np.empty(of_segment.shape, dtype=np.float32) for of_segment in rows]
    step = _BLOCK_ROWS if len(probes) > 1 else _BLOCK_ROWS_OF_ONE

    def multiply(task: tuple[int, int]) -> None:
        n, start = task
        block = slice(start, start + step)
        products[n][:, block] = segments[n].products(probes, rows[n][:, block])

    workers.each(
        multiply, [(n, start) for n, of_segment in enumerate(rows) for start in range(0, of_segment.shape[1], step)]
    )
    return products


def _similarities(segment: Segment, rows: I64, probes: F32, owners: I64, workers: Workers) -> F64:
    """Return the exact similarities f64[m] of rows i64[m] to their probes, rows `owners` (i64[m]) of f32[n, D]."""
    similarities: F64 = np.empty(len(rows), dtype=np.float64)

    def compare(start: int) -> None:
        some = slice(start, start + _GATHERED)
        similarities[some] = exact_similarity(segment.vectors[rows[some]], probes[owners[some]])

    # Where very many are equal, all of them are close: many blocks. Else there is one, that no thread has to wait for.
    workers.each(compare, range(0, len(rows), _GATHERED))
    return similarities


def _in_steps(search: Callable[[F32], Hits], probes: F32, step: int) -> Hits:
    """Search for probes f32[n, D], n >= 1, up to `step` at a time, or one where it is 0."""
    step = max(1, min(step, _PROBES_TOGETHER))
    found = [search(probes[start : start + step]) for start in range(0, len(probes), step)]
    return Hits(
        np.concatenate([hits.ids for hits in found]),
        np.concatenate([hits.similarities for hits in found]),
        all(hits.exhaustive for hits in found),
    )


def _rows(share: Share) -> I64:
    if share.allowed is None:
        return np.arange(len(share.segment))
    return np.flatnonzero(share.allowed)


def _fill(rows: I64) -> None:
    """Put the rows that are missing from each line of i64[n, rows of the segment] in the place of its -1."""
    for line in rows:
        line[line < 0] = np.setdiff1d(np.arange(len(line)), line)
