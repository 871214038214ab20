"""Reads exact vectors from the store, for indexes that keep none in memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.types import F32, I64


class Truth:
    """The vectors of a store: in the snapshot that a thread searches in, or as they are now."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store
        self._here = threading.local()

    @contextmanager
    def within(self, snapshot: Snapshot) -> Iterator[None]:
        """Have this thread read the snapshot within the block, so that it sees the version that it searches."""
        self._here.snapshot = snapshot
        try:
            yield
        finally:
            del self._here.snapshot

    def vectors(self, gallery_no: int, template_ids: I64) -> tuple[I64, F32]:
        """Return, of a gallery's templates i64[n], those that are stored: ids i64[m] ascending, vectors f32[m, D]."""
        snapshot = getattr(self._here, "snapshot", None)
        if snapshot is not None:
            return _read(snapshot, gallery_no, template_ids)
        with self._store.snapshot() as now:
            return _read(now, gallery_no, template_ids)


def _read(snapshot: Snapshot, gallery_no: int, template_ids: I64) -> tuple[I64, F32]:
    stored = snapshot.vectors(gallery_no, template_ids)
    return stored.template_ids, stored.vectors
