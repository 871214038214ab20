"""The base of the stores that several processes share: written by one thread of each process, with an audit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, Self

from fr_core.storage.audit.table import AuditTable
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_core.storage.migrations import rotate
from fr_core.storage.opening import open_database
from fr_core.storage.protocol import Database, T
from fr_core.storage.schema import Schema
from fr_core.storage.writer import Writer


class Clearing(Generic[T]):
    """Deletes what is left of deleted rows bit by bit, so that others can write in between, and leaves no trace.

    The keys of such rows are gone already, so that nobody could open them. Several processes may clear at once. `step`
    deletes some rows in a transaction, and returns False where nothing is left.
    """

    def __init__(self, database: Database, writer: Writer[T], step: Callable[[T], bool]) -> None:
        self._database = database
        self._writer = writer
        self._step = step
        self._lock = threading.Lock()
        self._unscrubbed = database.was_alone  # a process that died may have had no time for it

    def clear(self, *, force: bool = False) -> None:
        """Delete everything that is left, and every trace of it; `force`: even if this process knows of none.

        Raises `StoreFailed` if the disk refuses; the next call does the rest.
        """
        while self._writer.run(self._step):
            force = True
        self.scrub(force=force)

    def scrub(self, *, force: bool = False) -> None:
        """Leave no trace of deleted rows, where any is left or `force` says so."""
        with self._lock:
            self._unscrubbed = self._unscrubbed or force
            if self._unscrubbed:
                self._unscrubbed = not self._database.log.scrub()


class SharedStore(Generic[T]):
    """An open store, for several threads and processes; a subclass has the methods of its kind.

    It owns the database; `step` is that of `Clearing`.

    Attributes:
        broken: ends with an `InternalError` where the thread that writes dies; the process must then be ended.
    """

    SCHEMA: ClassVar[Schema]

    def __init__(
        self, database: Database, transaction: Callable[[Database], T], step: Callable[[T], bool] = lambda _: False
    ) -> None:
        self.broken: Future[None] = Future()
        self._database = database
        self._writer: Writer[T] = Writer(database, self.broken, transaction)
        self._clearing: Clearing[T] = Clearing(database, self._writer, step)

    @classmethod
    def open(
        cls,
        location: Location,
        key: KeyEncryptionKey,
        clock_ms: Callable[[], int],
        reserve_bytes: int = 0,
        *,
        vfs: str = "",
        **options: Any,
    ) -> Self:
        """Open the store of a folder or a database, made where it is not there; clear what dead processes have left.

        The arguments are those of `open_database`; `options` are further ones of the subclass.

        Raises:
            StoreNewer: a later version wrote it; nothing was changed.
            StoreInUse: it is of an older version, and another process has it open; nothing was changed.
            WrongKey: it is under another key; nothing was changed.
            StoreCorrupt: it is damaged or was altered, or is not a store of this kind; nothing was changed.
            StoreFailed: the disk refuses.
        """
        database = open_database(location, cls.SCHEMA, key, reserve_bytes, vfs, clock_ms=clock_ms)
        make: Callable[..., Self] = cls  # a subclass is made of the database, a clock and its options
        try:
            store = make(database, clock_ms, **options)
        except BaseException:
            database.close()
            raise
        try:
            store._clear_left()
        except BaseException:
            store.close()
            raise
        return store

    def _clear_left(self) -> None:
        """Delete what processes that died have left."""
        self._clearing.clear()

    def put_under(self, new_key: KeyEncryptionKey) -> None:
        """Put the store under another key; what its data keys encrypt stays.

        Raises `StoreInUse` if another process has it open, `KeyUnavailable` if it is under that key already; nothing
        was changed.
        """
        rotate(self._database, new_key)
        self._clearing.scrub(force=True)  # the old wrapped keys

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read the audit of the store as of one moment, within the block; nothing can be appended."""
        return self._database.auditing()

    def prune_audit(self, after: int, upto: int, last: bool) -> bool:
        """Delete the oldest records of the audit, see `AuditTable.prune`; `last` also removes them from the log."""
        pruned = self._writer.run(lambda tx: tx.audit.prune(after, upto))
        if last:
            self._database.log.scrub()
        return pruned

    def close(self) -> None:
        """Finish the changes that wait, and let the store go; harmless when done twice."""
        self._writer.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
