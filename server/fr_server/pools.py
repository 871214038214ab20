"""Runs blocking work in bounded pools beside the event loop, and limits the items of a stream that are at work."""

import asyncio
import contextvars
import math
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from fr_core.engine import photos_at_once
from fr_core.errors import InputRefused, Overloaded, ShuttingDown, message
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.priority import stand_back
from fr_core.runtime.ticket import current_ticket
from fr_core.sharing import FairThreads, Places, capacity_of
from fr_server.authz.callers import current_sharer, require_caller_valid
from fr_trust.evidence.archive import MAX_BUNDLE_BYTES

# Photos whose times `PhotoTimes` keeps.
_NEWEST_PHOTOS = 1000
# Weight of the newest gap in the mean: some tens of photos are remembered.
_NEWEST = 0.05
# Weight of a photo that was done without waiting and tells of a quicker pace: slow photos are soon forgotten.
_QUICKER = 0.2

# Share of the time left that the expected wait may take: photos differ, and an answer that comes a moment too late has
# cost as much as one in time. `make overload` shows how many of the admitted calls were late.
_SURE = 0.7


class Pace:
    """Measures the gap between photos that are done one after the other, and tells how long a new one would take.

    Without it, a server that is asked for more than it can do works for the oldest calls, which are about to pass their
    deadline, and answers none in time. Only photos that were done tell of the pace; those that were refused, cancelled
    or late do not. For one event loop; it is not guarded against threads.
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._clock = clock
        self._photos: Counter[str] = Counter()
        self._gap_s: float | None = None
        self._last_done: float | None = None

    def wait_s(self, caller: str) -> float:
        """Return the expected seconds until a new photo is done; 0 if it would not wait, or nothing is known.

        Callers take turns: of each other caller, at most as many photos go first as this caller has, plus one.
        """
        if self._gap_s is None or self._photos.total() < self._at_once:
            return 0.0
        own = self._photos[caller]
        before = sum(min(photos, own + 1) for other, photos in self._photos.items() if other != caller)
        return (before + own + 1) * self._gap_s

    @contextmanager
    def photo(self, left_s: float, caller: str) -> Iterator[None]:
        """Surround the work on a photo, its time in the queue included; raises `Overloaded` if it would be late.

        `left_s` is the time until its call's deadline, in seconds; infinite without one.
        """
        wait_s = self.wait_s(caller)
        if wait_s > _SURE * left_s:
            raise Overloaded(message("error.server.photo_waits_about_s", wait_s=wait_s), wait_s=f"{wait_s:.1f}")
        began = self._clock()
        self._photos[caller] += 1
        try:
            yield
            self._done(self._clock(), began)
        finally:
            self._photos[caller] -= 1
            if not self._photos[caller]:
                del self._photos[caller]
            if self._photos.total() < self._at_once:
                self._last_done = None  # a gap in which nothing waited tells of the callers, not of the machine

    def _done(self, now: float, began: float) -> None:
        photos = self._photos.total()
        if photos > self._at_once:
            if self._last_done is not None:
                self._learn(now - self._last_done, _NEWEST)
            self._last_done = now
        elif self._gap_s is not None and (now - began) / photos < self._gap_s:
            self._learn((now - began) / photos, _QUICKER)

    def _learn(self, gap_s: float, weight: float) -> None:
        self._gap_s = gap_s if self._gap_s is None else self._gap_s + weight * (gap_s - self._gap_s)


class PhotoTimes:
    """Counts photos that were `done`, and keeps the times of the newest. For one event loop."""

    def __init__(self) -> None:
        self.done = 0
        self._newest_s: deque[float] = deque(maxlen=_NEWEST_PHOTOS)

    def add(self, took_s: float) -> None:
        """Count a photo, which took so many seconds, its wait included."""
        self.done += 1
        self._newest_s.append(took_s)

    def within_s(self, share: float) -> float | None:
        """Return the seconds in which a share of the newest photos was done, from 0 to 1; None before the first."""
        took_s = sorted(self._newest_s)
        return took_s[max(math.ceil(share * len(took_s)) - 1, 0)] if took_s else None


P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Request = TypeVar("Request")
Response = TypeVar("Response")

# Most of these threads wait for the disk: the more wait at once, the more enrolments share a commit. Searches run here
# too, so that they do not queue behind the analysis of photos.
STORAGE_THREADS = 32
# Of long jobs: few enough that their searches, which take turns for processor and interpreter, leave room for others.
BULK_STORAGE_THREADS = 8
# A bundle is held whole in memory while it is made. Reading an audit's chain occupies a processor.
EVIDENCE_THREADS = 2
AUDIT_THREADS = 2
# Answers that wait for their reader: twice the largest bundle.
UNREAD_BYTES = 2 * MAX_BUNDLE_BYTES
KEPT_S = 30.0  # evaluations and courses run one at a time: a refused caller who tries again within this time goes next


def photo_threads(device: ActiveDevice) -> int:
    """Return how many threads for photos there should be, so that one caller's share of them keeps a device busy."""
    return capacity_of(photos_at_once(device))


