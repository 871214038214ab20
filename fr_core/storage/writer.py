"""The one thread of a process that writes: it commits all jobs that wait together, so that they share the sync."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

import apsw

from fr_core.errors import FrError, InternalError, ShuttingDown, StorageLow, StoreFailed, for_one_caller
from fr_core.storage.database import Database, Reading
from fr_core.storage.sqlite_errors import sqlite_errors
from fr_core.storage.vault import Value

R = TypeVar("R")

_log = logging.getLogger(__name__)

# At some 150 microseconds a change, the last of a group waits 40 ms at most for the others.
_MAX_GROUP = 256
# Between the beginnings of two groups, at least: each costs the disk a sync and the processor some 200 microseconds,
# whatever is in it. A change that comes alone does not wait.
_PACE_S = 0.01


class Transaction(Reading):
    """A group of jobs under way.

    A store that remembers more of it than this class does extends it, and `_memory` with it.

    Args:
        database: is written.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database.writer, database.seals)
        self._ask_spare = database.spare_bytes
        self._spare: int | None = None
        self.kept: list[Callable[[], None]] = []

    def require_room(self, grows_by: int) -> None:
        """Raise `StorageLow` unless the disk has room for so many bytes more; asked once in a transaction."""
        if self._spare is None:
            self._spare = self._ask_spare()
        if self._spare < grows_by:
            raise StorageLow("The disk of the data folder is nearly full.")
        self._spare -= grows_by

    def write(self, sql: str, *values: Value) -> int:
        """Run a statement that changes rows; returns how many. Raises `apsw.Error`."""
        self._connection.execute(sql, values)
        return self._connection.changes()

    def when_kept(self, callback: Callable[[], None]) -> None:
        """Have something done when all is durable, before anybody is told."""
        self.kept.append(callback)

    @contextmanager
    def item(self) -> Iterator[None]:
        """Have what the block writes undone where it raises, and only that.

        Raises:
            StoreFailed: SQLite undid everything by itself.
        """
        put_back = self._memory()
        self._connection.execute("SAVEPOINT item")
        try:
            yield
        except apsw.Error:
            raise  # the whole group fails
        except BaseException as error:
            if not self._connection.in_transaction:
                raise StoreFailed("The database undid the transaction.", cause=type(error).__name__) from error
            self._connection.execute("ROLLBACK TO item")
            self._connection.execute("RELEASE item")
            put_back()
            raise
        self._connection.execute("RELEASE item")

    def _memory(self) -> Callable[[], None]:
        """Return what puts all that this object remembers back to as it is now, for a job that is undone."""
        spare, kept = self._spare, len(self.kept)

        def put_back() -> None:
            self._spare = spare
            del self.kept[kept:]

        return put_back


T = TypeVar("T", bound=Transaction)

_Waiting = tuple[Callable[[T], Any], Future[Any]]


