"""Gives leases: one process at a time holds a name, such as that of a job which only one server may do.

Several servers on one PostgreSQL share `postgres.leases`; on one machine, `FolderLeases` uses locked files.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fr_core.errors import FrError, StoreFailed, message

LASTS_S = 30.0
"""The seconds for which a dead server keeps a job from the others: a commit takes far less, and a job waits an hour."""

_RENEWALS = 3  # of a lease in its time, so that one may fail

log = logging.getLogger("fr_core.storage.leases")


def own_clock_s() -> float:
    """Return the seconds of a clock that cannot be set, and that runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease, as its holder knows it."""

    name: str
    number: int  # greater than that of every earlier lease of the name: whatever it guards can refuse a smaller one
    until_s: float  # of the holder's own clock; at the latest when the database lets others have it


class Leases(Protocol):
    """Gives leases. Every method raises `StoreFailed` if their storage fails."""

    def take(self, name: str, lasts_s: float) -> Lease | None:
        """Return a new lease, or None while a lease of the name is held, also by the caller."""

    def renew(self, lease: Lease, lasts_s: float) -> Lease | None:
        """Return the lease with a new end, or None if another one has been taken since."""

    def release(self, lease: Lease) -> None:
        """Release the lease at once; harmless if another one has been taken since."""

    def holders(self) -> dict[str, str]:
        """Return the name of the server that holds each lease, by the lease's name."""

    def close(self) -> None:
        """Release connections and files, but no lease. Harmless when done twice."""


class Hold:
    """A lease that a thread renews until `end`, unless it has no end of its own."""

    def __init__(self, leases: Leases, lease: Lease, lasts_s: float, clock_s: Callable[[], float]) -> None:
        self._leases = leases
        self._lease: Lease | None = lease
        self._lasts_s = lasts_s
        self._clock_s = clock_s
        self._ended = threading.Event()
        self.name, self.number = lease.name, lease.number
        self._thread = threading.Thread(target=self._renew, name=f"lease-{lease.name}", daemon=True)
        if lease.until_s < math.inf:
            self._thread.start()

    @property
    def is_held(self) -> bool:
        """Return whether no other process can have the lease yet; a job asks before each step."""
        lease = self._lease
        return lease is not None and self._clock_s() < lease.until_s

    def end(self) -> None:
        """Stop the renewals, and release the lease."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._lease is None:
            return
        try:
            self._leases.release(self._lease)
        except FrError as error:
            log.warning("The lease %s ends by its time, because it could not be released: %s", self.name, error.what)

    def _renew(self) -> None:
        while not self._ended.wait(self._lasts_s / _RENEWALS):
            lease = self._lease
            if lease is None:
                return
            try:
                self._lease = self._leases.renew(lease, self._lasts_s)
            except FrError:  # the next renewal may succeed; until then `is_held` goes by the own clock
                continue


def hold(
    leases: Leases, name: str, lasts_s: float = LASTS_S, clock_s: Callable[[], float] = own_clock_s
) -> Hold | None:
    """Take a lease and keep it until `Hold.end`; return None where another process has it. Raises as `Leases`."""
    lease = leases.take(name, lasts_s)
    return None if lease is None else Hold(leases, lease, lasts_s, clock_s)


class FolderLeases:
    """The leases of the processes of one machine: a locked file for each, which ends with its process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}  # the descriptor of each locked file
        self._number = 0

    def take(self, name: str, lasts_s: float) -> Lease | None:
        """As `Leases.take`; it lasts until it is released."""
        with self._lock:
            if name in self._held:
                return None
            try:
                handle = os.open(self._folder / f"{name}.lease", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                why = str(error.strerror)
                raise StoreFailed(message("error.storage.lease_file"), cause=why) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            self._held[name] = handle
            self._number += 1
            return Lease(name, self._number, math.inf)

    def renew(self, lease: Lease, lasts_s: float) -> Lease | None:
        """As `Leases.renew`: the lease stays as it is."""
        return lease if lease.name in self._held else None

    def release(self, lease: Lease) -> None:
        """As `Leases.release`."""
        with self._lock:
            handle = self._held.pop(lease.name, None)
        if handle is not None:
            os.close(handle)

    def holders(self) -> dict[str, str]:
        """As `Leases.holders`, of this process: a server that is alone needs no name."""
        return dict.fromkeys(self._held, "")

    def close(self) -> None:
        """Release every lease."""
        with self._lock:
            held, self._held = self._held, {}
        for handle in held.values():
            os.close(handle)


_IMPLEMENTS: type[Leases] = FolderLeases
