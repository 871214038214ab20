"""Writes a collection of Milvus that several servers search: the work of the server with the lease.

It deletes a vector once no server can search a version that has it. A collection that is found to be wrong is left
alone: a new one with another name takes its place, so no server can search a collection that is half full.
"""

import logging
import secrets
from dataclasses import replace

import numpy as np

from fr_core.errors import ShuttingDown, StoreFailed
from fr_core.gallery.index.milvus_board import Held, LeaseLost
from fr_core.gallery.index.milvus_link import Collection
from fr_core.gallery.index.milvus_loss import told_loss
from fr_core.gallery.index.milvus_settings import FLAT
from fr_core.gallery.index.milvus_shared import SharedWork
from fr_core.gallery.index.milvus_state import MilvusState, Shared
from fr_core.gallery.index.milvus_upkeep import AT_ONCE_S, ROWS, Compacting, is_sample_sound, known
from fr_core.gallery.index.protocol import Upkeep
from fr_core.types import I64

_log = logging.getLogger(__name__)

_NONE: I64 = np.empty(0, np.int64)
# The other servers look for changes every 0.2 seconds by default.
_SETTLED_S = 0.3


def next_writing(state: MilvusState, shared: Shared) -> Upkeep | None:
    """Return the work of the server with the lease that is due now, or None."""
    held, now = shared.held, state.clock()
    if not shared.leads or held is None or not held.complete or shared.request.number > held.compared:
        # The memory must have what the server before knew.
        return SharedComparing(state, shared) if held is None or shared.board.peers.seq >= held.seq else None
    if state.doomed or len(shared.due) or (state.live.live & (state.live.ids > held.reach)).any():
        return SharedWriting(state, shared, held)
    if not (state.complete and state.collection.name == held.name):
        return None
    if state.job is not None or (state.uncompacted and now >= state.next_compaction):
        return Compacting(state)
    return SharedWatching(state, shared, held) if now >= state.next_watch else None


class _Leading(SharedWork):
    """Work of the server that writes, on the templates with ids above one."""

    def __init__(self, state: MilvusState, shared: Shared, held: Held | None, above: int = -1) -> None:
        super().__init__(state)
        self._shared = shared
        self._board = shared.board
        self._lead = shared.board.lead
        self._held = held
        live = state.live
        rows = np.flatnonzero(live.live & (live.ids > above))
        self._live: I64 = live.ids[rows]
        self._tags = state.tags_of(rows)
        self._last_id = state.last_id

    def _failed(self, shared: Shared, late: bool) -> None:
        if not late:  # another server may reach Milvus
            shared.led = 0
            try:
                shared.board.let_go()
            except (StoreFailed, ShuttingDown):
                _log.warning("the lease of the server that writes to Milvus ends by its time")

    def _publish(self, held: Held) -> None:
        self._board.publish(self._lead, {self._shared.gallery_no: held})

    def _write(self, collection: Collection, rows: I64, new: bool) -> int:
        """Write rows of the ids that are live; return how many, fewer where the time for one piece is over."""
        state = self._state
        until = state.clock() + AT_ONCE_S
        for start in range(0, len(rows), ROWS):
            if start and state.clock() > until:
                told = "a gallery of %d templates: %d are still to be written to Milvus"
                _log.info(told, len(self._live), len(rows) - start)
                return start
            if self._board.peers.lead() != self._lead:
                raise LeaseLost
            some = rows[start : start + ROWS]
            ids, vectors = state.truth(self._live[some])  # those that were removed meanwhile are missing there, too
            tags = self._tags[some][np.isin(self._live[some], ids, assume_unique=True)]
            collection.write(ids, tags, state.turn.turned(vectors), new)
        return len(rows)