class Writer(Generic[T]):
    """Runs jobs in groups: one transaction and one sync a group, a savepoint a job.

    A job that is refused, or that fails by a defect of its own, leaves the others of its group as they are. Where the
    database fails, the whole group fails and nothing of it is kept: what a commit that failed has left in the log is
    taken off it before anybody is told, and where the disk refuses that too, the error says so, and nothing is written
    until it is done. A future ends only after what its job did is durable; one that was cancelled before its job was
    taken up does not run it.

    Args:
        database: is written by this thread alone.
        broken: ends with an `InternalError` where the thread dies, or the one that shortens the log, without which the
            disk would fill; nothing can be written after either.
        transaction: makes the transaction of a group, in which its jobs run.
    """

    def __init__(self, database: Database, broken: Future[None], transaction: Callable[[Database], T]) -> None:
        self._database = database
        self._broken = broken
        self._transaction = transaction
        self._name = database.schema.name
        self._queue: queue.SimpleQueue[_Waiting[T] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._long_log = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{database.schema.stem}-writer", daemon=True)
        self._tidying = threading.Thread(target=self._tidy, name=f"{database.schema.stem}-log", daemon=True)
        self._thread.start()
        self._tidying.start()

    def submit(self, job: Callable[[T], R]) -> Future[R]:
        """Have a job done; the future has what it returned, once that is durable.

        Raises:
            ShuttingDown: the writer is closed.
        """
        future: Future[R] = Future()
        with self._closing:
            if self._closed:
                raise ShuttingDown(f"The {self._name} is closed.")
            self._queue.put((job, future))
        return future

    def run(self, job: Callable[[T], R]) -> R:
        """Have a job done and wait; raises what it raises, `StoreFailed` or `StoreCorrupt`, and as `submit`."""
        return self.submit(job).result()

    def close(self) -> None:
        """Finish what waits, take nothing new, and end the threads; harmless when done twice."""
        self._take_no_more()
        self._thread.join()
        self._long_log.set()
        self._tidying.join()

    def _take_no_more(self) -> None:
        """Have the thread that writes end after what waits."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)

    def _work(self) -> None:
        group: list[_Waiting[T]] = []
        try:
            while self._take(group):
                begun = time.monotonic()
                self._commit(group)
                group.clear()
                if self._database.log_is_long:
                    self._long_log.set()
                time.sleep(max(0.0, begun + _PACE_S - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - the boundary of the thread
            self._abandon(group)
            self._tell_broken(self._died(), error)

    def _tidy(self) -> None:
        try:
            while True:
                self._long_log.wait()
                self._long_log.clear()
                if self._closed:
                    return
                self._database.tidy()
        except BaseException as error:  # noqa: BLE001 - the boundary of the thread
            self._take_no_more()
            self._tell_broken(f"The thread that shortens the log of the {self._name} has died.", error)

    def _tell_broken(self, what: str, error: BaseException) -> None:
        died = InternalError(what, cause=type(error).__name__)
        died.__cause__ = error
        # It is told to whoever waits for `broken`, not to the thread's hook, which would print what a caller sent.
        with suppress(InvalidStateError):  # the other thread may have died of the same
            self._broken.set_exception(died)

    def _take(self, group: list[_Waiting[T]]) -> bool:
        """Fill `group` with what waits; False at the end."""
        waiting = self._queue.get()
        while waiting is not None:
            if waiting[1].set_running_or_notify_cancel():
                group.append(waiting)
            if len(group) == _MAX_GROUP:
                return True
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return True
        if group:
            self._queue.put(None)  # the end comes after this group
        return bool(group)

    def _commit(self, group: list[_Waiting[T]]) -> None:
        if not group:
            return
        connection = self._database.writer
        try:
            with sqlite_errors():
                try:
                    self._database.begin()
                    transaction = self._transaction(self._database)
                    outcomes = [_outcome(transaction, job) for job, _ in group]
                    self._database.commit()
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        # Whatever it is, every caller must hear of it.
        except Exception as error:  # noqa: BLE001
            for _, future in group:
                future.set_exception(for_one_caller(error))
            return
        for callback in transaction.kept:
            callback()
        for (_, future), (result, refusal) in zip(group, outcomes, strict=True):
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)

    def _abandon(self, group: list[_Waiting[T]]) -> None:
        """Let nobody wait for a thread that has died."""
        with self._closing:
            self._closed = True
        left = list(group)
        while not self._queue.empty():
            waiting = self._queue.get()
            if waiting is not None and waiting[1].set_running_or_notify_cancel():
                left.append(waiting)
        for _, future in left:
            if not future.done():
                future.set_exception(InternalError(self._died()))

    def _died(self) -> str:
        return f"The thread that writes the {self._name} has died."


def _outcome(transaction: T, job: Callable[[T], Any]) -> tuple[Any, Exception | None]:
    try:
        with transaction.item():
            return job(transaction), None
    except (apsw.Error, StoreFailed):
        raise  # the whole group fails
    except FrError as refusal:  # or a row that was damaged
        return None, refusal
    # A defect that one job meets must not fail the others.
    except Exception as error:  # noqa: BLE001
        _log.error("a change failed: %s", type(error).__name__)  # its message may hold what the caller sent
        if isinstance(error, StopIteration):  # which no future of asyncio takes: its caller would wait for ever
            stopped = InternalError("A change failed.", cause=type(error).__name__)
            stopped.__cause__ = error
            return None, stopped
        return None, error
