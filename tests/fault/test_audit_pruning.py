"""Pruning loses no record before it is archived, even if processes are killed or disks are full."""

import multiprocessing
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_core.storage import durable
from fr_core.storage.audit.values import Entry
from fr_core.storage.audit.verify import Broken, Verified, verify
from fr_core.storage.connection import open_to_read
from fr_server.jobs.pruning import Pruning
from fr_server.storage.audits import LocalAudit
from fr_trust.access.store import AccessStore
from fr_trust.audit import export as segment
from fr_trust.audit.export import export, verify_export
from support.access import KEY
from support.audits import DAY_MS, Clock, an_entry
from support.counts import count
from support.full_disk import CountedDisk
from support.secured import figure

KILLS = count("AUDIT_PRUNING_KILLS")
RECORDS = 20  # that each process makes in a day


def entries(number: int, rng: random.Random) -> list[Entry]:
    return [an_entry(rng, number) for _ in range(RECORDS)]


def pruning_of(store: AccessStore, folder: Path, clock: Callable[[], int], archived: bool = True) -> Pruning:
    archive = folder / "archive"
    archive.mkdir(exist_ok=True)
    return Pruning({"access": LocalAudit(store)}, 1, archive if archived else None, clock)


def until_killed(folder: Path, ready: Event) -> None:
    clock, rng = Clock(), random.Random()
    with AccessStore.open(folder, KEY, clock) as store, patch.object(segment, "MOST_RECORDS", 25):
        pruning = pruning_of(store, folder, clock)
        for number in range(1_000_000):
            with store.auditing() as audit:
                clock.ms = max(clock.ms, audit.head().at_ms)
            store.record(entries(number, rng)).result()
            clock.ms += DAY_MS
            pruning.prune()
            if number == 1:
                ready.set()
            time.sleep(0.03)  # so that whichever prunes keeps up with both


def archived_lines(folder: Path) -> Iterator[bytes]:
    for path in sorted((folder / "archive").glob("*.jsonl")):
        yield from path.read_bytes().splitlines(keepends=True)


def chain_of(store: AccessStore, folder: Path) -> Verified | Broken:
    with store.auditing() as audit:
        lines = chain(archived_lines(folder), export(audit))
        return verify_export(lines, audit.public_key(), may_continue=True)


def test_processes_that_are_killed_leave_one_chain(tmp_path: Path) -> None:
    rng, pruned, forked = random.Random(1), 0, multiprocessing.get_context("fork")
    for _ in range(KILLS):
        ready = [forked.Event() for _ in range(2)]
        processes = [forked.Process(target=until_killed, args=(tmp_path, one)) for one in ready]
        for process in processes:
            process.start()
        assert all(one.wait(60) for one in ready)
        time.sleep(rng.random() * 0.2)
        for process in processes:
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
        with AccessStore.open(tmp_path, KEY, Clock()) as store:
            with store.auditing() as audit:
                found, head, pruned = verify(audit), audit.head(), audit.pruned().upto
            assert found == Verified(head.chain_id, head.seq - pruned, head.seq, 0)
            assert chain_of(store, tmp_path) == Verified(head.chain_id, head.seq, head.seq, 1)
    assert pruned > RECORDS * KILLS
    figure("records pruned by processes that were killed", pruned)


def fill(store: AccessStore, clock: Clock, rng: random.Random) -> None:
    for number in range(10_000):
        clock.ms += DAY_MS // 20
        store.record(entries(number, rng)).result(10)


