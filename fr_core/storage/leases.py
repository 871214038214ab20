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
from typing import Literal, Protocol

from fr_core.errors import FrError, StoreFailed, message

LASTS_S = 30.0
"""The seconds for which a dead server keeps a job from the others: a commit takes far less, and a job waits an hour."""

_RENEWALS = 3  # of a lease in its time, so that one may fail

LeaseEvent = Literal["taken", "lost", "released"]

log = logging.getLogger("fr_core.storage.leases")


def own_clock_s() -> float:
    """Return the seconds of a clock that cannot be set, and that runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease, as its holder knows it."""

    name: str
    number: int  # greater than before, see `Leases`: whatever the lease guards can refuse a smaller one
    until_s: float  # of the holder's own clock; at the latest when the database lets others have it


class Leases(Protocol):
    """Gives leases. Every method raises `StoreFailed` if their storage fails.

    The number of a lease is greater than that of every earlier lease of its name: in a database of all, in a folder of
    those that this process has had.
    """

    def take(self, name: str, lasts_s: float) -> Lease | None:
        """Return a new lease, or None while a lease of the name is held, also by the caller."""

    def renew(self, lease: Lease, lasts_s: float) -> Lease | None:
        """Return the lease with a new end, or None if another one has been taken since."""

    def release(self, lease: Lease) -> None:
        """Release the lease at once; harmless if another one has been taken since."""

    def holders(self) -> dict[str, str]:
        """Return the name of the server that holds each lease, by the lease's name."""

    def close(self) -> None:
        """Release connections and files. A locked file ends its lease; other leases last until they expire.

        Harmless when done twice.
        """


class Hold:
    """A lease that a thread renews until `end`, or until it is lost; once lost, it stays so.

    `told` is called with "taken" now, and later once with "lost" or "released", from any thread. A lease is lost when
    another process has it, or when no renewal succeeded in its time.
    """

    def __init__(
        self,
        leases: Leases,
        lease: Lease,
        lasts_s: float,
        clock_s: Callable[[], float],
        told: Callable[[LeaseEvent], None],
    ) -> None:
        self._leases = leases
        self._lease = lease
        self._lasts_s = lasts_s
        self._clock_s = clock_s
        self._told = told
        self._lock = threading.Lock()  # of the lease, and of whether it is lost
        self._lost = False
        self._ended = threading.Event()
        self.name, self.number = lease.name, lease.number
        self._thread = threading.Thread(target=self._renew, name=f"lease-{lease.name}", daemon=True)
        told("taken")
        if lease.until_s < math.inf:
            self._thread.start()

    @property
    def is_held(self) -> bool:
        """Return whether no other process can have the lease yet; a job asks before each step."""
        with self._lock:
            return not self._lost and self._clock_s() < self._lease.until_s

    def end(self) -> None:
        """Stop the renewals, and release the lease; harmless when done twice."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        lost = self._lose_if(not self.is_held)
        try:
            self._leases.release(self._lease)  # harmless where another process has it
        except FrError as error:
            log.warning("The lease %s ends by its time, because it could not be released: %s", self.name, error.what)
        if not lost:
            self._told("released")

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _renew(self) -> None:
        while not self._ended.wait(max(0.0, min(self._lasts_s / _RENEWALS, self._lease.until_s - self._clock_s()))):
            try:
                renewed = self._leases.renew(self._lease, self._lasts_s)
            except FrError:  # the next renewal may succeed, while the own clock allows one
                renewed = self._lease
            if self._lose_if(renewed is None or not self.is_held):
                return
            assert renewed is not None
            with self._lock:
                self._lease = renewed

    def _lose_if(self, gone: bool) -> bool:
        """Return whether the lease is lost, after telling of it the first time."""
        with self._lock:
            first, self._lost = gone and not self._lost, self._lost or gone
        if first:
            self._told("lost")
        return self._lost


def hold(
    leases: Leases,
    name: str,
    lasts_s: float = LASTS_S,
    clock_s: Callable[[], float] = own_clock_s,
    told: Callable[[LeaseEvent], None] = lambda event: None,
) -> Hold | None:
    """Take a lease and keep it until `Hold.end`; return None where another process has it. Raises as `Leases`."""
    lease = leases.take(name, lasts_s)
    return None if lease is None else Hold(leases, lease, lasts_s, clock_s, told)


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
