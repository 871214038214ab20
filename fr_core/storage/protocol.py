"""Says what the stores ask of a database: statements within a transaction, and transactions.

SQLite implements it in `database`, `statements`, `connection`, `log_copier` and `sqlite_*`; a second database has to
implement the same. Above it, the stores, the audit and the integrity checks run standard SQL; `dialect` has the few
expressions that each database writes in its own way.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import Value, Vault

Row = tuple[Any, ...]


class Connection(Protocol):
    """Runs statements in a transaction that its owner began, and raises the errors of the database's driver."""

    def execute(self, statements: str, bindings: Sequence[Value] = ..., /) -> Iterable[Row]:
        """Run a statement, or several without values; return the rows."""


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
    """The log that a database writes before its tables; a database that does its own upkeep has nothing to do here."""

    @property
    def is_long(self) -> bool:
        """Return whether it is time for `tidy`."""

    def tidy(self) -> None:
        """Do the upkeep that can wait, while others read and write."""

    def scrub(self) -> bool:
        """Leave no trace of deleted rows on the disk; returns False if that has to be done later."""


class Database(Protocol):
    """One open database of a store.

    Every method raises `StoreFailed` where the disk refuses, `StoreCorrupt` where the database finds damage, and
    `ShuttingDown` after `close`.
    """

    @property
    def vault(self) -> Vault:
        """The keys of the store."""

    @property
    def log(self) -> Log:
        """Its log."""

    def reading(self) -> AbstractContextManager[Statements]:
        """Read within the block, all as of one moment, without waiting for a transaction that writes."""

    def transaction(self, make: Callable[[Any], Any], /) -> AbstractContextManager[Any]:
        """Write within the block: durable when the block has ended, undone where an exception leaves it.

        One thread at a time. `make` is given the database and returns what runs the statements.
        """

    def building(self, *, wait: bool) -> AbstractContextManager[bool]:
        """Be the only one of all processes that builds something which takes several transactions."""

    def rotate(self, key: KeyEncryptionKey) -> None:
        """Wrap every key of the store by another."""

    def close(self) -> None:
        """Close; harmless when done twice."""
