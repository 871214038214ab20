"""Follows the other servers of a database, and does the jobs that only one server may do."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from contextlib import ExitStack

from fr_core import __version__
from fr_core.errors import ErasureUnconfirmed, StoreFailed, message
from fr_core.gallery.changes import PruneLog
from fr_core.gallery.index.protocol import IndexPeers
from fr_core.gallery.search.following import Follower
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.store.change_log import end_of, versions
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.writer import Writer
from fr_core.storage.duties import Duties
from fr_core.storage.leases import LASTS_S, Hold, Leases, hold
from fr_core.storage.location import Postgres
from fr_core.storage.members import Heartbeat, Itself, Members
from fr_core.storage.opening import open_members, open_values
from fr_core.storage.shelf import Values

_log = logging.getLogger(__name__)

_PRUNE_EVERY_S = 60.0


class Replica:
    """One server of the galleries in a database; `start` it once the memories are loaded.

    Args:
        members: the servers of the database, this one among them; None = it registers by itself, as a command does.

    Attributes:
        alone: as `Duties.alone`, for the jobs that one server does for all.

    Raises `StoreNewer`, `StoreFailed`.
    """

    def __init__(self, server: Postgres, store: GalleryStore, memories: Memories, members: Members | None) -> None:
        self._store = store
        self._next_prune_s = time.monotonic() + _PRUNE_EVERY_S
        with ExitStack() as opened:
            if members is None:
                members = open_members(server, Itself("", "", __version__))
                opened.callback(members.close)
                opened.callback(Heartbeat(members).close)
            duties = Duties(members.leases)
            opened.callback(duties.close)
            self.alone = duties.alone
            self._follower = Follower(store, memories, members, server.follow_interval_s)
            opened.callback(self._follower.close)
            if memories.remote_state is not None:
                values = open_values(server)
                opened.callback(values.close)
                peers = _Peers(store, memories, members.leases, self._follower, values)
                opened.callback(peers.close)
                memories.share(peers)
            self._opened = opened.pop_all()
        memories.longest_s = server.follow_timeout_s

    def start(self) -> None:
        """Allow searches, and follow the others from now on; raises `StoreFailed`."""
        self._follower.start()

    def close(self) -> None:
        """Stop following; harmless when done twice."""
        self._opened.close()

    def confirm(self) -> None:
        """Wait until no server searches what has been deleted up to now.

        Raises `ErasureUnconfirmed`: a server that may answer does not follow, or the database fails now.
        """
        try:
            with self._store.snapshot() as snapshot:
                seq = end_of(snapshot).seq
        except StoreFailed as error:  # which says that nothing was stored
            raise ErasureUnconfirmed(message("error.gallery.erasure_unconfirmed")) from error
        self._follower.wait_for_all(seq)

    def prune_sometimes(self, writer: Writer) -> None:
        """Delete, once in a while, what every server has applied from the log of changes; raises `StoreFailed`."""
        if time.monotonic() >= self._next_prune_s:
            self._next_prune_s = time.monotonic() + _PRUNE_EVERY_S
            upto = self._follower.applied_by_all()
            self.alone("prune_changes", lambda: writer.run(PruneLog(upto)))()


class _Peers:
    """The other servers, as the indexes on a server of their own need them; see `IndexPeers`."""

    def __init__(
        self, store: GalleryStore, memories: Memories, leases: Leases, follower: Follower, values: Values
    ) -> None:
        self._store = store
        self._memories = memories
        self._leases = leases
        self._follower = follower
        self._values = values
        self._named = b"index " + store.database.vault.derived("shared index")[:16]
        self._hold: Hold | None = None
        self._told = False  # that another server writes
        self._closed = False

    @property
    def seq(self) -> int:
        return self._memories.seq

    def end(self) -> int:
        with self._store.snapshot() as snapshot:
            return end_of(snapshot).seq

    def all_have(self, seq: int) -> bool:
        return self._follower.all_have(seq)

    def galleries(self) -> Collection[int]:
        with self._store.snapshot() as snapshot:
            return versions(snapshot).keys()

    def lead(self) -> int:
        if self._hold is not None and not self._hold.is_held:
            self.let_go()
        if self._hold is None and not self._closed:
            self._hold = hold(self._leases, "index", LASTS_S)
            self._tell_holder()
        return 0 if self._hold is None else self._hold.number

    def _tell_holder(self) -> None:
        """Log once that another server writes, so a start that waits for a dead one says so."""
        holder = "" if self._told or self._hold is not None else self._leases.holders().get("index", "")
        if holder:
            told = "The server %s writes to Milvus. If it has died, another one writes after %d seconds at most"
            _log.info(told, holder, LASTS_S)
        self._told = self._hold is None and (self._told or bool(holder))

    def let_go(self) -> None:
        held, self._hold = self._hold, None
        if held is not None:
            held.end()

    def get(self, name: str) -> tuple[bytes, int] | None:
        found = self._values.get(self._named + name.encode())
        return None if found is None else (found.value, found.version)

    def put(self, name: str, value: bytes, version: int, lasts_s: float) -> bool:
        return bool(self._values.put(self._named + name.encode(), value, version, lasts_s, lasts_s))

    def close(self) -> None:
        self._closed = True
        self.let_go()


_IMPLEMENTS: type[IndexPeers] = _Peers
