"""Says what the stores ask of a database: statements within a transaction, and transactions.

SQLite implements it in `database`, `connection`, `log_copier` and `sqlite_*`, PostgreSQL in `postgres`. Above them, the
stores, the audit and the integrity checks run the same SQL; `dialect` has the few expressions that PostgreSQL writes in
another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fr_core.storage.vault import Value, Vault

if TYPE_CHECKING:
    from fr_core.storage.audit.table import AuditTable
    from fr_core.storage.schema import Schema
    from fr_core.storage.statements import Transaction

Row = tuple[Any, ...]
Q = TypeVar("Q")
T = TypeVar("T", bound="Transaction")


class Connection(Protocol):
    """Runs statements in a transaction that its owner began, and raises the errors of the database's driver."""

    def execute(self, statements: str, bindings: Sequence[Value] = ..., /) -> Iterable[Row]:
        """Run a statement, or several without values; return the rows."""


class Cursor(Protocol):
    """The rows of a statement, each to be taken once."""

    def __iter__(self) -> Iterator[Row]:
        """Return the rows one by one."""

    def fetchall(self) -> list[Row]:
        """Return the rows that are left."""

    def fetchone(self) -> Row | None:
        """Return the next row, or None."""


class DriverConnection(Protocol):
    """A connection of a driver, for one thread at a time; raises the errors of the driver."""

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction has begun."""

    def execute(self, statements: str, bindings: Sequence[Value] = ..., /) -> Cursor:
        """Run a statement, or several without values."""

    def changes(self) -> int:
        """Return how many rows the last statement has changed."""

    def close(self) -> None:
        """Close it; harmless when done twice."""


class Header(Protocol):
    """The facts that a database states about itself, beside its tables."""

    def application_id(self) -> int:
        """Return the number of the kind of store."""

    def version(self) -> int:
        """Return the version of the tables."""

    def set_version(self, version: int) -> None:
        """Write the version of the tables, within the transaction of the connection."""

    def has_table(self, name: str) -> bool:
        """Return whether the database has a table."""


class Statements(Protocol):
    """Statements within one transaction, as the stores write them."""

    @property
    def vault(self) -> Vault:
        """The keys of the store."""

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """Return the rows of a statement."""

    def row(self, sql: str, *values: Value) -> Row | None:
        """Return the first row of a statement, or None if it has none."""


class Log(Protocol):
    """The log that a database writes before its tables, and the upkeep that it needs."""

    copies_at_close: bool

    @property
    def is_long(self) -> bool:
        """Return whether it is time for `tidy`."""

    def tidy(self) -> None:
        """Do the upkeep that can wait, while others read and write."""

    def scrub(self, longest_s: float | None = None) -> bool:
        """Remove deleted rows from the database; returns False if that has to be done later."""


class Database(Protocol):
    """One open database of a store.

    Every method raises `StoreFailed` where the database cannot be read or written, `StoreCorrupt` where it finds
    damage, and `ShuttingDown` after `close`.

    Attributes:
        schema: the kind of store.
        vault: the keys of the store.
        writer: the connection that writes; for the thread that writes.
        audit: over the connection that writes; for the same thread.
        was_alone: whether no other process had the store open at first.
    """

    schema: Schema
    vault: Vault
    audit: AuditTable
    was_alone: bool

    @property
    def writer(self) -> DriverConnection:
        """Return the connection that writes."""

    @property
    def log(self) -> Log:
        """Return its log."""

    def reading(self) -> AbstractContextManager[Any]:
        """Read within the block, all as of one moment, without waiting for a transaction that writes."""

    def reading_as(self, kind: Callable[[Any, Vault], Q], /) -> AbstractContextManager[Q]:
        """Read as `reading`, with what `kind` makes of a connection and the keys."""

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read the audit as of one moment, within the block; nothing can be appended."""

    def new_reader(self) -> DriverConnection:
        """Return another connection that reads, which the caller closes; raises the errors of the driver."""

    def transaction(self, make: Callable[[Any], T]) -> AbstractContextManager[T]:
        """Write within the block: durable when the block has ended, undone where an exception leaves it.

        One thread at a time. `make` is given the database and returns what runs the statements.
        """

    def keep_numbers(self, last: Mapping[str, int]) -> None:
        """Remember, in the transaction, the greatest number that the caller has given to a row of each table."""

    @property
    def is_shared(self) -> bool:
        """Return whether several processes may have the store open at once."""

    @property
    def is_lost(self) -> bool:
        """Return whether this process's knowledge of the store is out of date for good, so that it must end."""

    def spare_bytes(self) -> int:
        """Return how many bytes may be added."""

    def require_whole(self) -> None:
        """Raise `StoreCorrupt` unless the database finds its own files sound, as far as it can check them."""

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each table of the store."""

    def alone_for(self) -> AbstractContextManager[None]:
        """Hold the store alone within the block; raises `StoreInUse` where others have it open."""

    def building(self, *, wait: bool) -> AbstractContextManager[bool]:
        """Be the only one of all processes that builds something which takes several transactions."""

    def close(self) -> None:
        """Close; harmless when done twice."""
