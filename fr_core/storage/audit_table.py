"""The audit that lies in the database of a store: whose keys it has, how it begins, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import apsw

from fr_core.storage.audit.keys import MacKeys
from fr_core.storage.audit.rows import Connection
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_recent
from fr_core.storage.database import Database, Reading, Row
from fr_core.storage.seals import Seals


def audit_keys(seals: Seals) -> MacKeys:
    """Return the keys of the audit that lies in the same database."""
    return MacKeys(lambda purpose, values: seals.hidden(purpose, *values))


def begin_audit(connection: apsw.Connection, seals: Seals) -> None:
    """Begin the audit of a store, a step of its migrations; what was done before is in no record."""
    AuditTable(connection, audit_keys(seals), _no_time).create()


def require_recent_audit(database: Database) -> None:
    """Check the last records of the audit of a store that opens; raises `StoreCorrupt`."""
    with database.reading() as now:
        read = Read(now)
        require_recent(AuditTable(read, audit_keys(database.seals), _no_time), read)


@contextmanager
def auditing(database: Database, keys: MacKeys, clock_ms: Callable[[], int]) -> Iterator[AuditTable]:
    """Read the audit of a store as of one moment; nothing can be appended.

    Args:
        database: of the store.
        keys: of its audit.
        clock_ms: milliseconds since 1970, UTC.
    """
    with database.reading() as now:
        yield AuditTable(Read(now), keys, clock_ms)


class Read(Connection):
    """Statements of the audit in a transaction that reads.

    Args:
        reading: the transaction.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def execute(self, statements: str, bindings: Sequence[int | str | bytes] = (), /) -> list[Row]:
        """See `Connection`."""
        return self._reading.rows(statements, *bindings)


def _no_time() -> int:
    raise AssertionError("what is only begun or read has no times")
