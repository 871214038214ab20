"""Keeps what the guard tells: the audit "access", of reads, refusals and failed handshakes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from fr_core.access.store import AccessStore
from fr_core.audit.attribution import SYSTEM
from fr_core.audit.pseudonyms import Pseudonyms
from fr_core.audit.values import Entry
from fr_core.errors import FrError
from fr_server.access.recording import UNRECORDED, Ended
from fr_server.door.listener import HandshakeFailure, Parting, Refusal
from fr_server.telemetry.logs import describe
from fr_server.telemetry.trust import Trust
from fr_server.throttle import Throttle

_log = logging.getLogger("fr_server.access")


class Journal:
    """A `Recorder` that writes to the store of keys; records of several calls share one sync of the disk.

    Args:
        store: is open.
    """

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._pseudonyms: Pseudonyms = store.pseudonyms()

    async def record(self, ended: Ended) -> None:
        """Keep it, durably; raises `StoreFailed`, `StoreCorrupt`, `StorageLow` or `ShuttingDown`."""
        entry = ended.attribution.entry(
            self._pseudonyms,
            ended.action,
            ended.outcome,
            gallery_id=ended.gallery_id,
            subject_ids=ended.subject_ids,
            model=ended.model,
            gallery_version=ended.gallery_version,
            threshold=ended.threshold,
            counts=ended.counts,
            detail=ended.detail,
        )
        await asyncio.wrap_future(self._store.record([entry]))


class DoorJournal:
    """Tells the audit "access" of TLS handshakes that failed: of each kind through a `Throttle`.

    Addresses stand in it under pseudonyms.

    Args:
        store: is open.
        trust: hears of everything at the door.
        monotonic_s: seconds of a clock that is never set.
    """

    def __init__(
        self,
        store: AccessStore,
        trust: Trust,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._trust = trust
        self._pseudonyms = store.pseudonyms()
        self._throttle = Throttle(monotonic_s)

    def connection_refused(self, address: str, why: Refusal) -> None:
        """As `DoorListener`."""
        self._trust.connection_refused(address, why)

    def connected(self, address: str) -> None:
        """As `DoorListener`."""
        self._trust.connected(address)

    def disconnected(self, address: str, why: Parting) -> None:
        """As `DoorListener`."""
        self._trust.disconnected(address, why)

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """As `DoorListener`; of the door's thread alone."""
        self._trust.handshake_failed(address, why)
        held_back = self._throttle.held_back(why)
        if held_back is None:
            return
        counts = {UNRECORDED: held_back} if held_back else {}
        detail = {"why": why.value, "address": self._pseudonyms.other("address", address)}
        try:
            done = self._store.record([Entry(SYSTEM, "access.handshake", "REFUSED", counts=counts, detail=detail)])
        except FrError as error:
            _log.error("A failed handshake could not be recorded: %s", describe(error))
        else:
            done.add_done_callback(_log_failure)


def _log_failure(done: Future[int]) -> None:
    error = done.exception()
    if error is not None:
        _log.error("A failed handshake could not be recorded: %s", describe(error))
