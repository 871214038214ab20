"""Follows the other servers of a database, and does the jobs that only one server may do."""

from __future__ import annotations

import time
from contextlib import ExitStack

from fr_core import __version__
from fr_core.errors import ErasureUnconfirmed, StoreFailed, message
from fr_core.gallery.changes import PruneLog
from fr_core.gallery.search.following import Follower
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.store.change_log import end_of
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.writer import Writer
from fr_core.storage.duties import Duties
from fr_core.storage.location import Postgres
from fr_core.storage.members import Heartbeat, Itself, Members
from fr_core.storage.opening import open_members

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
