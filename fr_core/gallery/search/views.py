"""The store and the memory of a gallery, seen together at one version."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import TypeVar

from fr_core.gallery.changes import require_open
from fr_core.gallery.search.memory import GalleryMemory, Memories
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.known import known_gallery
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import GalleryRef

T = TypeVar("T")

Prepare = Callable[[Snapshot, GalleryRow], Callable[[GalleryMemory], T]]
"""Reads from a snapshot, and returns the work on the memory of the same version."""


class Views:
    """Gives views of galleries. `now`: gives the time, UTC."""

    def __init__(self, store: GalleryStore, memories: Memories, now: Callable[[], datetime]) -> None:
        self._store = store
        self._memories = memories
        self._now = now
        self._turn = threading.Lock()

    def require_open(self, row: GalleryRow) -> None:
        """Raise `GalleryExpired` if the time of a gallery has passed."""
        require_open(row, self._now())

    @contextmanager
    def at_one_version(
        self, gallery: GalleryRef, prepare: Prepare[T], in_turn: bool = False
    ) -> Iterator[tuple[Snapshot, GalleryRow, T]]:
        """Do something with a snapshot and the memory of its version; yields what came of it, with the snapshot.

        The memory is held still while it is searched, not within the block, and not for `prepare` at first. Where the
        gallery has changed during that, `prepare` runs again while the memory is held, and the writer waits for it:
        who prepares for longer than the time between two changes would else never come to search.

        `in_turn`: one view of this kind at a time, for those that read much; it waits before it holds a snapshot.
        """
        with self._turn if in_turn else nullcontext():
            overtaken = False
            while True:
                changes = self._memories.changes
                # `GalleryStore.snapshot` would read something at once; here that is the row of the gallery.
                with self._store.database.reading_as(Snapshot) as snapshot:
                    row = known_gallery(snapshot, gallery)
                    search = None if overtaken else prepare(snapshot, row)
                    memory = self._memories.get(row.gallery_no)
                    if memory is not None:
                        with memory.at(row.info.version) as exact:
                            found = (search or prepare(snapshot, row))(memory) if exact else None
                        if exact:
                            assert found is not None
                            yield snapshot, row, found
                            return
                        overtaken = True
                if memory is None:  # created or deleted this very moment: the memory is about to follow
                    self._memories.wait_beyond(changes)
