"""From the store to the memory: every vector read, checked and indexed before the first search."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from fr_core.errors import StoreCorrupt, message
from fr_core.gallery.search.memory import GalleryMemory, Memories
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.values import GalleryRow

_log = logging.getLogger(__name__)

# Vectors that are read at a time: 8 MiB at D = 512.
_ROWS = 4096
_TELL_EVERY_S = 2.0


def load(store: GalleryStore, memories: Memories, on_block: Callable[[], None]) -> None:
    """Fill empty memories with every vector of a store, and check that galleries hold what they say that they hold.

    `on_block`: called for each block of vectors; what it raises ends the loading.

    Raises `StoreCorrupt`: what is stored is damaged or contradicts itself; `StoreFailed`: the disk refuses.
    """
    begun = time.monotonic()
    rows = _gallery_rows(store)
    by_no = {row.gallery_no: memories.create(row.gallery_no, row.info.embedding_size, row.info.version) for row in rows}
    templates = sum(row.info.template_count for row in rows)
    _read(store, by_no, templates, on_block)
    for row in rows:
        if by_no[row.gallery_no].index.size != row.info.template_count:
            raise StoreCorrupt(message("error.gallery.gallery_does_not_hold"), check="template_count")
    read_s = time.monotonic() - begun
    for memory in by_no.values():
        while memory.keep_up():
            on_block()
    memories.filled()
    indexed_s = time.monotonic() - begun - read_s
    _log.info(
        "%d galleries with %d templates: read in %.1f s, indexed in %.1f s", len(rows), templates, read_s, indexed_s
    )


def _gallery_rows(store: GalleryStore) -> tuple[GalleryRow, ...]:
    rows: tuple[GalleryRow, ...] = ()
    with store.snapshot() as snapshot:
        while page := snapshot.galleries(rows[-1].info.gallery_id if rows else "", 1000):
            rows += page
    return rows


def _read(
    store: GalleryStore, memories: dict[int, GalleryMemory], templates: int, on_block: Callable[[], None]
) -> None:
    told, read = time.monotonic(), 0
    adding: Future[None] | None = None
    with ThreadPoolExecutor(1, "gallery-loading") as pool:
        for stored in store.vectors(_ROWS):
            on_block()
            if adding is not None:
                adding.result()
            adding = pool.submit(memories[stored.gallery_no].load, stored)
            read += len(stored.template_ids)
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                _log.info("%d of %d templates read", read, templates)
        if adding is not None:
            adding.result()
