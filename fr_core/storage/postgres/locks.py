"""Locks a store for one server, or shares it: advisory locks of PostgreSQL, which end with their connection.

Each kind of store has locks of its own in the database, by `Schema.application_id`.
"""

from enum import IntEnum

from fr_core.storage.postgres.link import Link
from fr_core.storage.schema import Schema


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

    def try_take(self, lock: Lock) -> bool:
        """Take a lock alone, and return whether nobody else has it."""
        return bool(self._call("pg_try_advisory_lock", lock))

    def share(self, lock: Lock) -> None:
        """Take a lock together with others; waits as `take`."""
        self._call("pg_advisory_lock_shared", lock)

    def release(self, lock: Lock) -> None:
        """Give up a lock that was taken alone; one that is shared as well stays so."""
        self._call("pg_advisory_unlock", lock)

    def begin_writing(self) -> None:
        """Begin a transaction, which is the only one that writes the store, in one message to the server."""
        self._link.run(f"BEGIN; SELECT pg_advisory_xact_lock({self._number}, {Lock.WRITING:d})")

    def _call(self, function: str, lock: Lock) -> object:
        ((value,),) = self._link.run(f"SELECT {function}({self._number}, {lock:d})")
        return value
