"""Searches in Milvus: Milvus scans turned vectors, then the index computes exact similarities of the best itself.

The exact vectors come from the truth, the store. Only the ids are in memory, and the newest vectors until Milvus has
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fr_core.errors import IndexUnavailable, message
from fr_core.gallery.index.growing import VectorRows
from fr_core.gallery.index.milvus_leading import next_writing
from fr_core.gallery.index.milvus_link import IDS_TOGETHER, MOST_ANSWERED
from fr_core.gallery.index.milvus_settings import FLAT
from fr_core.gallery.index.milvus_shared import is_due, next_shared_work
from fr_core.gallery.index.milvus_state import MilvusState
from fr_core.gallery.index.milvus_upkeep import next_work
from fr_core.gallery.index.protocol import (
    F64,
    PROBES_TOGETHER,
    Hits,
    IndexMemory,
    Upkeep,
    best_first,
    check_added,
    check_searched,
    exact_similarity,
    scan_error_bound,
)
from fr_core.gallery.index.turning import TURNING_ERROR
from fr_core.types import F32, I64

# Asked for beyond k at first, so that nearly every search needs one scan only; then so many times as many.
_SPARE = 32
_WIDER = 8
# A filter that lets more than one in so many through is applied to what Milvus finds among all, at first.
_DENSE = 4
# If a filter lets at most so many through, the truth answers: decrypting them takes less time than two calls.
_FEW = 256
_BEYOND = 2**63 - 1
# Vectors of the truth that are compared at a time.
_COMPARED = 4096


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """The answer of Milvus for one probe: ids i64[n] and scores f64[n]; no other entity scores above `unseen`."""

    ids: I64
    scores: F64
    unseen: float


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A question to Milvus."""

    pieces: Sequence[I64 | None]  # ids to search among; None = all
    limit: int  # how many of each piece
    allowed: npt.NDArray[np.bool_]  # bool[rows]: what may be found
    stored: int  # live vectors that it holds at least
    fresh_from: int  # the first id that is searched in memory, also while Milvus is being given it