class StorageThreads:
    """Threads that read and change galleries: long jobs have their own, and leave the others to those who wait."""

    def __init__(self) -> None:
        self._people = FairThreads(STORAGE_THREADS, "storage")
        self._bulk = FairThreads(BULK_STORAGE_THREADS, "bulk-storage")

    def of(self, bulk: bool) -> FairThreads:
        """Those of long jobs, or of calls that people wait for."""
        return self._bulk if bulk else self._people

    def close(self) -> None:
        """Wait for what has begun, and drop the rest."""
        for pool in (self._people, self._bulk):
            pool.close()


class Work:
    """The pools: photos, and galleries, each for calls that people wait for and for long jobs; and others of long jobs.

    Callers share each pool (`fr_core.sharing`). Work that has not begun when its call ends is dropped; work that has
    begun ends when it next comes to a model. Each of the two classes has `workers` photos in work at once.
    """

    def __init__(self, workers: int) -> None:
        self._interactive = FairThreads(workers, "photo", stand_back)
        self._bulk = FairThreads(workers, "bulk-photo", stand_back)
        self._storage = StorageThreads()
        self._evaluation = FairThreads(1, "evaluation", stand_back)
        self._course = FairThreads(1, "course", stand_back)
        self._footage = FairThreads(1, "footage", stand_back)
        self._scan = FairThreads(1, "scan")
        self._wide_search = FairThreads(1, "wide-search")
        self._report = FairThreads(1, "report", stand_back)
        self._evidence = FairThreads(EVIDENCE_THREADS, "evidence", stand_back)
        self._audit = FairThreads(AUDIT_THREADS, "audit", stand_back)
        self._unread = Places(UNREAD_BYTES, message("error.sharing.bytes"))
        self._pace = Pace(workers)
        self.photo_times = PhotoTimes()
        self.draining = asyncio.Event()

    async def photo(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what computes: decoding, detection, embedding.

        Raises `CallEnded` if the call's deadline passed before the work was done; `Overloaded` if it would pass, by the
        pace at which photos are done now; `CredentialInvalid` if that of the caller has ended meanwhile: nothing is to
        come of the photo; and `Failure` if that cannot be known now.
        """
        ticket, began = current_ticket(), time.monotonic()

        def wanted() -> T:
            ticket.require_wanted()
            return task(*args, **kwargs)

        if ticket.bulk:
            done = await _on(self._bulk, wanted)
        else:
            left_s, ticket.begun = math.inf if ticket.begun else ticket.left_s, True
            with self._pace.photo(left_s, current_sharer()):
                done = await _on(self._interactive, wanted)
        self.photo_times.add(time.monotonic() - began)
        await require_caller_valid()
        return done

    async def photos(self, task: Callable[[Item], T], items: Sequence[Item]) -> list[T | BaseException]:
        """Run what computes for each item of a batch; return the results in their order, or what a task raised.

        Raises like `photo`, but never `Overloaded`; nothing more is begun then, nor after a cancellation.
        """
        ticket, caller, began = current_ticket(), current_sharer(), time.monotonic()
        ended_s: list[float] = []

        def run(item: Item) -> T:
            ticket.require_wanted()
            done = task(item)
            ended_s.append(time.monotonic())
            return done

        pool = self._bulk if ticket.bulk else self._interactive
        futures: list[Future[T]] = [
            pool.submit(caller, partial(contextvars.copy_context().run, run, item)) for item in items
        ]
        await _all_ended(futures)
        ticket.require_wanted()
        for moment in ended_s:
            self.photo_times.add(moment - began)
        await require_caller_valid()
        return [future.exception() or future.result() for future in futures]

    @property
    def waiting_photos(self) -> int:
        """Number of photos that wait for a thread."""
        return self._interactive.waiting + self._bulk.waiting

    async def storage(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a task that reads or changes a store; raises like `_in`, as do the methods below."""
        return await _in(self._storage.of(current_ticket().bulk), lambda: task(*args, **kwargs))

    async def evaluation(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what measures: it feeds photos to threads of its own, and computes figures; one at a time."""
        return await _in(self._evaluation, lambda: task(*args, **kwargs))

    async def course(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what makes a course: as `evaluation`."""
        return await _in(self._course, lambda: task(*args, **kwargs))

    async def footage(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what analyzes a video file: as `evaluation`."""
        return await _in(self._footage, lambda: task(*args, **kwargs))

    async def scan(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a step of a scan through a whole gallery; one at a time, so that other calls wait for one at most."""
        return await _in(self._scan, lambda: task(*args, **kwargs))

    async def wide_search(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a search among many named subjects; one at a time, so that others wait for one at most."""
        return await _in(self._wide_search, lambda: task(*args, **kwargs))

    async def audit(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a task that reads many records of an audit; `AUDIT_THREADS` at a time."""
        return await _in(self._audit, lambda: task(*args, **kwargs))

    def evidence(self, make: Callable[[], bytes], piece: int) -> AsyncGenerator[bytes]:
        """Make a bundle of evidence, `EVIDENCE_THREADS` at a time, and yield it; see `_read`."""
        return self._read(self._evidence, make, piece)

    def report(self, make: Callable[[], bytes], piece: int) -> AsyncGenerator[bytes]:
        """Compute the figures of a cohort, one at a time, and yield the written result; see `_read`."""
        return self._read(self._report, make, piece)

    def close(self) -> None:
        """Wait for what has begun, and drop the rest."""
        photos, long = (self._interactive, self._bulk), (self._evaluation, self._course, self._footage, self._report)
        for pool in (*photos, *long, self._scan, self._wide_search, self._evidence, self._audit):
            pool.close()
        self._storage.close()

    async def _read(self, threads: FairThreads, make: Callable[[], bytes], piece: int) -> AsyncGenerator[bytes]:
        """Make an answer, then yield it in pieces; raises `Overloaded` if too many bytes wait to be read."""
        made = await _in(threads, make)
        with self._unread.held(current_sharer(), len(made)):
            for start in range(0, len(made), piece):
                yield made[start : start + piece]


async def _in(threads: FairThreads, task: Callable[[], T]) -> T:
    """Run a task in threads, within the context of its call: its ticket, its request id, its trace.

    A call that has to wait for a thread is checked once more before its task begins. Nothing was begun if this raises
    `CallEnded`, as the caller no longer waits; `CredentialInvalid`, as the credential ended meanwhile; or `Failure`, as
    the server cannot check that now.
    """
    if threads.has_room(current_sharer()):
        return await _on(threads, task)
    loop = asyncio.get_running_loop()

    def begin() -> T:
        current_ticket().require_wanted()
        asyncio.run_coroutine_threadsafe(require_caller_valid(), loop).result()
        return task()

    return await _on(threads, begin)


async def _on(threads: FairThreads, task: Callable[[], T]) -> T:
    """Run a task in threads, within the context of its call."""
    within = partial(contextvars.copy_context().run, task)
    return await asyncio.wrap_future(threads.submit(current_sharer(), within))


async def _all_ended(futures: Sequence[Future[Any]]) -> None:
    """Wait until all have ended; a cancellation cancels those that have not begun."""
    ended: Future[None] = Future()
    left = iter(range(len(futures) - 1, -1, -1))  # not the futures: they would hold themselves

    def count(_: Future[Any]) -> None:
        if next(left) == 0 and ended.set_running_or_notify_cancel():
            ended.set_result(None)

    for future in futures:
        future.add_done_callback(count)
    try:
        await asyncio.wrap_future(ended)
    except asyncio.CancelledError:
        for future in futures:
            future.cancel()
        raise


async def answer_each(
    requests: AsyncIterator[Request],
    answer: Callable[[Request], Awaitable[Response]],
    window: int,
    draining: asyncio.Event,
) -> AsyncGenerator[Response]:
    """Answer the requests of a stream as they are done, `window` at a time; more wait unread in the network.

    `answer` turns every refusal into a response; what it raises ends the stream. Raises `ShuttingDown` if `draining`
    was set before the stream ended, `InputRefused` if a request could not be read; what had been read was answered
    first.
    """
    slots = asyncio.Semaphore(window)
    answers: asyncio.Queue[Response | None] = asyncio.Queue()

    async def work(request: Request) -> None:
        answers.put_nowait(await answer(request))

    async def feed() -> None:
        cut_off: InputRefused | ShuttingDown | None = None
        stopping = asyncio.create_task(draining.wait())
        try:
            async with asyncio.TaskGroup() as items:
                while await slots.acquire():
                    try:
                        request = await _next(requests, stopping)
                    except (InputRefused, ShuttingDown) as error:  # what was read before it is answered first
                        cut_off = error
                        break
                    if request is None:
                        break
                    items.create_task(work(request))
                    del request  # a task that is cancelled is a cycle with this frame, which would hold the last one
            if cut_off is not None:
                raise cut_off
        finally:
            stopping.cancel()
            answers.put_nowait(None)

    feeding = asyncio.create_task(feed())
    try:
        while (response := await answers.get()) is not None:
            slots.release()
            yield response
            del response  # so that an idle stream does not keep its last answer
        await feeding
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})


async def _next(requests: AsyncIterator[Request], stopping: asyncio.Task[bool]) -> Request | None:
    """Return the next request, or None at the end of the stream; raises `ShuttingDown` where the server stops first."""
    reading: asyncio.Future[Request] = asyncio.ensure_future(anext(requests))
    try:
        await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ShuttingDown(message("error.server.server_shutting_down_every"))
        return await reading
    except StopAsyncIteration:
        return None
    finally:
        reading.cancel()
