"""Keeps a collection of Milvus that several servers search, one of which writes it: the one with the lease.

Every server keeps in memory the vectors above the `reach` of the collection, and goes by a state of the board once its
memory has the changes that the state rests on. So no search waits for the server that writes, see `milvus_leading`.
"""

import numpy as np

from fr_core.errors import IndexUnavailable, ShuttingDown, StoreFailed
from fr_core.gallery.index.growing import VectorRows
from fr_core.gallery.index.milvus_board import Held, LeaseLost
from fr_core.gallery.index.milvus_state import FRESH_BYTES, MilvusState, Shared
from fr_core.gallery.index.milvus_upkeep import Work
from fr_core.gallery.index.protocol import Upkeep
from fr_core.types import I64

_NONE: I64 = np.empty(0, np.int64)
_AGAIN_S = 1.0


def is_due(state: MilvusState, shared: Shared) -> bool:
    """Return whether work may begin."""
    return shared.listed and state.clock() >= state.again_at


def next_shared_work(state: MilvusState, shared: Shared) -> Upkeep | None:
    """Return the work that is due now on every server, or None."""
    if shared.begun and shared.begun != shared.board.lead:  # another server writes now
        shared.begun, shared.led, shared.due, state.doomed, state.job = 0, 0, _NONE, [], None
        state.uncompacted = False
    held = shared.held
    adopts = _next_adoption(state, shared, held)
    if adopts is not None:
        return adopts
    return Trimming(state) if state.must_trim else None


def _next_adoption(state: MilvusState, shared: Shared, held: Held | None) -> Upkeep | None:
    if held is None or not held.complete:
        return Retiring(state) if state.opened and state.complete else None
    if shared.asked is None or shared.asked > held.compared or shared.board.peers.seq < held.seq:
        return None
    if state.complete:
        return Adopting(state, held) if (state.collection.name, state.reach) != (held.name, held.reach) else None
    live = state.live
    above = np.count_nonzero(live.live & (live.ids > held.reach))
    return Adopting(state, held) if above * state.dimension * 4 <= FRESH_BYTES else None


class Trimming:
    """Drops the rows of removed ids from memory."""

    def __init__(self, state: MilvusState) -> None:
        self._state = state

    def prepare(self) -> None:
        """Do nothing; see `Upkeep.prepare`."""

    def finish(self) -> None:
        """Take the effect; see `Upkeep.finish`."""
        self._state.trim()


class Retiring(Trimming):
    """Stops the searches in a collection that is known to lack vectors."""

    def finish(self) -> None:
        """Take the effect; see `Upkeep.finish`."""
        self._state.complete = False


class SharedWork(Work):
    """Work that also has no effect if the database fails or the lease was lost."""

    def prepare(self) -> None:
        """Call Milvus; see `Upkeep.prepare`."""
        state = self._state
        assert state.shared is not None
        try:
            self._speak()
            self._done = True
        except (StoreFailed, ShuttingDown, LeaseLost):
            state.again_at = state.clock() + _AGAIN_S
        except IndexUnavailable as error:
            state.note_failure(error)
            self._failed(state.shared, late="late" in error.metadata)

    def _failed(self, shared: Shared, late: bool) -> None:
        pass


class Adopting(SharedWork):
    """Goes by what the board says: searches the collection, and keeps only what it lacks in memory."""

    def __init__(self, state: MilvusState, held: Held) -> None:
        super().__init__(state)
        assert state.shared is not None
        self._held = held
        self._collection = state.shared.named(held.name)
        self._fresh = state.fresh
        live, fresh = state.live, state.fresh
        above = live.ids[live.live & (live.ids > held.reach)]
        self._lacked: I64 = np.setdiff1d(above, fresh.ids[fresh.live], assume_unique=True)
        self._read, self._vectors = _NONE, np.empty((0, state.dimension), np.float32)

    def _speak(self) -> None:
        self._collection.mark()
        if len(self._lacked):
            self._read, self._vectors = self._state.truth(self._lacked)

    def _take(self) -> None:
        state, held, shared = self._state, self._held, self._state.shared
        assert shared is not None
        # More came meanwhile than memory has room for, or a search has found a fault.
        if state.fresh is not self._fresh or shared.asked is None or shared.asked > held.compared:
            return
        there = np.isin(self._read, state.live.ids[state.live.live], assume_unique=True)
        rows = np.flatnonzero(self._fresh.live & (self._fresh.ids > held.reach))
        ids = np.concatenate([self._read[there], self._fresh.ids[rows]])
        order = np.argsort(ids)
        rest = VectorRows(state.dimension)
        rest.append(ids[order], np.concatenate([self._vectors[there], self._fresh.vectors[rows]])[order])
        state.fresh, state.reach, state.collection = rest, held.reach, self._collection
        state.complete = state.opened = True
