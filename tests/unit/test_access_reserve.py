"""What is kept free on the disk: what strangers cause does not take it, and is counted all the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_core.errors import StorageLow
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.values import Entry, Record
from fr_server.authz.access_audit import GatewayAudit, Journal
from fr_server.authz.record import NOBODY, UNRECORDED, Ended, Refusals
from fr_server.telemetry.trust import HandshakeFailure, Trust
from fr_trust.access.store import AccessStore
from support.access import KEY, Clocks

_BLOCK, _BLOCKS = 4_096, 2**21
RESERVE_BYTES = 64 * 2**20
MISSING = Ended(Attribution(actor=NOBODY), "gallery.search", "CREDENTIAL_MISSING")


class Disk:
    """A disk of 8 GiB with as much free as a test says: no more than the reserve, at first."""

    def __init__(self) -> None:
        self.free_bytes = RESERVE_BYTES

    def statvfs(self, _path: object) -> os.statvfs_result:
        free = self.free_bytes // _BLOCK
        return os.statvfs_result((_BLOCK, _BLOCK, _BLOCKS, free, free, 0, 0, 0, 0, 255))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    return made


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Iterator[AccessStore]:
    clocks = Clocks()
    with AccessStore.open(tmp_path, KEY, clocks.clock_ms, RESERVE_BYTES, monotonic_s=clocks.monotonic_s) as opened:
        yield opened


def told(store: AccessStore) -> list[Record]:
    store.record([]).result(5)  # those before are durable, too
    with store.auditing() as audit:
        return [kept.record for kept in audit.every()]


def test_a_record_takes_what_is_kept_free_only_where_it_may(store: AccessStore, disk: Disk) -> None:
    entry = Entry("local", "gallery.search", "OK")
    with pytest.raises(StorageLow):
        store.record([entry], may_use_reserve=False).result(5)
    assert store.record([entry]).result(5) == 1
    disk.free_bytes *= 2
    assert store.record([entry], may_use_reserve=False).result(5) == 2


def test_refusals_of_strangers_do_not_take_it(store: AccessStore, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    async def ends() -> None:
        journal = Journal(store)
        with pytest.raises(StorageLow):
            await journal.record(MISSING)
        await journal.record(Ended(Attribution("key:1"), "gallery.search", "OK"))  # else it would not be answered
        refusals = Refusals(journal, lambda: 0.0)
        for _ in range(3):
            refusals.tell(MISSING)
        await refusals.settled()
        disk.free_bytes *= 2
        refusals.tell(MISSING)
        await refusals.drain()

    asyncio.run(ends())
    assert [(one.actor, dict(one.counts)) for one in told(store)] == [("key:1", {}), (NOBODY, {UNRECORDED: 3})]
    assert caplog.text.count("not recorded but counted") == 3


def test_failed_handshakes_do_not_take_it(store: AccessStore, disk: Disk) -> None:
    journal = GatewayAudit(store, Trust(), lambda: 0.0)
    for _ in range(3):
        journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
    assert told(store) == []
    disk.free_bytes *= 2
    journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
    (one,) = told(store)
    assert dict(one.counts) == {UNRECORDED: 3}
