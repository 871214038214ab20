"""Locks a store for one server, or shares it: advisory locks of PostgreSQL, which end with their connection.

Each kind of store has locks of its own in the database, by `Schema.application_id`.
"""

import time
from enum import IntEnum

from fr_core.storage.postgres.link import Link
from fr_core.storage.schema import Schema

_AGAIN_S = 0.02


class Lock(IntEnum):
    """One lock of a store."""

    OPENING = 1  # made or brought up to date by one process at a time
    HELD = 2  # by each process that has the store open: alone where the store is not shared
    WRITING = 3  # by the transaction that writes, until it is over
    BUILDING = 4  # see `Database.building`


class Locks:
    """The locks of a store, taken over one connection; every method raises `StatementFailed`."""

    def __init__(self, link: Link, schema: Schema) -> None:
        self._link = link
        self._number = schema.application_id

    def take(self, lock: Lock) -> None:
        """Take a lock alone; waits as long as `Postgres.lock_timeout_s` for others."""
        self._call("pg_advisory_lock", lock)

    def try_take(self, lock: Lock, longest_s: float = 0.0) -> bool:
        """Take a lock alone, after a wait if need be; return false if another process keeps it."""
        until = time.monotonic() + longest_s
        while not self._call("pg_try_advisory_lock", lock):
            if time.monotonic() >= until:
                return False
            time.sleep(_AGAIN_S)
        return True

    def share(self, lock: Lock) -> None:
        """Take a lock together with others; waits as `take`."""
        self._call("pg_advisory_lock_shared", lock)

    def release(self, lock: Lock) -> None:
        """Give up a lock that was taken alone; one that is shared as well stays so."""
        self._call("pg_advisory_unlock", lock)

    def release_all(self) -> None:
        """Give up every lock, before the server notices that the connection is closed."""
        self._link.run("SELECT pg_advisory_unlock_all()")

    def begin_writing(self) -> None:
        """Send the begin of a transaction, which is the only one that writes the store."""
        self._link.send("BEGIN")
        self._link.send(f"SELECT pg_advisory_xact_lock({self._number}, {Lock.WRITING:d})")

    def _call(self, function: str, lock: Lock) -> object:
        ((value,),) = self._link.run(f"SELECT {function}({self._number}, {lock:d})")
        return value
