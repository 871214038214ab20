"""Keeps what the guard tells: the audit "access", of reads, refusals and failed handshakes."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from fr_core.errors import FrError, StorageLow
from fr_core.storage.audit.attribution import SYSTEM
from fr_core.storage.audit.values import Entry, Pseudonyms
from fr_server.authz.record import NOBODY, PACE_S, UNRECORDED, Ended
from fr_server.telemetry.logs import describe
from fr_server.telemetry.throttle import Throttle
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal, Trust
from fr_trust.access.store import AccessStore

_log = logging.getLogger("fr_server.authz")


class Journal:
    """A `Recorder` that writes to the store of keys; records of several calls share one sync of the disk."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._pseudonyms: Pseudonyms = store.pseudonyms()

    async def record(self, *ended: Ended) -> None:
        """Keep them, durably; raises `StoreFailed`, `StoreCorrupt` or `ShuttingDown` if they cannot be kept.

        They are kept even if the task that waits is cancelled.

        Raises `StorageLow` if only the space for deletions and searches is left, and the caller could not say who they
        are: anybody who reaches the server would fill the disk.
        """
        strangers = any(one.attribution.actor == NOBODY for one in ended)
        await _kept(self._store.record(map(self._entry, ended), may_use_reserve=not strangers))

    def _entry(self, ended: Ended) -> Entry:
        return ended.attribution.entry(
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


async def _kept(recording: Future[int]) -> None:
    """Wait until records are durable; if the task is cancelled, they are still written."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if waiting.done():
            return  # cancelled
        if (error := recording.exception()) is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    def ended(_: Future[int]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell)

    recording.add_done_callback(ended)
    await waiting


class GatewayAudit(Trust):
    """Tells the audit "access" of TLS handshakes that failed: of each kind through a `Throttle`; `trust` hears of all.

    Addresses stand in it under pseudonyms. What there was no room for is counted for the next one.
    """

    def __init__(self, store: AccessStore, trust: Trust, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._trust = trust
        self._pseudonyms = store.pseudonyms()
        self._throttle: Throttle[Entry] = Throttle(monotonic_s)

    def connection_refused(self, address: str, why: Refusal) -> None:
        """Pass it on."""
        self._trust.connection_refused(address, why)

    def connected(self, address: str) -> None:
        """Pass it on."""
        self._trust.connected(address)

    def disconnected(self, address: str, why: Parting) -> None:
        """Pass it on."""
        self._trust.disconnected(address, why)

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """Pass it on, and tell the audit; in the gateway's thread alone."""
        self._trust.handshake_failed(address, why)
        detail = {"why": why.value, "address": self._pseudonyms.other("address", address)}
        entry = Entry(SYSTEM, "access.handshake", "REFUSED", detail=detail)
        held_back = self._throttle.held_back(why.value, entry, PACE_S)
        if held_back is not None:
            self._tell(entry, held_back)

    def drain(self) -> None:
        """Tell of what is held back still, once the gateway is closed; the store that closes waits for it."""
        for entry, held_back in self._throttle.left():
            self._tell(entry, held_back - 1)

    def _tell(self, entry: Entry, held_back: int) -> None:
        told = entry if not held_back else replace(entry, counts={UNRECORDED: held_back})

        def ended(done: Future[int]) -> None:
            error = done.exception()
            if isinstance(error, StorageLow):
                self._throttle.put_back(entry.detail["why"], entry, held_back + 1)
            if error is not None:
                _log.error("A failed handshake could not be recorded: %s", describe(error))

        try:
            done = self._store.record([told], may_use_reserve=False)
        except FrError as error:
            _log.error("A failed handshake could not be recorded: %s", describe(error))
        else:
            done.add_done_callback(ended)
