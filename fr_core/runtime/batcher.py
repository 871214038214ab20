"""Dynamic batching: items of many calls share one run of a model.

A batcher has one or more *lanes*: threads that run the model, several for each device. When a lane is free it takes
what waits, up to the largest allowed batch; nothing ever waits for a batch to become full. While the lanes are busy,
items queue up, and the next batch is larger by itself.

* **Sizes.** A batch has one of the allowed sizes that fit, the largest that the waiting items fill, so that the model
  sees a small, warmed set of shapes. Items of one batch share their group (the size of a tile). While other lanes are
  idle, a lane leaves them their share.
* **Classes.** Interactive items go before bulk items, and the two never share a batch. Of `BULK_TURN` batches one is
  for bulk items, so that they do not starve, and never two in a row: an interactive item waits for one bulk batch at
  most.
* **Turns.** Callers of a class take turns, no matter how many items each has waiting; a batch may mix callers.
* **Bounds.** Each class queues up to `max_queued` items, and each caller its share of these. Further interactive items
  are refused with `Overloaded`; further bulk items wait in their own thread. If the queue is below the bound, it takes
  a whole submission, even one that exceeds the bound: a photo may have more faces than the bound.
* **Nobody waits.** Items whose call was cancelled, or whose deadline has passed, are dropped when the batch forms.
* **Poison.** When a batch fails, its items run once more, each on its own, and only those that fail again fail.
* **Death.** When an item fails on its own, the lane runs an example that was fine at the start. If that fails too, the
  device is lost. Then, or if a lane ends for whatever reason, every waiter gets `DeviceLost` at once, in all lanes,
  `on_death` hears the cause, and later submissions are refused.
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Generic, TypeVar

from fr_core.errors import CallEnded, ConfigInvalid, DeviceLost, DeviceUnavailable, Overloaded, ShuttingDown, message
from fr_core.runtime.observe import ModelRole, NullObserver, Observer
from fr_core.runtime.priority import MODELS, stand_back
from fr_core.runtime.sizes import require_sizes
from fr_core.runtime.ticket import Ticket, current_ticket
from fr_core.sharing import EVERYBODY, share_of

Item = TypeVar("Item")
Result = TypeVar("Result")
Run = Callable[[Sequence[Item]], Sequence[Result]]

BULK_TURN = 8  # while both classes wait, one batch of so many is for bulk items


@dataclass(slots=True, eq=False)
class _Submission(Generic[Result]):
    ticket: Ticket
    results: list[Result | None]
    missing: int
    future: Future[list[Any]] = field(default_factory=Future)

    def wanted(self) -> bool:
        return not self.future.done() and self.ticket.wanted


@dataclass(frozen=True, slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    place: int
    group: Hashable
    since: float
    submission: _Submission[Result]

    @property
    def caller(self) -> str:
        return self.submission.ticket.caller


class Batcher(Generic[Item, Result]):
    """Runs items of many callers in batches; every method may be called from any thread.

    Args:
        role: what the model is to observers.
        runs: one function for each lane, from a batch to its results in the same order; called by its lane's thread
            only.
        sizes: allowed sizes of a batch; 1 must be among them.
        max_queued: items of a class that wait, at least 1.
        examples: items that every lane can run, one for each group: run in every size that fits by `start`, and the
            first is what a device must be able to run as long as it lives. At least one.
        group: items share a batch if this is equal for them.
        on_death: called once, from a lane's thread, with what killed it.
        clock: seconds, monotonic.
        fits: tells of an item and a size whether a batch may have so many such items; 1 always fits.

    Raises `ConfigInvalid`: `sizes` is empty, lacks 1 or holds a number below 1, or `max_queued` is below 1.
    """

    def __init__(
        self,
        role: ModelRole,
        runs: Sequence[Run[Item, Result]],
        sizes: Sequence[int],
        max_queued: int,
        examples: Sequence[Item],
        group: Callable[[Item], Hashable] = lambda item: None,
        observer: Observer | None = None,
        on_death: Callable[[BaseException], None] = lambda error: None,
        clock: Callable[[], float] = time.monotonic,
        fits: Callable[[Item, int], bool] = lambda item, size: True,
    ) -> None:
        require_sizes(sizes, f"batching.{role}_sizes")
        if max_queued < 1:
            raise ConfigInvalid(message("error.runtime.batching_max_queued_must_least"), key="batching.max_queued")
        self._role = role
        self._runs = tuple(runs)
        self._sizes = tuple(sorted(set(sizes)))
        self._max_queued = max_queued
        self._examples = tuple(examples)
        self._group = group
        self._fits = fits
        self._observer = observer or NullObserver()
        self._on_death = on_death
        self._clock = clock
        self._lock = threading.Lock()
        self._work_waits = threading.Condition(self._lock)  # lanes listen
        self._room_came = threading.Condition(self._lock)  # bulk submitters listen
        self._queues: dict[bool, deque[_Entry[Item, Result]]] = {False: deque(), True: deque()}
        self._waiting: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}  # items of each caller in them
        self._running: set[_Submission[Result]] = set()
        self._idle_lanes = 0
        self._since_bulk = 0
        self._batches = 0
        self._served: dict[str, int] = {}  # caller that waits -> the last batch with items of it
        self._closing = False
        self._dead = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the lanes, and return when each has run every example in every allowed size; else none is left.

        Raises `DeviceUnavailable`: a lane could not run an example; the cause tells why.
        """
        try:
            for number, run in enumerate(self._runs):
                self._start_lane(number, run)
        except BaseException:  # an interrupt too: a process whose thread is inside a runtime does not end in order
            self.close()
            raise

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Submit items for the current ticket and wait for their results, in their order.

        Raises:
            CallEnded: nobody waits for the answer any more.
            Overloaded: too many interactive items wait.
            DeviceLost: a lane is dead.
            ShuttingDown: the batcher was closed.
            Exception: whatever the model raises on one of these items alone.
        """
        return self.submit(items, current_ticket()).result()

    def submit(self, items: Sequence[Item], ticket: Ticket) -> Future[list[Result]]:
        """Queue items; the future ends with the results in their order, or with what `run` raises.

        Only bulk items ever block, while their queue is full.
        """
        submission: _Submission[Result] = _Submission(ticket, [None] * len(items), len(items))
        if not items:
            submission.future.set_result([])
            return submission.future
        now = self._clock()
        entries = [_Entry(item, place, self._group(item), now, submission) for place, item in enumerate(items)]
        with self._lock:
            queue = self._queues[ticket.bulk]
            self._require_room(queue, ticket)
            queue.extend(entries)
            self._waiting[ticket.bulk][ticket.caller] += len(entries)
            self._tell_depth()
            self._work_waits.notify(len(entries))
        return submission.future

    def close(self) -> None:
        """Run what waits, refuse what comes, end the lanes."""
        with self._lock:
            self._closing = True
            self._wake_all()
        for thread in self._threads:
            thread.join()

    def _require_room(self, queue: deque[_Entry[Item, Result]], ticket: Ticket) -> None:
        while True:
            ticket.require_wanted()
            if self._dead:
                raise _lost(self._role)
            if self._closing:
                raise ShuttingDown(message("error.runtime.server_shutting_down"))
            waiting, limit = len(queue), self._max_queued
            if ticket.caller != EVERYBODY and waiting < limit:
                waiting, limit = self._waiting[ticket.bulk][ticket.caller], share_of(limit)
            if waiting < limit:
                return
            if not ticket.bulk:
                raise Overloaded(
                    message("error.runtime.items_wait_limit", waiting=waiting, role=self._role, limit=limit),
                    limit=str(limit),
                )
            self._room_came.wait(_PATIENCE_S)

    def _start_lane(self, number: int, run: Run[Item, Result]) -> None:
        ready: Future[None] = Future()
        thread = threading.Thread(target=self._lane, args=(run, ready), name=f"{self._role}-{number}", daemon=True)
        thread.start()
        self._threads.append(thread)
        error = ready.exception()  # one after the other: runtimes have been seen to hang when two came at once
        if error is not None:
            sizes = ", ".join(map(str, self._sizes))
            raise DeviceUnavailable(
                message("error.runtime.device_could_not_run", role=self._role, sizes=sizes), model=self._role
            ) from error

    def _lane(self, run: Run[Item, Result], ready: Future[None]) -> None:
        try:
            stand_back(MODELS)
            for example in self._examples:
                for size in self._sizes_of(example):
                    run([example] * size)
            ready.set_result(None)
            while batch := self._next_batch():
                self._work(run, batch)
        except BaseException as error:  # noqa: BLE001 - told to `start`, or to every waiter and `on_death`
            if ready.done():
                self._die(error)
            else:
                ready.set_exception(error)

    def _next_batch(self) -> list[_Entry[Item, Result]]:
        """Wait for items and take a batch of them; empty when the batcher is closed and nothing waits."""
        while True:
            with self._lock:
                self._idle_lanes += 1
                while not (self._dead or self._closing or any(self._queues.values())):
                    self._work_waits.wait()
                unwanted = self._take_unwanted()
                batch = self._take() if any(self._queues.values()) else []
                ended = self._dead or self._closing
                self._idle_lanes -= 1
            for submission in unwanted:
                _fail(submission, CallEnded(message("error.runtime.call_ended_before_work")))
            if batch or ended:
                return batch

    def _take_unwanted(self) -> set[_Submission[Result]]:
        """Drop the items of ended calls from the queues; return whose they were."""
        dropped = set()
        for bulk, queue in self._queues.items():
            unwanted = [entry for entry in queue if not entry.submission.wanted()]
            if unwanted:
                self._remove(bulk, unwanted)
                dropped |= {entry.submission for entry in unwanted}
                self._observer.dropped(self._role, len(unwanted))
                self._tell_depth()
                self._room_came.notify_all()
        self._running -= dropped
        return dropped

    def _take(self) -> list[_Entry[Item, Result]]:
        interactive, bulk = self._queues[False], self._queues[True]
        takes_bulk = not interactive or (bool(bulk) and self._since_bulk >= BULK_TURN - 1)
        self._since_bulk = 0 if takes_bulk else self._since_bulk + 1
        ordered = self._in_turns(takes_bulk)
        group = ordered[0].group
        alike = [entry for entry in ordered if entry.group == group]
        share = math.ceil(len(alike) / self._idle_lanes)
        size = max(size for size in self._sizes_of(alike[0].item) if size <= share)
        batch = alike[:size]
        self._remove(takes_bulk, batch)
        self._note_served(batch)
        self._running.update(entry.submission for entry in batch)
        self._tell_depth()
        self._room_came.notify_all()
        return batch

    def _sizes_of(self, item: Item) -> list[int]:
        return [size for size in self._sizes if size == 1 or self._fits(item, size)]

    def _in_turns(self, bulk: bool) -> Sequence[_Entry[Item, Result]]:
        """Return the waiting items in the order of the callers' turns; each caller's items in order of arrival."""
        queue = self._queues[bulk]
        if len(self._waiting[bulk]) == 1:
            return queue
        counts: Counter[str] = Counter()
        turns = []  # first the number of its caller's items before it, then how long ago its caller was served
        for entry in queue:
            caller = entry.caller
            turns.append(counts[caller] * (self._batches + 1) + self._served.get(caller, 0))
            counts[caller] += 1
        return [entry for _, entry in sorted(zip(turns, queue, strict=True), key=itemgetter(0))]

    def _note_served(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        self._batches += 1
        self._served |= {entry.caller: self._batches for entry in batch}
        waiting = self._waiting[False].keys() | self._waiting[True].keys()
        self._served = {caller: last for caller, last in self._served.items() if caller in waiting}

    def _remove(self, bulk: bool, entries: Sequence[_Entry[Item, Result]]) -> None:
        queue, gone = self._queues[bulk], set(map(id, entries))
        kept = [entry for entry in queue if id(entry) not in gone]
        queue.clear()
        queue.extend(kept)
        self._waiting[bulk] -= Counter(entry.caller for entry in entries)

    def _work(self, run: Run[Item, Result], batch: list[_Entry[Item, Result]]) -> None:
        start = self._clock()
        try:
            results = _checked(run, [entry.item for entry in batch])
        except Exception as error:  # noqa: BLE001 - the boundary of a batch: it is sorted out item by item
            self._sort_out(run, batch, error)
        else:
            self._observer.batch(self._role, [start - entry.since for entry in batch], self._clock() - start)
            for entry, result in zip(batch, results, strict=True):
                self._settle(entry, result)

    def _sort_out(self, run: Run[Item, Result], batch: list[_Entry[Item, Result]], error: Exception) -> None:
        """Run the items of a failed batch one by one; where one fails alone, see whether the device is still there."""
        self._observer.failed(self._role, len(batch))
        for entry in batch:
            own = error if len(batch) == 1 else self._alone(run, entry)
            if own is None:
                continue
            _checked(run, self._examples[:1])  # what it raises ends the lane
            with self._lock:
                self._running.discard(entry.submission)
            _fail(entry.submission, own)

    def _alone(self, run: Run[Item, Result], entry: _Entry[Item, Result]) -> Exception | None:
        """Run one item and settle it, or return why it failed."""
        try:
            (result,) = _checked(run, [entry.item])
        except Exception as error:  # noqa: BLE001 - the boundary of an item
            return error
        self._settle(entry, result)
        return None

    def _settle(self, entry: _Entry[Item, Result], result: Result) -> None:
        submission = entry.submission
        with self._lock:
            submission.results[entry.place] = result
            submission.missing -= 1
            if submission.missing and not submission.future.done():
                return
            self._running.discard(submission)
        with suppress(InvalidStateError):  # it has failed already: another of its items, or the death of a lane
            submission.future.set_result(submission.results)

    def _die(self, error: BaseException) -> None:
        with self._lock:
            first = not self._dead
            self._dead = True
            waiting = {entry.submission for queue in self._queues.values() for entry in queue} | self._running
            for bulk, queue in self._queues.items():
                queue.clear()
                self._waiting[bulk].clear()
            self._running.clear()
            self._tell_depth()
            self._wake_all()
        for submission in waiting:
            lost = _lost(self._role)
            lost.__cause__ = error
            _fail(submission, lost)
        if first:
            self._on_death(error)

    def _wake_all(self) -> None:
        self._work_waits.notify_all()
        self._room_came.notify_all()

    def _tell_depth(self) -> None:
        self._observer.queued(self._role, sum(map(len, self._queues.values())))


# A bulk item whose queue is full looks so often whether its call is still wanted.
_PATIENCE_S = 0.25


def _checked(run: Run[Item, Result], items: Sequence[Item]) -> Sequence[Result]:
    results = run(items)
    if len(results) != len(items):
        raise ValueError(f"the model gave {len(results)} results for {len(items)} items")
    return results


def _fail(submission: _Submission[Any], error: Exception) -> None:
    with suppress(InvalidStateError):  # it has ended already
        submission.future.set_exception(error)


def _lost(role: ModelRole) -> DeviceLost:
    return DeviceLost(message("error.runtime.device_runs_lost", role=role), model=role)
