"""Follows what other servers on the same database have committed, and brings the memories up to date with it.

The memories are at the version of a snapshot after each step. Added templates are read from the store and removed ones
from the log of changes. Where the log does not lead from the memory to the snapshot, or the number of templates is not
that of the gallery, the gallery is read anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from fr_core.errors import ErasureUnconfirmed, FrError, ReplicaBehind, ShuttingDown, StoreCorrupt, StoreFailed, message
from fr_core.gallery.effects import AddedVector
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.change_log import changes_between, end_of, versions
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.integrity import vectors_of
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow
from fr_core.storage.driver_errors import DriverError, driver_errors
from fr_core.storage.members import LASTS_S, Members
from fr_core.storage.protocol import DriverConnection
from fr_core.storage.terms import Term

_log = logging.getLogger(__name__)

# Vectors that are read at a time: 8 MiB at D = 512.
_ROWS = 4096
# A server that died is known to be dead after a little more than a term.
_CONFIRMED_S = 1.5 * LASTS_S
_AGAIN_S = 0.05

SCOPE = "galleries"
"""The scope in `Members`: a server notes under it the number of the last change in its memories."""


class Follower:
    """A thread that follows the store, until closed.

    Args:
        members: the servers of the database; searches are answered only within a term of this one, after the memories
            have what was committed before it began.
        every_s: how often it looks for changes; also whenever `Memories.hurry` is called.
    """

    def __init__(self, store: GalleryStore, memories: Memories, members: Members, every_s: float) -> None:
        self._store = store
        self._memories = memories
        self._members = members
        self._every_s = every_s
        self._noted: tuple[int | None, int] = (None, 0)  # a term, and the last change that the memories had in it
        self._link: DriverConnection | None = None
        self._closing = False
        self._soon = threading.Event()
        self._failing = ""
        self._thread = threading.Thread(target=self._work, name="gallery-follower", daemon=True)
        memories.hurry = self._soon.set
        memories.require_term = self.require_term

    def start(self) -> None:
        """Follow from now on; raises as `follow`."""
        self.follow()
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new; work in progress continues."""
        self._closing = True
        self._soon.set()

    def close(self) -> None:
        """End the thread; harmless when done twice."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._let_go()

    def follow(self) -> None:
        """Bring the memories to the newest version of the store.

        Raises `StoreFailed`: the database fails; the memories are at earlier versions, each whole.
        """
        term = self._members.term
        # The snapshot comes after the lock: it then has every commit that was copied to the memories.
        with self._memories.changing(), self._snapshot() as snapshot:
            seq = end_of(snapshot).seq
            if seq != self._memories.seq:
                self._bring_all(snapshot)
                self._memories.seq = seq
        if term is not None and self._noted != (term, seq):
            self._members.note(SCOPE, seq)
            self._members.flush()
            self._noted = term, seq

    def require_term(self) -> Term:
        """Return the present term.

        Raises `ReplicaBehind` outside of a term, and before it is caught up; `ShuttingDown` after `stop`.
        """
        ends_s, term = self._members.ends_s, self._members.term  # if a term begins in between, the end of the last one
        if self._closing:
            raise ShuttingDown(message("error.storage.closed", schema=self._store.database.schema.name))
        if term is None or term != self._noted[0]:
            raise ReplicaBehind(message("error.gallery.replica_cut_off"))
        return Term(term, ends_s)

    def wait_for_all(self, seq: int) -> None:
        """Wait until every server that may answer has the changes up to a number, this one among them.

        Raises `ErasureUnconfirmed`: one does not get them, nor is it gone, in more than the time that a term lasts.
        """
        until_s = time.monotonic() + _CONFIRMED_S
        while True:
            self._soon.set()
            if self.all_have(seq):
                return
            if time.monotonic() >= until_s:
                raise ErasureUnconfirmed(message("error.gallery.erasure_unconfirmed"))
            time.sleep(_AGAIN_S)

    def all_have(self, seq: int) -> bool:
        """Return whether every server that may answer has the changes up to a number; False if the database fails.

        One that has noted nothing yet still reads the galleries. Its first search comes later, and so sees the changes.
        """
        with suppress(StoreFailed):
            return not any(SCOPE in member.applied for member in self._members.behind(SCOPE, seq))
        return False

    def applied_by_all(self) -> int:
        """Return the number up to which every server has the changes; raises `StoreFailed`."""
        return min((member.applied.get(SCOPE, 0) for member in self._members.members()), default=0)

    def _work(self) -> None:
        while not self._closing:
            self._soon.wait(self._every_s)
            self._soon.clear()
            try:
                self.follow()
            # The next time may be better; until then, searches that need a newer version are refused.
            except Exception as error:  # noqa: BLE001 - the boundary of the thread
                told = error.reason if isinstance(error, FrError) else type(error).__name__
            else:
                told = ""
            if told != self._failing:
                _log.warning("the changes of other servers are %s", f"not followed: {told}" if told else "followed")
                self._failing = told

    def _bring_all(self, snapshot: Snapshot) -> None:
        there = versions(snapshot)
        for gallery_no in self._memories.numbers() - there.keys():
            self._memories.drop(gallery_no)
        for gallery_no, version in there.items():
            memory = self._memories.held(gallery_no)
            if memory is None or (memory.version != version and not memory.broken):
                try:
                    self._bring(snapshot, snapshot.gallery_of_no(gallery_no), memory)
                except StoreCorrupt as error:
                    self._memories.refuse(gallery_no)
                    _log.error("the changes of a gallery cannot be followed: %s", error.reason)

    def _bring(self, snapshot: Snapshot, row: GalleryRow, memory: GalleryMemory | None) -> None:
        if self._memories.is_refused(row.gallery_no):
            return
        if memory is None or not _brought(snapshot, row, memory):
            self._read(snapshot, row)

    def _read(self, snapshot: Snapshot, row: GalleryRow) -> None:
        self._memories.drop(row.gallery_no)
        memory = self._memories.unlisted(row.gallery_no, row.info.embedding_size, row.info.version)
        for stored in vectors_of(snapshot, snapshot.vault, row, 0, _ROWS):
            memory.load(stored)
            while memory.keep_up():
                pass
        if memory.index.size != row.info.template_count:
            raise StoreCorrupt(message("error.gallery.gallery_does_not_hold"), check="template_count")
        self._memories.put(row.gallery_no, memory)

    @contextmanager
    def _snapshot(self) -> Iterator[Snapshot]:
        """Read over a connection of its own: those of the pool may all wait for the follower."""
        database = self._store.database
        with driver_errors():
            try:
                self._link = self._link or database.new_reader()
                self._link.execute("BEGIN")
                yield Snapshot(self._link, database.vault)
                self._link.execute("ROLLBACK")
            except BaseException:
                self._let_go()
                raise

    def _let_go(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with suppress(*DriverError):
                link.close()


def _brought(snapshot: Snapshot, row: GalleryRow, memory: GalleryMemory) -> bool:
    """Bring a memory to the version of a snapshot; False where that needs all vectors anew."""
    changes = changes_between(snapshot, row.gallery_no, memory.version, row.info.version)
    if changes is None:
        return False
    firsts = [change.first_template for change in changes if change.first_template is not None]
    added = [
        AddedVector(template_id, subject_no, vector)
        for stored in (vectors_of(snapshot, snapshot.vault, row, min(firsts), _ROWS) if firsts else ())
        for template_id, subject_no, vector in zip(
            stored.template_ids.tolist(), stored.subject_nos.tolist(), stored.vectors, strict=True
        )
    ]
    named = np.unique(np.array([one for change in changes for one in change.removed], dtype=np.int64))
    removed = named[memory.holds(named)].tolist()  # the others came and went in between
    if memory.index.size + len(added) - len(removed) != row.info.template_count:
        return False
    memory.change(row.info.version, added, removed)
    return True
