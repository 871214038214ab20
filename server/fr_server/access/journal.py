"""Keeps what the guard tells: the audit "access", of reads, refusals and failed handshakes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

from fr_core.access.store import AccessStore
from fr_core.audit.attribution import SYSTEM
from fr_core.audit.pseudonyms import Pseudonyms
from fr_core.audit.values import Entry
from fr_core.errors import (
    CredentialInvalid,
    CredentialMissing,
    FrError,
    NotPermitted,
    QuotaExceeded,
    RateLimited,
)
from fr_server.access.recording import UNRECORDED, Ended
from fr_server.door.listener import HandshakeFailure, Parting, Refusal
from fr_server.telemetry.logs import describe
from fr_server.telemetry.trust import NullTrust, Trust

_log = logging.getLogger("fr_server.access")


ACCESS_REASONS = frozenset(
    error.reason for error in (CredentialMissing, CredentialInvalid, NotPermitted, RateLimited, QuotaExceeded)
)
"""Of calls that were refused for who made them, or how often."""


class Journal:
    """A `Recorder` that writes to the store of keys; records of several calls share one sync of the disk.

    Args:
        store: is open.
        trust: is told of refusals, and how many records there are; None = nobody is.
    """

    def __init__(self, store: AccessStore, trust: Trust | None = None) -> None:
        self._store = store
        self._trust = trust or NullTrust()
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
        if ended.outcome in ACCESS_REASONS:
            self._trust.access_refused(ended.detail.get("why", ended.outcome))
        await asyncio.wrap_future(self._store.record([entry]))
        self._trust.recorded("access")


class DoorJournal:
    """Tells the audit "access" of TLS handshakes that failed: of each kind at most so many in a second.

    Addresses stand in it under pseudonyms.

    Args:
        store: is open.
        trust: hears of everything at the door; None = nobody does.
        monotonic_s: seconds of a clock that is never set.
        most_per_s: of one kind.
    """

    def __init__(
        self,
        store: AccessStore,
        trust: Trust | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        most_per_s: int = 10,
    ) -> None:
        self._store = store
        self._trust = trust or NullTrust()
        self._pseudonyms = store.pseudonyms()
        self._monotonic_s = monotonic_s
        self._most_per_s = most_per_s
        self._began_s: dict[HandshakeFailure, float] = {}
        self._told: Counter[HandshakeFailure] = Counter()
        self._held_back: Counter[HandshakeFailure] = Counter()

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
        now_s = self._monotonic_s()
        if now_s - self._began_s.get(why, -math.inf) >= 1.0:
            self._began_s[why], self._told[why] = now_s, 0
        if self._told[why] >= self._most_per_s:
            self._held_back[why] += 1
            return
        self._told[why] += 1
        counts = {UNRECORDED: held_back} if (held_back := self._held_back.pop(why, 0)) else {}
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