class SharedComparing(_Leading):
    """Compares the collection with the truth: adds what is missing, has what is extra deleted, or makes another."""

    def __init__(self, state: MilvusState, shared: Shared) -> None:
        super().__init__(state, shared, shared.held)
        # What is removed from now on is deleted afterwards.
        shared.begun, shared.due, state.doomed = shared.board.lead, _NONE, []
        self._request = shared.request
        self._wipe = self._request.wipe > (0 if self._held is None else self._held.compared)
        self._extra, self._surplus, self._whole, self._compacts = _NONE, 0, False, False

    def _speak(self) -> None:
        state, held = self._state, self._held
        collection, new = self._opened()
        found, tags = (_NONE, _NONE) if new else collection.held(self._live)
        same = self._live[np.isin(self._live, found[known(self._live, self._tags, found, tags)], assume_unique=True)]
        if not is_sample_sound(state, collection, same):
            _log.warning("a collection in Milvus holds other vectors than the gallery, and is made anew")
            collection, new = self._another()
            found = same = _NONE
        missing = np.flatnonzero(~np.isin(self._live, same, assume_unique=True))
        if held is not None and held.complete and not new and (self._live[missing] <= held.reach).any():
            self._retire(collection.name)  # Milvus has lost some
        self._extra = np.setdiff1d(found, self._live, assume_unique=True)
        # A server before may have ended between a deletion and its compaction.
        self._compacts = not new and self._shared.led != self._lead
        if self._write(collection, missing, new) < len(missing):
            return
        self._surplus = collection.count() - len(self._live) - len(self._extra)
        end = self._board.peers.end()
        self._publish(Held(collection.name, self._last_id, True, self._request.number, end))
        self._whole = True
        told = "a gallery of %d templates in Milvus: %d were missing or others, %d were extra"
        _log.info(told, len(self._live), len(missing), len(self._extra))
        if state.settings.kind != FLAT:
            told_loss(state, collection, self._live)

    def _take(self) -> None:
        state, shared = self._state, self._shared
        if self._whole and shared.begun == self._lead:
            shared.led = self._lead
            state.doomed += self._extra.tolist()
            state.surplus = self._surplus
            state.uncompacted = state.uncompacted or self._compacts

    def _opened(self) -> tuple[Collection, bool]:
        """Return the collection that is to be filled, and whether it is new."""
        held, shared, size = self._held, self._shared, self._state.turn.size
        if self._wipe:
            return self._another()
        # Where the board knows of none, one may be there all the same.
        names = [held.name] if held is not None else sorted(shared.names(shared.base))
        for name in names:
            collection = shared.named(name)
            if collection.exists():  # made again under this name, it would be searched before it is full
                return collection, collection.open(size, wipe=False)
        return self._another()

    def _another(self) -> tuple[Collection, bool]:
        """Make a collection under a name that no server searches yet."""
        name = f"{self._shared.base}_{secrets.token_hex(4)}"
        self._retire(name)
        collection = self._shared.named(name)
        return collection, collection.open(self._state.turn.size, wipe=False)

    def _retire(self, name: str) -> None:
        self._publish(Held(name, -1, False, self._request.number, self._board.peers.end()))


class SharedWriting(_Leading):
    """Gives Milvus the newest vectors, and deletes what no server can search any more."""

    def __init__(self, state: MilvusState, shared: Shared, held: Held) -> None:
        super().__init__(state, shared, held, held.reach)
        self._of = held
        if not len(shared.due):
            shared.due, shared.due_seq = np.unique(np.array(state.doomed, dtype=np.int64)), -1
            state.doomed = []
        # A server that has lost the lease may have written what this one learns of only now.
        shared.due = np.setdiff1d(shared.due, state.live.ids[state.live.allowed(shared.due)], assume_unique=True)
        self._deleted = False

    def _speak(self) -> None:
        shared, held = self._shared, self._of
        collection = shared.named(held.name)
        peers = self._board.peers
        if len(shared.due):
            if shared.due_seq < 0:
                shared.due_seq = peers.end()
            if peers.all_have(shared.due_seq):
                collection.delete(shared.due)
                self._deleted = True
        if len(self._live):
            written = self._write(collection, np.arange(len(self._live)), new=False)
            last = self._last_id if written == len(self._live) else int(self._live[written - 1])
            self._publish(Held(held.name, last, True, held.compared, peers.end()))

    def _take(self) -> None:
        state, shared = self._state, self._shared
        if self._deleted:
            shared.due, state.uncompacted = _NONE, True
        # Other galleries have their turn, and other servers time to follow.
        state.again_at = state.clock() + _SETTLED_S


class SharedWatching(_Leading):
    """Compares Milvus' count with the truth, and stops the searches of all servers if Milvus has lost some."""

    def __init__(self, state: MilvusState, shared: Shared, held: Held) -> None:
        super().__init__(state, shared, held, state.last_id)
        self._of = held
        self._expected = state.live.size + state.surplus
        self._differs = False

    def _speak(self) -> None:
        counted = self._state.collection.count()
        self._differs = counted != self._expected
        if counted < self._expected:
            self._publish(replace(self._of, complete=False))

    def _take(self) -> None:
        if self._differs:
            _log.warning("Milvus does not hold as many vectors as it was given: they are compared")
            self._shared.led = 0
