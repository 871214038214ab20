"""Reads every vector before the first search, and keeps the galleries in order beside searches and changes."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from weakref import WeakSet

from fr_core.errors import FrError, ShuttingDown, StoreCorrupt, message
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.change_log import end_of
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.integrity import read_vectors
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow, StoredVectors

# Vectors that are read at a time: 8 MiB at D = 512.
_ROWS = 4096
_TELL_EVERY_S = 2.0


def load(store: GalleryStore, memories: Memories, on_block: Callable[[], None]) -> None:
    """Fill empty memories with every vector of a store, and check that galleries hold what they say that they hold.

    `on_block`: called for each block of vectors; what it raises ends the loading.

    Raises `StoreCorrupt`: what is stored is damaged or contradicts itself; `StoreFailed`: the disk refuses.
    """
    begun = time.monotonic()
    with store.examining() as snapshot:
        rows = _gallery_rows(snapshot)
        by_no = {
            row.gallery_no: memories.create(row.gallery_no, row.info.embedding_size, row.info.version) for row in rows
        }
        templates = sum(row.info.template_count for row in rows)
        memories.seq = end_of(snapshot).seq
        _read(read_vectors(snapshot, snapshot.vault, _ROWS), by_no, templates, on_block)
    for row in rows:
        if by_no[row.gallery_no].index.size != row.info.template_count:
            raise StoreCorrupt(message("error.gallery.gallery_does_not_hold"), check="template_count")
    read_s = time.monotonic() - begun
    memories.begin_upkeep()
    for memory in by_no.values():
        while memory.keep_up():
            on_block()
    memories.allow_searches()
    indexed_s = time.monotonic() - begun - read_s
    _log.info(
        "%d galleries with %d templates: read in %.1f s, indexed in %.1f s", len(rows), templates, read_s, indexed_s
    )


def _gallery_rows(snapshot: Snapshot) -> tuple[GalleryRow, ...]:
    rows: tuple[GalleryRow, ...] = ()
    while page := snapshot.galleries(rows[-1].info.gallery_id if rows else "", 1000):
        rows += page
    return rows


def _read(
    vectors: Iterable[StoredVectors], memories: dict[int, GalleryMemory], templates: int, on_block: Callable[[], None]
) -> None:
    told, read = time.monotonic(), 0
    adding: Future[None] | None = None
    with ThreadPoolExecutor(1, "gallery-loading") as pool:
        for stored in vectors:
            on_block()
            if adding is not None:
                adding.result()
            adding = pool.submit(_add, memories[stored.gallery_no], stored)
            read += len(stored.template_ids)
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                _log.info("%d of %d templates read", read, templates)
        if adding is not None:
            adding.result()


def _add(memory: GalleryMemory, stored: StoredVectors) -> None:
    memory.load(stored)
    # At once: what comes later gets its codes while others are read, and takes less memory from the beginning.
    while memory.keep_up():
        pass


_log = logging.getLogger(__name__)

# How often the indexes are asked for work, which is cheap.
_EVERY_S = 1.0
_PURGE_EVERY_S = 3600.0
_PURGE_FAILED = "what has expired could not be purged"


class Keeper:
    """Does the upkeep of all indexes, one piece after the other, and purges every hour, until closed.

    Args:
        purge: deletes some of what has expired; false where there is no more.
        catch_up: does what a call left to be done, and is cheap where there is nothing.
    """

    def __init__(self, memories: Memories, purge: Callable[[], object], catch_up: Callable[[], object]) -> None:
        self._memories = memories
        self._purge = purge
        self._catch_up = catch_up
        self._failed: WeakSet[GalleryMemory] = WeakSet()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="gallery-upkeep", daemon=True)

    def start(self, on_step: Callable[[], None] = lambda: None) -> None:
        """Purge, and go on from then.

        `on_step`: called after each step of the purge; what it raises ends it, and nothing was started.
        """
        while self._do(self._purge, _PURGE_FAILED):
            on_step()
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new; what is under way goes on."""
        self._closing.set()

    def close(self) -> None:
        """Finish the piece of work that is under way, and end the thread; harmless when done twice."""
        self.stop()
        if self._thread.is_alive():  # it was never started where the first purge was ended
            self._thread.join()

    def _work(self) -> None:
        next_purge = time.monotonic() + _PURGE_EVERY_S
        while not self._closing.wait(_EVERY_S):
            for memory in self._memories:
                if memory not in self._failed:
                    self._keep_up(memory)
            self._do(self._catch_up, "what was deleted could not be overwritten")
            if time.monotonic() >= next_purge:
                while not self._closing.is_set() and self._do(self._purge, _PURGE_FAILED):
                    pass
                next_purge = time.monotonic() + _PURGE_EVERY_S

    def _keep_up(self, memory: GalleryMemory) -> None:
        begun = time.monotonic()
        try:
            while not self._closing.is_set() and memory.keep_up():
                _log.info("an index of %d templates kept in order, %.1f s", memory.index.size, time.monotonic() - begun)
                begun = time.monotonic()
        # Where a piece was being prepared, the index goes on as it is, slower or larger than it could be. Where it was
        # being put in, half of the index may be missing, and the gallery refuses to be searched.
        except Exception as error:  # noqa: BLE001
            self._failed.add(memory)
            left = "its gallery is not searched" if memory.broken else "it is left as it is"
            _log.error("the upkeep of an index failed, and %s until a restart: %s", left, type(error).__name__)

    def _do(self, work: Callable[[], object], failed: str) -> bool:
        try:
            return bool(work())
        except ShuttingDown:
            return False
        # The next time may be better; and whatever it is, the thread goes on with the indexes.
        except Exception as error:  # noqa: BLE001
            told = error.reason if isinstance(error, FrError) else type(error).__name__
            _log.error("%s: %s", failed, told)
            return False
