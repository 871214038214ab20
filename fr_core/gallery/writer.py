"""The one thread that writes: it commits all changes that wait together, so that they share the sync."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fr_core.errors import FrError, InternalError, ShuttingDown, StoreCorrupt, StoreFailed, for_one_caller
from fr_core.gallery.changes import Change, Done, Effect
from fr_core.gallery.search.memory import Memories
from fr_core.gallery.store.protocol import Store, Transaction
from fr_core.storage.audit.attribution import Attribution, current_attribution

R = TypeVar("R")

_log = logging.getLogger(__name__)

# At some 100 microseconds a change, the last of a group waits 50 ms at most for the others.
_MAX_GROUP = 512
_DIED = "The thread that writes has died."

# A change, whom the audit puts it down to, and who waits for it.
_Waiting = tuple[Change[Any], Attribution, "Future[Any]"]
# What became of a change within its group, before the commit: done, or the error that its caller gets.
_Outcome = Done[Any] | Exception


class Writer:
    """Runs changes in groups: one transaction and one sync a group, a savepoint a change.

    A change that is refused, or that fails by a defect of its own, leaves the others of its group as they are. Where
    the store fails, the whole group fails and nothing of it is kept. A change has returned only after it is durable and
    the memory shows it. What the audit is told of a change is kept with it, or not at all.

    Args:
        store: is written.
        memories: show what was written.
        broken: ends with an `InternalError` where the thread dies, after which nothing can be written or searched.
    """

    def __init__(self, store: Store, memories: Memories, broken: Future[None]) -> None:
        self._store = store
        self._memories = memories
        self._broken = broken
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="gallery-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """About how many changes wait to be taken up."""
        return self._queue.qsize()

    def run(self, change: Change[R]) -> R:
        """Run a change and wait until it is durable and shown; the audit puts it down to `current_attribution`.

        Raises:
            ShuttingDown: the writer is closed.
            StoreFailed: nothing of the change was kept.
            FrError: the change's own refusals.
        """
        future: Future[R] = Future()
        with self._closing:
            if self._closed:
                raise ShuttingDown("The galleries are closed.")
            self._queue.put((change, current_attribution(), future))
        return future.result()

    def close(self) -> None:
        """Finish what waits, take nothing new, and end the thread; harmless when done twice."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        group: list[_Waiting] = []
        try:
            while self._take(group):
                self._commit(group)
                group.clear()
                self._store.tidy()
        except BaseException as error:  # noqa: BLE001 - the boundary of the thread
            self._abandon(group)
            died = InternalError(_DIED, cause=type(error).__name__)
            died.__cause__ = error
            # It is told to whoever waits for `broken`, not to the thread's hook, which would print what a caller sent.
            self._broken.set_exception(died)

    def _take(self, group: list[_Waiting]) -> bool:
        """Fill `group` with what waits, at least one change; False at the end."""
        waiting = self._queue.get()
        while waiting is not None:
            group.append(waiting)
            if len(group) == _MAX_GROUP:
                break
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
        else:
            self._queue.put(None)  # the end comes after this group
        return bool(group)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        try:
            with self._store.transaction() as transaction:
                outcomes = [_run(transaction, change, by) for change, by, _ in group]
        # Whatever it is, every caller must hear of it.
        except Exception as error:  # noqa: BLE001
            for *_, future in group:
                future.set_exception(for_one_caller(error))
            return
        self._memories.apply(_effects(outcomes))
        for (*_, future), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Done):
                future.set_result(outcome.result)
            else:
                future.set_exception(outcome)

    def _abandon(self, group: Sequence[_Waiting]) -> None:
        """Let nobody wait for a thread that has died."""
        self._memories.abandon()
        with self._closing:
            self._closed = True
        left = list(group)
        while not self._queue.empty():
            waiting = self._queue.get()
            if waiting is not None:
                left.append(waiting)
        for *_, future in left:
            if not future.done():
                future.set_exception(InternalError(_DIED))


def _run(transaction: Transaction, change: Change[Any], by: Attribution) -> _Outcome:
    try:
        with transaction.item():
            done = change.run(transaction)
            transaction.record(by, done.told)
            return done
    except (StoreFailed, StoreCorrupt):
        raise  # the whole group fails
    except FrError as refusal:
        return refusal
    # A defect that one change meets must not fail the others.
    except Exception as error:  # noqa: BLE001
        _log.error("a change failed: %s", type(error).__name__)  # its message may hold what the caller sent
        return error


def _effects(outcomes: Sequence[_Outcome]) -> list[Effect]:
    return [effect for outcome in outcomes if isinstance(outcome, Done) for effect in outcome.effects]