class MilvusIndex:
    """A `VectorIndex` in a collection of Milvus. `state`: of the collection."""

    def __init__(self, state: MilvusState) -> None:
        self._state = state
        self._bound = scan_error_bound(state.dimension) + TURNING_ERROR

    @property
    def exact(self) -> bool:
        """Return True if a search certainly returns the k best, as with the index FLAT."""
        return self._state.settings.kind == FLAT

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
        return self._state.dimension

    @property
    def size(self) -> int:
        """Return how many vectors are live."""
        return self._state.live.size

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors; see `VectorIndex.add`. Milvus has them after the next upkeep."""
        check_added(ids, vectors, self._state.dimension, self._state.last_id)
        self._state.add(ids, vectors)

    def remove(self, ids: I64) -> None:
        """Remove vectors; see `VectorIndex.remove`. Milvus deletes them in the next upkeep."""
        self._state.remove(ids)

    def vectors(self, ids: I64) -> F32:
        """Return copies of vectors from the truth; see `VectorIndex.vectors`."""
        self._state.live.rows_of(ids)
        different, place = np.unique(ids, return_inverse=True)
        return self._stored(different)[place]

    def memory(self) -> IndexMemory:
        """Count the bytes in this process; see `VectorIndex.memory`. Milvus holds the vectors."""
        fresh, live = self._state.fresh, self._state.live
        return IndexMemory(0, fresh.store_bytes, fresh.other_bytes + live.other_bytes + self._state.turn.bytes_held)

    def upkeep(self) -> Upkeep | None:
        """Return the next work in Milvus that is due; see `VectorIndex.upkeep`."""
        state, shared = self._state, self._state.shared
        if shared is None:
            return next_work(state)
        if not is_due(state, shared):
            return None
        work = next_shared_work(state, shared)
        return next_writing(state, shared) if work is None and shared.board.lead else work

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Search; see `VectorIndex.search`. Raises `IndexUnavailable`: Milvus does not answer, or is being filled."""
        check_searched(probes, k, self._state.dimension)
        # Read once: a comparison that begins meanwhile replaces it, and then nothing is complete.
        live, fresh = self._state.live, self._state.fresh
        allowed = live.allowed(among)
        found = None if among is None else live.ids[allowed]
        width = min(k, live.size if found is None else len(found))
        hits = Hits.unfilled(len(probes), width, exhaustive=self.exact)
        left = list(range(len(probes))) if width else []
        if live.size == fresh.size:  # the gallery is new, and waits in memory
            rows = np.flatnonzero(fresh.allowed(found))
            for place in left:
                best = best_first(fresh.ids[rows], fresh.similarities(rows, probes[place]), width)
                hits.ids[place], hits.similarities[place] = best
            return hits
        for pieces, limit in self._attempts(found, fresh, width):
            if left:
                self._state.require_complete()
                asked = _Asked(pieces, limit, allowed, live.size - fresh.size, first_of(fresh))
                left = self._fill(hits, left, probes, asked, fresh, np.flatnonzero(fresh.allowed(found)))
        if left:
            self._from_truth(hits, left, probes, live.ids[allowed])
        return hits

    def _attempts(self, found: I64 | None, fresh: VectorRows, width: int) -> Iterator[tuple[Sequence[I64 | None], int]]:
        """Yield what Milvus is asked to search, one after the other, and the limit; what is then left is for the truth.

        `found`: the ids that a filter lets through, None = all.
        """
        size = self._state.live.size
        if (size if found is None else len(found)) <= _FEW or width > MOST_ANSWERED:
            return
        limits = [min((width + _SPARE) * _WIDER**n, MOST_ANSWERED) for n in range(5)]
        if found is None:
            yield from (([None], limit) for limit in dict.fromkeys(limits))
            return
        if len(found) * _DENSE > size:
            yield [None], min((width + _SPARE) * -(-size // len(found)), MOST_ANSWERED)
        stored = found[: np.searchsorted(found, first_of(fresh))]
        pieces = [stored[start : start + IDS_TOGETHER] for start in range(0, len(stored), IDS_TOGETHER)]
        yield from ((pieces, limit) for limit in dict.fromkeys(limits))

    def _fill(self, hits: Hits, some: list[int], probes: F32, asked: _Asked, fresh: VectorRows, rows: I64) -> list[int]:
        """Fill in the hits of the probes `some`; returns those for which what was not fetched might belong there.

        `rows`: those of `fresh` that may be found.
        """
        width = hits.ids.shape[1]
        turned = self._state.turn.turned(probes[some])
        scans = [self._scans(turned, piece, asked) for piece in asked.pieces]
        merged = [self._merged([scan[n] for scan in scans], asked, width) for n in range(len(some))]
        wanted = np.unique(np.concatenate([scan.ids for scan in merged]))
        vectors = self._stored(wanted)
        left = []
        for place, scan in zip(some, merged, strict=True):
            similarities = exact_similarity(vectors[np.searchsorted(wanted, scan.ids)], probes[place])
            self._require_as_scored(similarities, scan.scores)
            best = best_first(
                np.concatenate([scan.ids, fresh.ids[rows]]),
                np.concatenate([similarities, fresh.similarities(rows, probes[place])]),
                width,
            )
            # Ids decide between equal similarities; similarities are clipped at -1.
            unseen = max(scan.unseen, -1.0) if self.exact and scan.unseen > -np.inf else -np.inf
            if len(best[0]) == width and best[1][-1] > unseen:
                hits.ids[place], hits.similarities[place] = best
            else:
                left.append(place)
        return left

    def _scans(self, turned: F32, piece: I64 | None, asked: _Asked) -> list[_Scan]:
        """Have Milvus search; raises `IndexUnavailable`, after which the collection is compared with the truth."""
        try:
            answers = self._state.collection.search(turned, asked.limit, piece)
        except IndexUnavailable as error:
            self._state.note_failure(error)
            raise
        expected = asked.stored if piece is None else len(piece)
        scans = []
        for ids, scores in answers:
            full = len(ids) >= asked.limit
            if self.exact and not full and len(ids) < expected:
                raise self._differs(wipe=False)
            scans.append(_Scan(ids, scores, float(scores[-1]) + self._bound if full else -np.inf))
        return scans

    def _merged(self, scans: Sequence[_Scan], asked: _Asked, width: int) -> _Scan:
        """Return what may be found of several scans, as far as its exact similarity may be among the `width` best."""
        live = self._state.live.ids
        ids = np.concatenate([np.empty(0, np.int64), *(scan.ids for scan in scans)])
        scores = np.concatenate([np.empty(0), *(scan.scores for scan in scans)])
        rows = np.minimum(np.searchsorted(live, ids), len(live) - 1)
        kept = (live[rows] == ids) & asked.allowed[rows] & (ids < asked.fresh_from)
        ids, scores = ids[kept], scores[kept]
        if len(ids) > width:
            # Each of the best `width` has an exact similarity of at least this.
            least = np.partition(scores, len(scores) - width)[len(scores) - width] - 2.0 * self._bound
            ids, scores = ids[scores >= least], scores[scores >= least]
        return _Scan(ids, scores, max((scan.unseen for scan in scans), default=-np.inf))

    def _require_as_scored(self, similarities: F64, scores: F64) -> None:
        """Require that Milvus computed its scores from the vectors that are stored, turned as they are today."""
        if (np.abs(similarities - scores) > 2.0 * self._bound).any():
            raise self._differs(wipe=True)

    def _differs(self, wipe: bool) -> IndexUnavailable:
        error = IndexUnavailable(message("error.gallery.milvus_differs"))
        self._state.note_failure(error, wipe=wipe)
        return error

    def _stored(self, ids: I64) -> F32:
        found, vectors = self._state.truth(ids)
        if len(found) != len(ids):
            raise KeyError("no vector of one of these ids")
        return vectors

    def _from_truth(self, hits: Hits, some: list[int], probes: F32, ids: I64) -> None:
        """Fill in the hits of the probes `some` by comparing them with everything that may be found, ids i64[n]."""
        width = hits.ids.shape[1]
        best = {place: (np.empty(0, np.int64), np.empty(0)) for place in some}
        for start in range(0, len(ids), _COMPARED):
            block = ids[start : start + _COMPARED]
            vectors = self._stored(block)
            for place, (best_ids, known) in best.items():
                compared = exact_similarity(vectors, probes[place])
                best[place] = best_first(np.concatenate([best_ids, block]), np.concatenate([known, compared]), width)
        for place in some:
            hits.ids[place], hits.similarities[place] = best[place]


def first_of(fresh: VectorRows) -> int:
    """Return the first id of those that are searched in memory; beyond all ids where there are none."""
    return int(fresh.ids[0]) if len(fresh) else _BEYOND
