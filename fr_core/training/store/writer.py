"""The transactions of training, which number what they change and know the sessions that they have changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from fr_core.keeping import writer
from fr_core.keeping.database import Database
from fr_core.training.trials import Session


class Transaction(writer.Transaction):
    """A group of jobs under way.

    Args:
        database: is written.

    Attributes:
        changed: sessions as jobs of the group have left them, by their numbers.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._version: int | None = None
        self.changed: dict[int, Session] = {}

    def version(self) -> int:
        """The number of this transaction, drawn when it is asked for first; greater than that of any before."""
        if self._version is None:
            row = self.row("UPDATE versions SET last_version = last_version + 1 RETURNING last_version")
            assert row is not None
            self._version = int(row[0])
        return self._version

    def _memory(self) -> Callable[[], None]:
        version, put_back_rest = self._version, super()._memory()

        def put_back() -> None:
            self._version = version
            put_back_rest()

        return put_back


class Writer(writer.Writer[Transaction]):
    """The one thread of a process that writes what belongs to training.

    Args:
        database: is written by this thread alone.
        broken: ends with an `InternalError` where the thread dies, after which nothing can be written.
    """

    def __init__(self, database: Database, broken: Future[None]) -> None:
        super().__init__(database, broken, Transaction)
