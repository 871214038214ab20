"""Searches that come at the same time share one pass over the index, which is bound by memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from fr_core.errors import for_one_caller
from fr_core.gallery.index.protocol import F64, Hits
from fr_core.types import F32, I64

Search = Callable[[F32, int], Hits]


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The best vectors for one probe; see `Hits`."""

    ids: I64  # i64[k']
    similarities: F64  # f64[k']
    exhaustive: bool  # as in `Hits`

    @staticmethod
    def of(hits: Hits, n: int, k: int) -> Nearest:
        """The k best for probe n."""
        return Nearest(hits.ids[n, :k], hits.similarities[n, :k], hits.exhaustive)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A search that waits for a pass; the future ends with its hits, or with None where it is to lead the next pass."""

    probe: F32
    k: int
    future: Future[Nearest | None] = field(default_factory=Future)


class SharedSearch:
    """Runs `search` for the probes of many threads, one pass at a time.

    There is no thread of its own: a search that finds no pass under way makes one. Then the first of those that came
    meanwhile makes the next, with all of them that want equally many. So a single search waits for nobody.

    Who wants another number has another pass: an index may compare more vectors for one that wants more, and so find
    one that it misses otherwise. What is found must not depend on who else searches.

    Args:
        search: probes f32[n, D] and k to the hits of each; it must give a probe the same hits whatever is beside it.
        together: probes of one pass at most; see `VectorIndex.together`.
    """

    def __init__(self, search: Search, together: int) -> None:
        self._search = search
        self._together = together
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._under_way = False

    def best(self, probe: F32, k: int) -> Nearest:
        """Return the best k' = min(k, size) vectors for a probe f32[D]; raises what the search raises."""
        own = _Waiting(probe, k)
        with self._lock:
            self._waiting.append(own)
            leads = not self._under_way
            self._under_way = True
        if not leads:
            found = own.future.result()
            if found is not None:
                return found
        return self._lead(own)

    def _lead(self, own: _Waiting) -> Nearest:
        with self._lock:
            # Who leads has waited longest of all, so that it is the first of these.
            together = [one for one in self._waiting if one.k == own.k][: self._together]
            self._waiting = [one for one in self._waiting if one not in together]
        others = together[1:]
        try:
            found = self._pass(together)
        except BaseException as error:
            for one in others:
                one.future.set_exception(for_one_caller(error))
            raise
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting[0].future.set_result(None)
                else:
                    self._under_way = False
        for one, theirs in zip(others, found[1:], strict=True):
            one.future.set_result(theirs)
        return found[0]

    def _pass(self, together: Sequence[_Waiting]) -> list[Nearest]:
        k = together[0].k
        probes = np.stack([one.probe for one in together]) if len(together) > 1 else together[0].probe[None, :]
        hits = self._search(probes, k)
        return [Nearest.of(hits, n, k) for n in range(len(together))]
