"""Where blocking work runs: bounded pools beside the event loop, and the window of items of a stream."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from fr_core.errors import InputRefused, ShuttingDown
from fr_core.runtime.priority import stand_back
from fr_core.runtime.ticket import current_ticket
from fr_server.access.callers import require_caller_valid
from fr_server.pace import Pace

P = ParamSpec("P")
T = TypeVar("T")
Request = TypeVar("Request")
Response = TypeVar("Response")

# Most of these threads wait for the disk: the more wait at once, the more enrolments share a commit. Searches run here
# too, so that they do not queue behind the analysis of photos.
STORAGE_THREADS = 32
# Of long jobs: few enough that their searches, which take turns for processor and interpreter, leave room for others.
BULK_STORAGE_THREADS = 8
EVIDENCE_THREADS = 2
"""Bundles that are made and sent at once: each is whole in memory, and nobody waits for another's."""


class StorageThreads:
    """Threads that read and change galleries: long jobs have their own, and leave the others to those who wait."""

    def __init__(self) -> None:
        self._people = ThreadPoolExecutor(STORAGE_THREADS, thread_name_prefix="storage")
        self._bulk = ThreadPoolExecutor(BULK_STORAGE_THREADS, thread_name_prefix="bulk-storage")

    def of(self, bulk: bool) -> ThreadPoolExecutor:
        """Those of long jobs, or of calls that people wait for."""
        return self._bulk if bulk else self._people

    def close(self) -> None:
        """Wait for what has begun, and drop the rest."""
        for pool in (self._people, self._bulk):
            pool.shutdown(wait=True, cancel_futures=True)


class Work:
    """The pools: photos, and galleries, each for calls that people wait for and for long jobs; and others of long jobs.

    Work that has not begun when its call ends is dropped; work that has begun ends when it next comes to a model.

    Args:
        workers: photos in work at once, for each of the two classes.
    """

    def __init__(self, workers: int) -> None:
        self._interactive = ThreadPoolExecutor(workers, "photo", stand_back)
        self._bulk = ThreadPoolExecutor(workers, "bulk-photo", stand_back)
        self._storage = StorageThreads()
        self._evaluation = ThreadPoolExecutor(1, "evaluation", stand_back)
        self._course = ThreadPoolExecutor(1, "course", stand_back)
        self._report = ThreadPoolExecutor(1, "report", stand_back)
        self._evidence = ThreadPoolExecutor(EVIDENCE_THREADS, "evidence", stand_back)
        self._pace = Pace(workers)
        self.draining = asyncio.Event()

    async def photo(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what computes: decoding, detection, embedding.

        Raises:
            CallEnded: the call's deadline passed before the work was done.
            Overloaded: it would pass, by the pace at which photos are done now.
            CredentialInvalid: that of the caller has ended while it waited; nothing is to come of the photo.
            Failure: whether it has cannot be known now.
        """
        ticket = current_ticket()

        def wanted() -> T:
            ticket.require_wanted()
            return task(*args, **kwargs)

        if ticket.bulk:
            done = await _in(self._bulk, wanted)
        else:
            left_s, ticket.begun = math.inf if ticket.begun else ticket.left_s, True
            with self._pace.photo(left_s):
                done = await _in(self._interactive, wanted)
        await require_caller_valid()
        return done

    async def storage(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads or changes what is kept."""
        return await _in(self._storage.of(current_ticket().bulk), lambda: task(*args, **kwargs))

    async def evaluation(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what measures: it feeds photos to threads of its own, and computes figures; one at a time."""
        return await _in(self._evaluation, lambda: task(*args, **kwargs))

    async def evidence(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what makes and reads a bundle of evidence; `EVIDENCE_THREADS` at a time."""
        return await _in(self._evidence, lambda: task(*args, **kwargs))

    async def course(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what makes a course: as `evaluation`."""
        return await _in(self._course, lambda: task(*args, **kwargs))

    async def report(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what computes the figures of a cohort, and writes them; one at a time."""
        return await _in(self._report, lambda: task(*args, **kwargs))

    def close(self) -> None:
        """Wait for what has begun, and drop the rest."""
        for pool in (self._interactive, self._bulk, self._evaluation, self._course, self._report, self._evidence):
            pool.shutdown(wait=True, cancel_futures=True)
        self._storage.close()


async def _in(pool: ThreadPoolExecutor, task: Callable[[], T]) -> T:
    """Run a task in a pool, within the context of its call: its ticket, its request id, its trace."""
    return await asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, task)


async def answer_each(
    requests: AsyncIterator[Request],
    answer: Callable[[Request], Awaitable[Response]],
    window: int,
    draining: asyncio.Event,
) -> AsyncGenerator[Response]:
    """Answer the requests of a stream as they are done, `window` at a time; more wait unread in the network.

    `answer` turns every refusal into a response; what it raises ends the stream.

    Raises:
        ShuttingDown: `draining` was set before the stream ended; what had been read was answered first.
        InputRefused: a request could not be read; what had been read was answered first.
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
            raise ShuttingDown("The server is shutting down; every item that was read has been answered.")
        return await reading
    except StopAsyncIteration:
        return None
    finally:
        reading.cancel()
