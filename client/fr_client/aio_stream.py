"""Many items through one bidirectional stream: the asynchronous way.

The stream itself is one of gRPC's synchronous API, with a thread that reads it. `grpc.aio` loses the status of a stream
that the server ends while a request is being written (https://github.com/grpc/grpc/issues/36066): OVERLOADED would be
reported as an internal error every other time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic

import grpc

from fr_api.v1 import common_pb2
from fr_client.errors import FrApiError, from_rpc_error
from fr_client.stream import Call
from fr_client.window import AnswerT, RequestT, ResponseT, SendAgain, StreamSettings, Window


@dataclass(frozen=True, slots=True)
class _Item(Generic[RequestT]):
    """The next item of the source."""

    item_id: str
    request: RequestT


@dataclass(frozen=True, slots=True)
class _Response:
    """The next response; None at the end of the stream."""

    message: Any


@dataclass(frozen=True, slots=True)
class _Exhausted:
    """The source has no more items."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """The source or the stream raised this."""

    error: BaseException


_Event = _Item[RequestT] | _Response | _Exhausted | _Failed


async def exchange(
    start: Callable[[Iterator[RequestT]], Any],
    items: AsyncIterator[tuple[str, RequestT]],
    unpack: Callable[[ResponseT], AnswerT | common_pb2.Refusal],
    settings: StreamSettings,
) -> AsyncIterator[tuple[str, AnswerT | common_pb2.Refusal]]:
    """Send every item and yield every answer, in the order in which they come.

    `items` is read while answers are awaited, and never more than `max_in_flight` items beyond what was answered.

    Args:
        start: begins the stream.
        items: the caller's own ids with the requests.
        unpack: returns the answer, or the refusal, of a response.
        settings: of the stream.

    Raises:
        FrApiError: the stream as a whole failed; items without an answer may or may not have been done.
    """
    window: Window[RequestT, ResponseT, AnswerT] = Window(settings, unpack)
    slots = asyncio.Semaphore(settings.max_in_flight)
    running = _Exchange(start, settings, window)
    feeder = asyncio.create_task(_feed(items, slots, running.events))
    feeder.add_done_callback(lambda task: _fed(task, running.events))
    exhausted = False
    try:
        while not (exhausted and window.is_empty):
            event = await running.next_event()
            if isinstance(event, _Exhausted):
                exhausted = True
            elif isinstance(event, _Item):
                refusal = window.admit(event.item_id, event.request)
                if refusal is None:
                    running.send(event.request)
                else:
                    slots.release()
                    yield event.item_id, refusal
            else:
                settled = await running.settle(event)
                if settled is not None:
                    slots.release()
                    yield settled
        await running.finish()
    finally:
        feeder.cancel()
        await running.close()
        await asyncio.gather(feeder, return_exceptions=True)


async def _feed(
    items: AsyncIterator[tuple[str, RequestT]], slots: asyncio.Semaphore, events: asyncio.Queue[_Event[RequestT]]
) -> None:
    """Read the source whenever there is room for an item."""
    await slots.acquire()
    async for item_id, request in items:
        events.put_nowait(_Item(item_id, request))
        await slots.acquire()


def _fed(task: asyncio.Task[None], events: asyncio.Queue[_Event[RequestT]]) -> None:
    """Tell that the source ended, or what it raised."""
    if not task.cancelled():
        error = task.exception()
        events.put_nowait(_Exhausted() if error is None else _Failed(error))


class _Exchange(Generic[RequestT, ResponseT, AnswerT]):
    """The stream that runs now, what happens on it, and the window that outlives it."""

    def __init__(
        self,
        start: Callable[[Iterator[RequestT]], Any],
        settings: StreamSettings,
        window: Window[RequestT, ResponseT, AnswerT],
    ) -> None:
        self.events: asyncio.Queue[_Event[RequestT]] = asyncio.Queue()
        self._start = start
        self._settings = settings
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._call: Call[RequestT, Any] = Call(start, self._deliver)

    def _deliver(self, response: Any) -> None:
        """Put what the thread of the stream has read among the events of the loop."""
        if isinstance(response, grpc.RpcError):
            event: _Event[RequestT] = _Failed(from_rpc_error(response, self._settings.target, None))
        else:
            event = _Response(response)
        self._loop.call_soon_threadsafe(self.events.put_nowait, event)

    def send(self, request: RequestT) -> None:
        """Hand a request to gRPC; where the stream is over, the next event says why."""
        self._call.send(request)

    async def next_event(self) -> _Event[RequestT]:
        """Wait for an event: with a limit only while answers are due, since a source may be slow."""
        limit = None if self._window.is_empty else self._settings.timeout_s
        try:
            return await asyncio.wait_for(self.events.get(), limit)
        except TimeoutError:
            raise self._window.timed_out() from None

    async def settle(self, event: _Response | _Failed) -> tuple[str, AnswerT | common_pb2.Refusal] | None:
        """Return an answer, or None where something was sent again instead; raises what the stream failed with."""
        if isinstance(event, _Failed):
            await self._begin_again(event.error)
            return None
        if event.message is None:
            raise self._window.ended_early()
        settled = self._window.settle(event.message)
        if not isinstance(settled, SendAgain):
            return settled
        await asyncio.sleep(settled.delay_s)
        self.send(settled.request)
        return None

    async def finish(self) -> None:
        """Wait for the end of a stream whose items were all answered, so that its status is known."""
        self._call.end()
        try:
            event = await asyncio.wait_for(self.events.get(), self._settings.timeout_s)
        except TimeoutError:
            raise self._window.timed_out() from None
        if isinstance(event, _Failed):
            raise event.error
        if isinstance(event, _Response) and event.message is not None:
            self._window.settle(event.message)  # every item was answered: this raises

    async def close(self) -> None:
        """Stop whatever still runs, and wait for it."""
        await asyncio.to_thread(self._call.close)

    async def _begin_again(self, error: BaseException) -> None:
        delay_s = self._window.begin_again_after_s(error) if isinstance(error, FrApiError) else None
        if delay_s is None:
            raise error
        await self.close()
        await asyncio.sleep(delay_s)
        self._call = Call(self._start, self._deliver)
        for request in self._window.unanswered():
            self.send(request)
