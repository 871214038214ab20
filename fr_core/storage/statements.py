"""Runs the statements of a store within one transaction, which reads or writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fr_core.errors import StorageLow, StoreFailed, message
from fr_core.storage.driver_errors import DriverError
from fr_core.storage.protocol import Database, DriverConnection, Row
from fr_core.storage.vault import Value, Vault


class Reading:
    """Reads the database, all as of one moment, over a connection in a transaction."""

    def __init__(self, connection: DriverConnection, vault: Vault) -> None:
        self.connection = connection
        self.vault = vault

    def execute(self, statements: str, bindings: Sequence[Value] = (), /) -> Iterator[Row]:
        """Run a statement and return its rows one by one; raises `DriverError`."""
        return iter(self.connection.execute(statements, bindings))

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """Return the rows of a statement; raises `DriverError`."""
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Value) -> Row | None:
        """Return the first row of a statement, None if it has none; raises `DriverError`."""
        return self.connection.execute(sql, values).fetchone()


class Transaction(Reading):
    """Writes the database. A store whose transactions remember more than these extends `_memory` and `finish`.

    `audit` takes records, which are kept if and only if the transaction is.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database.writer, database.vault)
        self.audit = database.audit
        self._ask_spare = database.spare_bytes
        self._keep_numbers = database.keep_numbers
        self._spare: int | None = None
        self.kept: list[Callable[[], None]] = []

    def foresee(self, jobs: Sequence[object]) -> None:
        """See the jobs of a group before the first runs, so that one query can serve many."""

    def require_room(self, grows_by: int) -> None:
        """Raise `StorageLow` unless the disk has room for so many bytes more; asked once in a transaction."""
        if self._spare is None:
            self._spare = self._ask_spare()
        if self._spare < grows_by:
            raise StorageLow(message("error.storage.disk_data_folder_nearly"))
        self._spare -= grows_by

    def write(self, sql: str, *values: Value) -> int:
        """Run a statement that changes rows; returns how many. Raises `DriverError`."""
        self.connection.execute(sql, values)
        return self.connection.changes()

    def when_kept(self, callback: Callable[[], None]) -> None:
        """Have something done when all is durable, before any caller gets a result."""
        self.kept.append(callback)

    def finish(self) -> None:
        """Write what was held back; called before the commit."""

    @contextmanager
    def item(self) -> Iterator[None]:
        """Undo only what the block writes where it raises; raises `StoreFailed` if the database undid everything."""
        put_back = self._memory()
        self.connection.execute("SAVEPOINT item")
        try:
            yield
        except DriverError:
            raise  # the whole group fails
        except BaseException as error:
            if not self.connection.in_transaction:
                raise StoreFailed(message("error.storage.undone"), cause=type(error).__name__) from error
            self.connection.execute("ROLLBACK TO item")
            self.connection.execute("RELEASE item")
            put_back()
            raise
        self.connection.execute("RELEASE item")

    def _memory(self) -> Callable[[], None]:
        """Return a function that puts the memory of this object back to its present state, for a job that is undone."""
        spare, kept = self._spare, len(self.kept)

        def put_back() -> None:
            self._spare = spare
            del self.kept[kept:]

        return put_back
