"""The keys of the access store in memory, never older than the database."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from fr_core.errors import ShuttingDown, StoreCorrupt, message
from fr_core.storage.dialect import ALL_ROWS
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.protocol import Database, DriverConnection, Row
from fr_trust.access.schema import HEAD, KEYS, SCHEMA, Head, Kept, Locks


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys by their ids, and the head of the store, as of one moment."""

    head: Head
    by_id: MappingProxyType[str, Kept]


class Ring:
    """Looks at the head of the database each time, and reads what has changed since; for several threads.

    One statement that finds the head as it was takes some ten microseconds, whichever process has changed it. The
    constructor raises as `look`.
    """

    def __init__(self, database: Database, locks: Locks) -> None:
        self._locks = locks
        self._lock = threading.Lock()
        self._closed = False
        self._seen: Row | None = None
        self._keys = Keys(Head(0, 0, 0, 0), MappingProxyType({}))
        with driver_errors():
            self._connection = database.new_reader()
        try:
            with driver_errors():
                self._read()
        except BaseException:
            self.close()
            raise

    def look(self) -> Keys:
        """Return the keys as they are now.

        Raises `ShuttingDown`, `StoreFailed`, and `StoreCorrupt` for as long as a row is altered, taken out, put in or
        put back.
        """
        with self._lock:
            if self._closed:
                raise ShuttingDown(message("error.storage.closed", schema=SCHEMA.name))
            with driver_errors():
                if self._connection.execute(HEAD).fetchone() != self._seen:
                    self._read()
            return self._keys

    def close(self) -> None:
        """Close the connection; harmless when done twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()

    def _read(self) -> None:
        connection = self._connection
        connection.execute("BEGIN")  # so that the head and the keys are of one moment
        try:
            seen = connection.execute(HEAD).fetchone()
            head = self._locks.head_of(seen)
            if head.version < self._keys.head.version:
                raise StoreCorrupt(message("error.trust.access_store_put_back"), check="head")
            changed = connection.execute(f"{KEYS} WHERE version > ?", (self._keys.head.version,)).fetchall()
            kept = self._with(self._keys.by_id, changed)
            if not self._is_whole(head, kept):
                # A key was deleted for good; or an index was altered, or a row, which the next line finds.
                kept = self._with({}, self._all(connection))
                if not self._is_whole(head, kept):
                    raise StoreCorrupt(message("error.trust.row_access_store_taken"), check="keys")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._keys, self._seen = Keys(head, MappingProxyType(kept)), seen

    def _with(self, before: MappingProxyType[str, Kept] | dict[str, Kept], rows: Iterable[Row]) -> dict[str, Kept]:
        opened = {kept.key.key_id: kept for kept in map(self._locks.kept_of, rows)}
        return {**before, **opened}

    def _is_whole(self, head: Head, kept: dict[str, Kept]) -> bool:
        before = self._keys
        if head.version == before.head.version and head.digest == before.head.digest and kept == before.by_id:
            return True  # the time that was seen is all that has changed
        digest = 0
        for one in kept.values():
            digest ^= self._locks.digest_of(one.key.key_id, one.version)
        return len(kept) == head.keys and digest == head.digest

    def _all(self, connection: DriverConnection) -> list[Row]:
        return connection.execute(f"{KEYS} {ALL_ROWS}").fetchall()


def require_sound(database: Database) -> None:
    """Open every key and the head of a copy of a store; raises `StoreCorrupt`. The audit is not checked."""
    with database.reading() as now:
        locks = Locks(now)
    Ring(database, locks).close()