def test_a_full_disk_is_pruned_as_soon_as_it_has_some_room(tmp_path: Path) -> None:
    disk, clock, rng = CountedDisk(), Clock(), random.Random(1)
    with AccessStore.open(tmp_path / "store", KEY, clock, vfs=disk.vfs_name) as store:
        with pytest.raises(StoreFailed):
            fill(store, clock, rng)
        with store.auditing() as audit:
            full = audit.head().seq
        pruning = pruning_of(store, tmp_path, clock)
        with pytest.raises(StoreFailed):  # the log of the database has no room at all
            pruning.prune()
        with store.auditing() as audit:
            assert verify(audit) == Verified(audit.head().chain_id, full, full, 0)
        disk.make_room()
        pruning.prune()
        with store.auditing() as audit:
            assert audit.pruned().upto > full / 2
            assert isinstance(verify(audit), Verified)
        for number in range(full // RECORDS // 4):
            store.record(entries(number, rng)).result(10)
        assert isinstance(chain_of(store, tmp_path), Verified)


def test_a_store_that_is_pruned_does_not_grow(tmp_path: Path) -> None:
    """The control is not pruned: it grows in proportion to the number of days."""
    sizes = {}
    for kept in (False, True):
        clock, rng, folder = Clock(), random.Random(1), tmp_path / str(kept)
        with AccessStore.open(folder, KEY, clock) as store:
            pruning = pruning_of(store, folder, clock, archived=False)
            for number in range(40):
                store.record([an_entry(rng, number) for _ in range(250)]).result(10)
                clock.ms += DAY_MS
                if not kept:
                    pruning.prune()
        with closing(open_to_read(folder / "access.sqlite")) as connection:
            sizes[kept] = connection.pragma("page_count") * connection.pragma("page_size")
    assert sizes[False] * 6 < sizes[True]
    figure("bytes of a store of 40 days, pruned and not", f"{sizes[False]:,}, {sizes[True]:,}")


def test_nothing_of_what_was_pruned_is_left_in_the_files(tmp_path: Path) -> None:
    clock = Clock()
    with AccessStore.open(tmp_path, KEY, clock) as store:
        store.record([Entry("key:k1", "gallery.search", "OK", request_id=f"gone-{n}") for n in range(200)]).result(10)
        clock.ms += 3 * DAY_MS
        store.record([Entry("key:k1", "gallery.search", "OK", request_id="left")]).result(10)
        assert any(b"gone-" in path.read_bytes() for path in tmp_path.glob("access.sqlite*"))
        pruning_of(store, tmp_path, clock, archived=False).prune()
        files = b"".join(path.read_bytes() for path in tmp_path.glob("access.sqlite*"))
    assert b"left" in files
    assert b"gone-" not in files


def test_others_are_not_held_up(tmp_path: Path) -> None:
    clock, rng = Clock(), random.Random(1)
    with AccessStore.open(tmp_path, KEY, clock) as store:
        for number in range(60):
            store.record([an_entry(rng, number) for _ in range(500)]).result(10)
        clock.ms += 3 * DAY_MS
        pruner = threading.Thread(target=pruning_of(store, tmp_path, clock).prune)
        begun = time.monotonic()
        pruner.start()
        during = 0
        while pruner.is_alive():
            store.record(entries(0, rng)).result(10)
            during += 1
        took_s = time.monotonic() - begun
        with store.auditing() as audit:
            assert audit.pruned().upto >= 30_000
        assert during > 3 * (30_000 / segment.MOST_RECORDS)
        figure("seconds to prune 30,000 records, and groups recorded meanwhile", f"{took_s:.1f}, {during}")


def due(tmp_path: Path) -> tuple[AccessStore, Clock]:
    clock, rng = Clock(), random.Random(1)
    store = AccessStore.open(tmp_path, KEY, clock)
    for number in range(4):
        store.record(entries(number, rng)).result(10)
    clock.ms += 3 * DAY_MS
    return store, clock


def test_a_chain_that_was_altered_is_not_pruned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, clock = due(tmp_path)
    with store:
        with closing(sqlite3.connect(tmp_path / "access.sqlite", isolation_level=None)) as other:
            other.execute("UPDATE audit SET mac = zeroblob(16) WHERE seq = 30")
        with pytest.raises(StoreCorrupt):
            pruning_of(store, tmp_path, clock).prune()
        assert "The audit access could not be pruned" in caplog.text
        with store.auditing() as audit:
            assert audit.pruned().upto == 0
    assert list((tmp_path / "archive").iterdir()) == []


def test_a_file_of_the_archive_is_never_written_over(tmp_path: Path) -> None:
    store, clock = due(tmp_path)
    with store:
        pruning = pruning_of(store, tmp_path, clock)
        path = tmp_path / "archive" / "access-000000000001.jsonl"
        for wrong in (b"", b"something else\n"):
            path.write_bytes(wrong)
            with pytest.raises(StoreCorrupt, match="holds other records"):
                pruning.prune()
            assert path.read_bytes() == wrong
        path.unlink()
        pruning.prune()
    # An older data folder is put back, and goes on in another way.
    other, clock = due(tmp_path / "other")
    with other, pytest.raises(StoreCorrupt, match="holds other records"):
        Pruning({"access": LocalAudit(other)}, 1, tmp_path / "archive", clock).prune()


@pytest.mark.parametrize("step", ["unfinished", "name_whole"])
def test_two_prunings_at_the_same_time_lose_no_record(step: str, tmp_path: Path) -> None:
    """Another one, for which more is due, runs just before this one begins a file, or names it."""
    store, clock = due(tmp_path)
    with store:
        store.record(entries(9, random.Random(2))).result(10)
        pruning, other = (pruning_of(store, tmp_path, at) for at in (clock, Clock(clock.ms + 3 * DAY_MS)))
        others, usual = [other.prune], getattr(durable, step)

        def overtaken(*paths: Path) -> Any:
            while others:
                others.pop()()
            return usual(*paths)

        with patch(f"fr_server.jobs.pruning.{step}", overtaken):
            pruning.prune()
        assert not others
        for upto in (4 * RECORDS, 5 * RECORDS):
            with store.auditing() as audit:
                assert audit.pruned().upto >= upto
            assert isinstance(chain_of(store, tmp_path), Verified)
            other.prune()
    assert all(path.suffix == ".jsonl" for path in (tmp_path / "archive").iterdir())


def test_an_archive_that_cannot_be_written_keeps_the_records(tmp_path: Path) -> None:
    store, clock = due(tmp_path)
    with store:
        gone = Pruning({"access": LocalAudit(store)}, 1, tmp_path / "not there", clock)
        with pytest.raises(OSError, match="not there"):
            gone.prune()
        with store.auditing() as audit:
            assert audit.pruned().upto == 0


def test_what_was_archived_for_a_shorter_time_waits(tmp_path: Path) -> None:
    """A server that was killed before it pruned a segment starts again with a longer `keep_days`."""
    store, clock = due(tmp_path)
    with store:
        audit, archive = LocalAudit(store), tmp_path / "archive"
        with patch.object(LocalAudit, "audit_prune", side_effect=StoreFailed("killed")), pytest.raises(StoreFailed):
            pruning_of(store, tmp_path, clock).prune()
        assert len(list(archive.iterdir())) == 1
        Pruning({"access": audit}, 90, archive, clock).prune()
        with store.auditing() as table:
            assert table.pruned().upto == 0
        pruning_of(store, tmp_path, clock).prune()
        assert isinstance(chain_of(store, tmp_path), Verified)
        with store.auditing() as table:
            assert table.pruned().upto == 4 * RECORDS


def test_an_export_that_is_overtaken_says_so(tmp_path: Path) -> None:
    store, clock = due(tmp_path)
    with store:
        audit = LocalAudit(store)
        with patch("fr_server.storage.audits._STEP", 10):
            part = audit.audit_export(0, False)
            assert part.after == 10
            pruning_of(store, tmp_path, clock).prune()
            with pytest.raises(StoreFailed, match="were pruned"):
                audit.audit_export(10, True)
