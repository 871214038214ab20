"""A search comes to its end, however often its gallery changes, and never sees a part of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import Enrolled, Enrolment, NewTemplate
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
KEY = KeyEncryptionKey(bytes(range(32)))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = 8
SOON = 0.2  # seconds after which a change that has not come is taken to wait
LONG = 10.0  # seconds after which a test has failed


def embedding(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(SIZE)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


def test_who_prepares_for_longer_than_the_time_between_two_changes_is_overtaken_once(tmp_path: Path) -> None:
    """Control: where the memory is not held while it is prepared for the second time, there is a third, and so on."""
    versions: list[int] = []

    def prepare(snapshot: Snapshot, row: GalleryRow) -> Callable[[GalleryMemory], tuple[int, int]]:
        versions.append(row.info.version)
        if len(versions) > 4:
            pytest.fail("it never comes to search")
        change = pool.submit(galleries.enrol, "g", Enrolment("s", NewTemplate(embedding(row.info.version))))
        changes.append(change)
        wait([change], SOON if len(versions) > 1 else LONG)
        return lambda memory: (row.info.template_count, memory.index.size)

    changes: list[Future[Enrolled]] = []
    with (
        Galleries(GalleryStore(tmp_path, KEY), index="numpy", clock=lambda: NOW) as galleries,
        ThreadPoolExecutor(4) as pool,
    ):
        galleries.load()
        galleries.create("g", "", MODEL, SIZE)
        with galleries._views.at_one_version("g", prepare) as (snapshot, row, found):
            assert versions == [1, 2]
            assert (row.info.version, found) == (2, (1, 1))
            assert snapshot.gallery("g") == row
            changes[-1].result(LONG)  # the writer waited for the search alone
        assert galleries.get("g").template_count == 2


def test_nothing_is_searched_before_it_is_loaded(tmp_path: Path) -> None:
    with Galleries.open(tmp_path / "data", index="numpy") as galleries:
        galleries.create("g", "", MODEL, SIZE)
    with Galleries.open(tmp_path / "data", index="numpy", load=False) as galleries:
        with pytest.raises(RuntimeError, match="not loaded"):
            galleries.search("g", embedding(0), 1, 0.0)
        galleries.load()
        assert galleries.search("g", embedding(0), 1, 0.0).identification.candidates == ()
