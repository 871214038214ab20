"""The thread that keeps galleries in order goes on, whatever one piece of its work does."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.errors import FrError, InternalError, ShuttingDown, StoreCorrupt, StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.numpy_scan import NumpyIndex
from fr_core.gallery.search import upkeep
from fr_core.gallery.search.memory import Memories
from fr_core.gallery.search.upkeep import Keeper
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage import log_copier
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), MemoryError("Jane Roe")])
def test_a_purge_that_fails_is_logged_and_tried_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "_PURGE_EVERY_S", 0.0)
    tried, again = [], threading.Event()

    def purge() -> None:
        tried.append(1)
        if len(tried) > 3:
            again.set()
        raise error

    keeper = Keeper(Memories("numpy"), purge, lambda: None)
    keeper.start()
    assert again.wait(10)
    keeper.close()
    keeper.close()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told[0] in (
        "what has expired could not be purged: STORE_FAILED",
        "what has expired could not be purged: MemoryError",
    )
    assert "Jane Roe" not in caplog.text


@pytest.mark.parametrize(("half", "told"), [(False, "it is left as it is"), (True, "its gallery is not searched")])
def test_an_upkeep_that_fails_is_left_and_its_gallery_searched_where_nothing_was_changed(
    half: bool, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def prepare(self) -> None:
            if not half:
                raise MemoryError("Jane Roe")

        def finish(self) -> None:
            raise MemoryError("Jane Roe")

    monkeypatch.setattr(NumpyIndex, "upkeep", lambda _: Failing())
    memories = Memories("numpy")
    memory = memories.create(1, 4, 1)
    keeper = Keeper(memories, lambda: False, lambda: None)
    keeper._keep_up(memory)
    assert [record.getMessage() for record in caplog.records] == [
        f"the upkeep of an index failed, and {told} until a restart: MemoryError"
    ]
    if half:
        with pytest.raises(InternalError), memory.at(1):
            pass
    else:
        with memory.at(1) as exact:
            assert exact


def test_a_purge_ends_when_it_is_told_to() -> None:
    begun = threading.Event()

    def without_end() -> bool:
        begun.set()
        return True

    def stop() -> None:
        raise ShuttingDown("The server is stopping.")

    keeper = Keeper(Memories("numpy"), without_end, lambda: None)
    with pytest.raises(ShuttingDown):
        keeper.start(stop)
    keeper.close()


def test_a_purge_ends_with_its_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "_PURGE_EVERY_S", 0.0)
    steps = []

    def without_end() -> bool:
        steps.append(1)
        if len(steps) > 100:
            keeper.stop()
        assert len(steps) < 10_000, "it goes on"
        return len(steps) > 1  # the purge at the start finds nothing

    keeper = Keeper(Memories("numpy"), without_end, lambda: None)
    keeper.start()
    keeper._thread.join(10)
    assert len(steps) == 101


@pytest.fixture
def clock() -> list[datetime]:
    return [datetime(2026, 1, 1, tzinfo=UTC)]


def opened(folder: Path, clock: list[datetime], load: bool = True) -> Galleries:
    return Galleries.open(folder / "data", index="numpy", clock=lambda: clock[0], load=load)


def enrol(galleries: Galleries, *subject_ids: str) -> None:
    for number, subject_id in enumerate(subject_ids):
        vector = np.eye(8, dtype=np.float32)[number]
        galleries.enrol("g", Enrolment(subject_id, NewTemplate(Embedding(vector, MODEL))))


def test_the_purge_at_the_start_ends_between_two_steps_when_it_is_told_to(
    tmp_path: Path, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, clock) as galleries:
        galleries.create("g", "", MODEL, 8, retention=timedelta(hours=1))
        enrol(galleries, "a", "b", "c", "d")
    clock[0] += timedelta(hours=2)
    monkeypatch.setattr("fr_core.gallery.galleries._PURGED_AT_ONCE", 1)
    counts = []

    def stop() -> None:
        counts.append(galleries.get("g").template_count)
        if counts[-1] == 2:
            raise ShuttingDown("The server is stopping.")

    with opened(tmp_path, clock, load=False) as galleries, pytest.raises(ShuttingDown):
        galleries.load(stop)
    assert counts[-2:] == [3, 2]
    with opened(tmp_path, clock) as galleries:
        assert galleries.get("g").template_count == 0


def test_closing_does_not_wait_for_who_reads(
    tmp_path: Path, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    galleries = opened(tmp_path, clock)
    galleries.create("g", "", MODEL, 8)
    enrol(galleries, "a")
    with closing(apsw.Connection(str(tmp_path / "data" / DATABASE_NAME))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM galleries").fetchall()
        galleries.delete_subject("g", "a")
        galleries._owes_scrub = True
        time.sleep(0.1)
        begun = time.monotonic()
        galleries.close()
    assert time.monotonic() - begun < log_copier._SCRUB_S / 2


def test_what_the_process_before_could_not_overwrite_is_overwritten_when_nobody_reads_any_more(
    tmp_path: Path, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    log = tmp_path / "data" / f"{DATABASE_NAME}-wal"
    with opened(tmp_path, clock) as galleries:
        galleries.create("g", "", MODEL, 8)
        reader = apsw.Connection(str(tmp_path / "data" / DATABASE_NAME))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM galleries").fetchall()
        enrol(galleries, "a")
    with closing(reader), opened(tmp_path, clock):
        assert log.stat().st_size > 0  # the control
        reader.execute("COMMIT")
        for _ in range(500):
            if log.stat().st_size == 0:
                break
            time.sleep(0.02)
        assert log.stat().st_size == 0


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), StoreCorrupt("It is damaged."), ShuttingDown("")])
def test_an_erasure_has_its_receipt_and_is_overwritten_later_whatever_keeps_it_from_that(
    error: FrError, tmp_path: Path, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 3600.0)
    asked = []

    def empty(_: float | None) -> None:
        asked.append(1)
        if len(asked) in (1, 3):
            raise error
        if len(asked) == 2:  # while this one is overwritten, another erasure cannot be
            assert not galleries.erase_subject("g", "b").scrubbed

    with opened(tmp_path, clock) as galleries:
        galleries.create("g", "", MODEL, 8)
        enrol(galleries, "a", "b")
        galleries._catch_up()
        monkeypatch.setattr(galleries._store.database.log, "empty", empty)
        galleries._catch_up()  # nothing is owed
        erased = galleries.erase_subject("g", "a")
        assert (erased.templates, erased.scrubbed, len(asked)) == (1, False, 1)
        for asked_for in (3, 4, 4):
            galleries._catch_up()
            assert len(asked) == asked_for


def test_a_keeper_that_was_never_started_can_be_closed() -> None:
    Keeper(Memories("numpy"), lambda: None, lambda: None).close()
