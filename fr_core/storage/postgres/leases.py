"""Gives leases in PostgreSQL: they expire by the database's clock, and for their holder by its own, not later.

If the clock of the database is set forward, a lease can be given while its holder still works: the numbers tell the
two apart, and the jobs tolerate that two servers do them at once.

A process that is killed releases nothing. The next process of the same machine and folder finds the note of its lease,
and releases it; all others wait until it expires.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from fr_core.storage import leases
from fr_core.storage.leases import Lease, own_clock_s
from fr_core.storage.postgres.registry import Registry

log = logging.getLogger("fr_core.storage.leases")

# Random steps: a number that was noted elsewhere, as for a database of the same name, is that of no lease here.
_TAKE = """
INSERT INTO leases AS held (name, number, holder, expires)
VALUES (?, 1 + floor(random() * 2147483648)::bigint, ?, clock_timestamp() + ? * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET number = held.number + excluded.number, holder = excluded.holder, expires = excluded.expires
WHERE held.expires <= clock_timestamp()
RETURNING number
"""
_RENEW = """
UPDATE leases SET expires = clock_timestamp() + ? * interval '1 second'
WHERE name = ? AND number = ? AND expires > '-infinity' RETURNING 1
"""
_RELEASE = "UPDATE leases SET expires = '-infinity', holder = '' WHERE name = ? AND number = ? RETURNING 1"
_HOLDERS = "SELECT name, holder FROM leases WHERE expires > clock_timestamp() ORDER BY name"


class PostgresLeases:
    """The leases of all servers of a database; see `Leases`.

    Args:
        holder: the name of this server, which `holders` tells.
        folder: of this server, for notes of its leases; None = it makes none.
        clock_s: as `own_clock_s`.
    """

    def __init__(
        self,
        registry: Registry,
        holder: str,
        clock_s: Callable[[], float] = own_clock_s,
        folder: Path | None = None,
    ) -> None:
        self._registry = registry
        self._holder = holder
        self._clock_s = clock_s
        self._notes = None if folder is None else _Notes(folder)

    def take(self, name: str, lasts_s: float) -> Lease | None:
        """As `Leases.take`; releases first the lease of a process of this machine that has ended."""
        taken = self._take(name, lasts_s)
        left = None if taken or self._notes is None else self._notes.left(name)
        if left is not None and self._registry.run(_RELEASE, (name, left)):
            log.info("The job %s was left behind by a process of this machine that has ended", name)
            taken = self._take(name, lasts_s)
        return taken

    def renew(self, lease: Lease, lasts_s: float) -> Lease | None:
        """As `Leases.renew`."""
        until_s = self._clock_s() + lasts_s
        rows = self._registry.run(_RENEW, (lasts_s, lease.name, lease.number))
        return self._noted(Lease(lease.name, lease.number, until_s)) if rows else None

    def release(self, lease: Lease) -> None:
        """As `Leases.release`."""
        try:
            self._registry.run(_RELEASE, (lease.name, lease.number))
        finally:
            if self._notes is not None:
                self._notes.drop(lease)

    def holders(self) -> dict[str, str]:
        """As `Leases.holders`."""
        return dict(self._registry.run(_HOLDERS))

    def close(self) -> None:
        """Close the connection to the database, and the notes."""
        self._registry.close()
        if self._notes is not None:
            self._notes.drop_all()

    def _take(self, name: str, lasts_s: float) -> Lease | None:
        until_s = self._clock_s() + lasts_s  # before the database begins to count
        rows = self._registry.run(_TAKE, (name, self._holder, lasts_s))
        return self._noted(Lease(name, int(rows[0][0]), until_s)) if rows else None

    def _noted(self, lease: Lease) -> Lease:
        if self._notes is not None:
            self._notes.keep(lease)
        return lease


class _Notes:
    """The leases that processes of this machine hold, each in a file that its holder keeps locked.

    The system drops the lock when the holder ends. So a note whose file is not locked is of a process that has ended or
    has released the lease. It counts only on its machine, until that restarts, and only in the file that it was written
    in: a lock may not show on another machine, and a copy of the file was never locked.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, int]] = {}  # the number of each lease, and the descriptor of its locked file
        self._failed = False

    def keep(self, lease: Lease) -> None:
        """Note a lease, unless it is noted; without a note, others wait until it expires."""
        with self._lock:
            number, handle = self._held.get(lease.name, (0, None))
            if number == lease.number:
                return
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = self._locked(lease.name) if handle is None else handle
                if handle is None:  # another process looks at it, or has not yet noticed that it lost the lease
                    return
                self._held[lease.name] = lease.number, handle
                os.ftruncate(handle, 0)
                os.pwrite(handle, _note(handle, lease.number), 0)
            except OSError as error:
                if not self._failed:
                    told = "After a crash, this server would wait for its own jobs: it cannot note them in %s: %s"
                    log.warning(told, self._folder, error.strerror)
                self._failed = True

    def left(self, name: str) -> int | None:
        """Return the number of a lease whose holder has ended, or None where that is not sure."""
        with self._lock:
            if name in self._held:
                return None
            try:
                handle = self._locked(name)
            except OSError:  # which `keep` tells
                handle = None
        return None if handle is None else _read(handle)

    def drop(self, lease: Lease) -> None:
        """Unlock the note of a lease; harmless where there is none."""
        with self._lock:
            number, handle = self._held.get(lease.name, (0, -1))
            if number == lease.number:
                del self._held[lease.name]
                fcntl.flock(handle, fcntl.LOCK_UN)  # a child may have the descriptor too
                os.close(handle)

    def drop_all(self) -> None:
        """Unlock every note."""
        for name, (number, _) in tuple(self._held.items()):
            self.drop(Lease(name, number, 0.0))

    def _locked(self, name: str) -> int | None:
        """Return the descriptor of a locked file, or None while another process has locked it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self._folder / f"{name}.lease", flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return handle


def _read(handle: int) -> int | None:
    """Return the number in a locked file, and close it; None where it is no note, or was made elsewhere."""
    try:
        noted = os.pread(handle, 200, 0)
        number = int(noted.rpartition(b" ")[2])
        return number if noted == _note(handle, number) else None
    except (ValueError, OSError):
        return None
    finally:
        os.close(handle)


def _note(handle: int, number: int) -> bytes:
    """Return the note of a lease in an open file of this machine, which has one id from start to start."""
    started, file = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(), os.fstat(handle)
    return f"{started} {file.st_dev} {file.st_ino} {number}".encode("ascii")


_IMPLEMENTS: type[leases.Leases] = PostgresLeases
