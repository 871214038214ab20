"""Writes a store on one thread, which commits all jobs that wait together, so that they share the sync."""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from fr_core.errors import FrError, InternalError, ShuttingDown, StoreFailed, for_one_caller, message
from fr_core.storage.driver_errors import DriverError
from fr_core.storage.protocol import Database, T
from fr_locales.messages import Message

R = TypeVar("R")

_log = logging.getLogger(__name__)

# At some 150 microseconds a job, the last of a group waits 40 ms at most for the others.
_MAX_GROUP = 256

_Waiting = tuple[Callable[[T], Any], Future[Any]]


class Writer(Generic[T]):
    """Runs jobs in groups: one transaction and one sync a group, a savepoint a job.

    A group is what waits when the thread is free: it forms while the group before it is committed, and no job waits for
    others to join it.

    A job that is refused, or that fails by a defect of its own, leaves the others of its group as they are. If the
    database fails, the whole group fails and nothing of it is kept: a failed commit is cut off the log before any
    caller gets its error. If the disk refuses that too, the error says so, and nothing is written until it is done. A
    future ends only after the changes of its job are durable; a job whose future was cancelled in time does not run.

    Args:
        database: is written by this thread alone.
        broken: ends with an `InternalError` if the thread dies, or the thread that copies the log, without which the
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

    @property
    def waiting(self) -> int:
        """About how many jobs wait to be taken up."""
        return self._queue.qsize()

    def submit(self, job: Callable[[T], R]) -> Future[R]:
        """Have a job done; the future has its result once its changes are durable. Raises `ShuttingDown`."""
        future: Future[R] = Future()
        with self._closing:
            if self._closed:
                raise ShuttingDown(message("error.storage.closed_2", name=self._name))
            self._queue.put((job, future))
        return future

    def run(self, job: Callable[[T], R]) -> R:
        """Have a job done and wait; raises the errors of the job, `StoreFailed`, `StoreCorrupt`, and as `submit`."""
        return self.submit(job).result()

    def close(self) -> None:
        """Finish what waits, take nothing new, and end the threads; harmless when done twice."""
        self._take_no_more()
        self._thread.join()
        self._long_log.set()
        self._tidying.join()

    def _take_no_more(self) -> None:
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)

    def _work(self) -> None:
        group: list[_Waiting[T]] = []
        try:
            while self._take(group):
                self._commit(group)
                group.clear()
                if self._database.log.is_long:
                    self._long_log.set()
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
                self._database.log.tidy()
        except BaseException as error:  # noqa: BLE001 - the boundary of the thread
            self._take_no_more()
            self._tell_broken(message("error.storage.tidier_died", name=self._name), error)

    def _tell_broken(self, what: Message, error: BaseException) -> None:
        died = InternalError(what, cause=type(error).__name__)
        died.__cause__ = error
        # `broken` gets the error, not the hook of the thread, which would print what a caller sent.
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
        try:
            with self._database.transaction(self._transaction) as transaction:
                transaction.foresee([job for job, _ in group])
                outcomes = [_outcome(transaction, job) for job, _ in group]
        # Whatever it is, every caller must hear of it.
        except Exception as error:
            for _, future in group:
                future.set_exception(for_one_caller(error))
            if self._database.is_lost:
                raise
            return
        for callback in transaction.kept:
            callback()
        for (_, future), (result, refusal) in zip(group, outcomes, strict=True):
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)

    def _abandon(self, group: list[_Waiting[T]]) -> None:
        """End the futures that wait for a thread that has died."""
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

    def _died(self) -> Message:
        return message("error.storage.writer_died", name=self._name)


def _outcome(transaction: T, job: Callable[[T], Any]) -> tuple[Any, Exception | None]:
    try:
        with transaction.item():
            return job(transaction), None
    except (*DriverError, StoreFailed):
        raise  # the whole group fails
    except FrError as refusal:  # or a row that was damaged
        return None, refusal
    # A defect that one job meets must not fail the others.
    except Exception as error:  # noqa: BLE001
        _log.error("a change failed: %s", type(error).__name__)  # its message may hold what the caller sent
        if isinstance(error, StopIteration):  # which no future of asyncio takes: its caller would wait for ever
            stopped = InternalError(message("error.storage.change_failed"), cause=type(error).__name__)
            stopped.__cause__ = error
            return None, stopped
        return None, error
