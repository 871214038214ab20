"""Shares of what is scarce: no caller takes all places of a kind, and callers who wait take turns."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

from fr_core.errors import Overloaded

T = TypeVar("T")

EVERYBODY = ""
"""The caller where nobody is asked who calls: it may have every place."""


def share_of(capacity: int) -> int:
    """Return how many of so many places one caller may have: a quarter, or at least one, is left for others."""
    return max(1, capacity - max(1, capacity // 4))


class Places:
    """Scarce places of one kind, which callers share; any thread may use them.

    A caller either takes places at once, or is refused (`take`), or asks for one and waits for its turn (`ask`).
    Callers who wait take turns, however many places each has asked for.

    Args:
        capacity: places, at least 1.
        what: names them in a refusal, such as "calls in work".
        share: places of one caller at most; None = `share_of(capacity)`.
        kept_s: for so many seconds, the caller that had a place last is refused where another caller was: of places
            that are held for long, one caller could else take the next as well.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        capacity: int,
        what: str,
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
        self._waiting: OrderedDict[str, deque[Callable[[], bool]]] = OrderedDict()  # whose turn is next comes first
        self._last = EVERYBODY
        self._refused_other: tuple[str, float] = EVERYBODY, -math.inf

    @property
    def taken(self) -> int:
        """Places that are taken now."""
        with self._lock:
            return self._taken.total()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def refusal(self, caller: str) -> Overloaded | None:
        """Return why a caller cannot take a place now; None where it can."""
        with self._lock:
            return self._refusal(caller, 1)

    def take(self, caller: str, amount: int = 1) -> None:
        """Take places; raises `Overloaded` where they are taken, or the caller has its share."""
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
        """Wait for a place: `begin` is called once the caller has it, from any thread, at once where one is free.

        Where `begin` returns False, nobody wants the place any more, and the next caller gets it.
        """
        with self._lock:
            self._waiting.setdefault(caller, deque()).append(begin)
        self._grant()

    def withdraw(self, caller: str, begin: Callable[[], bool]) -> None:
        """Wait no more; does nothing where `begin` has been called."""
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
        """Let others have places that a caller took or was given."""
        self._free(caller, amount)
        self._grant()

    @contextmanager
    def held(self, caller: str, amount: int = 1) -> Iterator[None]:
        """Take places for the block; raises as `take`."""
        self.take(caller, amount)
        try:
            yield
        finally:
            self.give_back(caller, amount)

    def _refusal(self, caller: str, amount: int) -> Overloaded | None:
        if caller != EVERYBODY and self._taken[caller] + amount > self._share:
            what = f"This caller has {self._taken[caller]} {self._what}; one may have {self._share}."
            return Overloaded(what, limit=str(self._share))
        if self._taken.total() + amount > self._capacity:
            what = f"The server has {self._taken.total()} {self._what}; it takes {self._capacity}."
            return Overloaded(what, limit=str(self._capacity))
        if caller == self._last and self._clock() - self._refused_other[1] < self._kept_s:
            return Overloaded("Another caller was refused and comes first.", limit=str(self._capacity))
        return None

    def _free(self, caller: str, amount: int) -> None:
        with self._lock:
            self._taken[caller] -= amount
            if not self._taken[caller]:
                del self._taken[caller]

    def _grant(self) -> None:
        """Give free places to those whose turn it is."""
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
    """A pool of threads that callers share as `Places`: each runs its tasks in their order, and callers take turns.

    Args:
        threads: of the pool, at least 1.
        name: of the threads.
        initializer: is called in each thread first.
    """

    def __init__(self, threads: int, name: str, initializer: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, name, initializer)
        self._places = Places(threads, f"tasks of {name}")

    @property
    def waiting(self) -> int:
        """Tasks that wait for a thread."""
        return self._places.waiting

    def has_room(self, caller: str) -> bool:
        """Whether a task of a caller would begin at once."""
        return self._places.refusal(caller) is None

    def submit(self, caller: str, task: Callable[[], T]) -> Future[T]:
        """Have a task run for a caller; a future that is cancelled before its task begins drops it."""
        done: Future[T] = Future()
        waiting = _Task(self._pool, self._places, caller, task, done)
        # Weak: a future that held its task, which holds the future, would keep a request until the collector comes.
        drop = weakref.WeakMethod(waiting.drop)
        done.add_done_callback(lambda ended: _call(drop()) if ended.cancelled() else None)
        self._places.ask(caller, waiting.begin)
        return done

    def close(self) -> None:
        """Wait for what has begun, and drop the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Task(Generic[T]):
    """A task that waits for its turn."""

    def __init__(
        self, pool: ThreadPoolExecutor, places: Places, caller: str, task: Callable[[], T], done: Future[T]
    ) -> None:
        self._pool = pool
        self._places = places
        self._caller = caller
        self._work: tuple[Callable[[], T], Future[T]] | None = task, done

    def begin(self) -> bool:
        """Have it run, its turn has come; False where nobody wants it, or the pool is closed."""
        if self._work is None or self._work[1].cancelled():
            return False
        try:
            self._pool.submit(self._run).add_done_callback(self._closed)
        except RuntimeError:
            self._cancel()
            return False
        return True

    def drop(self) -> None:
        """Wait no more."""
        self._places.withdraw(self._caller, self.begin)

    def _run(self) -> None:
        try:
            self._run_task()
        finally:  # in this thread: a callback of the pool's future could run in one that gives places, within itself
            self._places.give_back(self._caller)

    def _run_task(self) -> None:
        if self._work is None:
            return
        (task, done), self._work = self._work, None
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = task()
        except BaseException as error:  # noqa: BLE001 - for whoever waits, as in every pool
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
