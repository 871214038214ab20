"""Shares scarce places among callers: no caller gets all places of a kind, and waiting callers take turns."""

import itertools
import math
import sys
import threading
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

from fr_core.errors import Overloaded, message
from fr_locales.messages import Message

T = TypeVar("T")

EVERYBODY = ""  # the caller if the server does not ask who calls: it may have every place


def share_of(capacity: int) -> int:
    """Return how many of `capacity` places one caller may have; a quarter, or at least one, stays free for others."""
    return max(1, capacity - max(1, capacity // 4))


def capacity_of(share: int) -> int:
    """Return the fewest places of which one caller may have `share`, at least 1."""
    return next(capacity for capacity in itertools.count(share) if share_of(capacity) >= share)


class Places:
    """Shares scarce places of one kind among callers; any thread may use it.

    A caller either takes places at once or is refused (`take`), or asks for one and waits for its turn (`ask`).
    Waiting callers take turns, no matter how many places each has asked for.

    Args:
        capacity: places, at least 1.
        what: names them in a refusal, such as "calls in work".
        share: places of one caller at most; None = `share_of(capacity)`.
        kept_s: after a refusal of another caller, the last holder of a place is refused for so many seconds. Otherwise
            one caller could take a long-held place again and again.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        capacity: int,
        what: Message | str,
        share: int | None = None,
        kept_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._share = share_of(capacity) if share is None else share
        self._what = what
        self._kept_s = kept_s
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[Callable[[], bool]]] = OrderedDict()  # in the order of their turns
        self._last = EVERYBODY
        self._refused_other: tuple[str, float] = EVERYBODY, -math.inf

    @property
    def taken(self) -> int:
        """Number of places in use."""
        with self._lock:
            return self._taken.total()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a place."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def refusal(self, caller: str) -> Overloaded | None:
        """Return why a caller cannot take a place now; None if it can."""
        with self._lock:
            return self._refusal(caller, 1)

    def take(self, caller: str, amount: int = 1) -> None:
        """Take places; raises `Overloaded` if none are free, or the caller has its share."""
        with self._lock:
            refusal = self._refusal(caller, amount)
            if refusal is not None:
                if caller != self._last:
                    self._refused_other = caller, self._clock()
                raise refusal
            self._last = caller
            if caller == self._refused_other[0]:
                self._refused_other = EVERYBODY, -math.inf
            self._taken[caller] += amount

    def ask(self, caller: str, begin: Callable[[], bool]) -> None:
        """Wait for a place: calls `begin` once the caller has it, from any thread; at once if one is free.

        If `begin` returns False, the place is no longer wanted, and the next caller gets it.
        """
        with self._lock:
            self._waiting.setdefault(caller, deque()).append(begin)
        self._grant()

    def withdraw(self, caller: str, begin: Callable[[], bool]) -> None:
        """Stop waiting; does nothing if `begin` has been called."""
        with self._lock:
            waiting = self._waiting.get(caller)
            if waiting is not None and begin in waiting:
                waiting.remove(begin)
                if not waiting:
                    del self._waiting[caller]

    def wait(self, caller: str) -> None:
        """Wait in this thread until the caller has a place."""
        granted: Future[None] = Future()

        def begin() -> bool:
            granted.set_result(None)
            return True

        self.ask(caller, begin)
        granted.result()

    def give_back(self, caller: str, amount: int = 1) -> None:
        """Free places that a caller took or was given."""
        self._free(caller, amount)
        self._grant()

    def close(self) -> None:
        """Give all waiting callers a place at once; for when the shared things are closed, and refuse the work."""
        with self._lock:
            self._capacity = self._share = sys.maxsize
        self._grant()

    @contextmanager
    def held(self, caller: str, amount: int = 1) -> Iterator[None]:
        """Hold places for the block; raises like `take`."""
        self.take(caller, amount)
        try:
            yield
        finally:
            self.give_back(caller, amount)

    def _refusal(self, caller: str, amount: int) -> Overloaded | None:
        if caller != EVERYBODY and self._taken[caller] + amount > self._share:
            return Overloaded(
                message("error.sharing.caller_limit", taken=self._taken[caller], what=self._what, share=self._share),
                limit=str(self._share),
            )
        if self._taken.total() + amount > self._capacity:
            return Overloaded(
                message(
                    "error.sharing.server_limit", taken=self._taken.total(), what=self._what, capacity=self._capacity
                ),
                limit=str(self._capacity),
            )
        if caller == self._last and self._clock() - self._refused_other[1] < self._kept_s:
            return Overloaded(message("error.sharing.another_caller_refused_earlier"), limit=str(self._capacity))
        return None

    def _free(self, caller: str, amount: int) -> None:
        with self._lock:
            self._taken[caller] -= amount
            if not self._taken[caller]:
                del self._taken[caller]

    def _grant(self) -> None:
        while (granted := self._next()) is not None:
            caller, begin = granted
            if not begin():
                self._free(caller, 1)

    def _next(self) -> tuple[str, Callable[[], bool]] | None:
        with self._lock:
            if self._taken.total() >= self._capacity:
                return None
            for caller, waiting in self._waiting.items():
                if caller != EVERYBODY and self._taken[caller] >= self._share:
                    continue
                self._taken[caller] += 1
                self._waiting.move_to_end(caller)
                begin = waiting.popleft()
                if not waiting:
                    del self._waiting[caller]
                return caller, begin
            return None


class FairThreads:
    """Runs tasks in a pool of threads that callers share as `Places`: waiting callers take turns.

    `threads`: of the pool, at least 1; `name`: of the threads; `initializer`: runs first in each thread.
    """

    def __init__(self, threads: int, name: str, initializer: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, name, initializer)
        self._places = Places(threads, message("error.sharing.tasks", name=name))

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a thread."""
        return self._places.waiting

    def has_room(self, caller: str) -> bool:
        """Return whether a task of a caller would begin at once."""
        return self._places.refusal(caller) is None

    def submit(self, caller: str, task: Callable[[], T]) -> Future[T]:
        """Run a task for a caller; cancelling the future before the task begins drops the task."""
        done: Future[T] = Future()
        waiting = _Task(self._pool, self._places, caller, task, done)
        # Weak, because the task holds the future: a cycle would keep a request until the garbage collector runs.
        drop = weakref.WeakMethod(waiting.drop)
        done.add_done_callback(lambda ended: _call(drop()) if ended.cancelled() else None)
        self._places.ask(caller, waiting.begin)
        return done

    def close(self) -> None:
        """Wait for running tasks, and drop the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Task(Generic[T]):
    def __init__(
        self, pool: ThreadPoolExecutor, places: Places, caller: str, task: Callable[[], T], done: Future[T]
    ) -> None:
        self._pool = pool
        self._places = places
        self._caller = caller
        self._work: tuple[Callable[[], T], Future[T]] | None = task, done

    def begin(self) -> bool:
        if self._work is None or self._work[1].cancelled():
            return False
        try:
            self._pool.submit(self._run).add_done_callback(self._closed)
        except RuntimeError:
            self._cancel()
            return False
        return True

    def drop(self) -> None:
        self._places.withdraw(self._caller, self.begin)

    def _run(self) -> None:
        try:
            self._run_task()
        finally:  # in this thread: a callback of the pool's future could run inside a call that is giving out places
            self._places.give_back(self._caller)

    def _run_task(self) -> None:
        if self._work is None:
            return
        (task, done), self._work = self._work, None
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = task()
        except BaseException as error:  # noqa: BLE001 - the waiting thread gets it, as in every pool
            done.set_exception(error)
            del done  # the error holds this frame, and would hold itself
        else:
            done.set_result(result)

    def _closed(self, ran: Future[None]) -> None:
        if ran.cancelled():  # the pool was closed before the task began
            self._cancel()

    def _cancel(self) -> None:
        if self._work is not None:
            self._work[1].cancel()


def _call(still_there: Callable[[], None] | None) -> None:
    if still_there is not None:
        still_there()
