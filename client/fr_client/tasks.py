"""Waits in tasks of an event loop: what the asynchronous client does where `blocking` serves the synchronous one.

Streams use gRPC's synchronous API, and a thread that reads each. `grpc.aio` loses the status of a stream that the
server ends while a request is being written (https://github.com/grpc/grpc/issues/36066): it would report OVERLOADED as
an internal error every other time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

import grpc
from grpc import aio

from fr_api.v1 import common_pb2
from fr_client.errors import FrApiError, from_rpc_error
from fr_client.identity import Identity, open_aio_channel, open_channel
from fr_client.streams import AnswerT, Call, ItemT, RequestT, ResponseT, SendAgain, StreamSettings, Window

P = ParamSpec("P")
T = TypeVar("T")
ValueT = TypeVar("ValueT")
Items: TypeAlias = Iterable[ValueT] | AsyncIterable[ValueT]
Method: TypeAlias = aio.UnaryUnaryMultiCallable
sleep = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Channels:
    """The connections to a server: one for calls with one answer, one for streams."""

    unary: aio.Channel
    streams: grpc.Channel

    @classmethod
    def open(cls, target: str, identity: Identity, options: Any) -> Channels:
        """Open the connections; raises `ValueError` if a token would travel beyond this machine without encryption."""
        return cls(open_aio_channel(target, identity, options), open_channel(target, identity, options))

    async def close(self) -> None:
        """Close the connections; calls that still run are cancelled."""
        await self.unary.close()
        await asyncio.to_thread(self.streams.close)


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns that may block: it runs in a thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def run_reading(
    function: Callable[[Callable[[int], ValueT]], T], read: Callable[[int], Coroutine[Any, Any, ValueT]]
) -> T:
    """Return what a function returns that may block: it runs in a thread, and its calls of `read` in this loop."""
    loop, cancelled = asyncio.get_running_loop(), threading.Event()

    def read_there(number: int) -> ValueT:
        if cancelled.is_set():
            raise asyncio.CancelledError
        return asyncio.run_coroutine_threadsafe(read(number), loop).result()

    try:
        return await asyncio.to_thread(function, read_there)
    except asyncio.CancelledError:
        cancelled.set()
        raise


@dataclass(frozen=True, slots=True)
class _Item(Generic[RequestT]):
    item_id: str
    request: RequestT | common_pb2.Refusal


@dataclass(frozen=True, slots=True)
class _Response:
    message: Any


# At the end of the source, None; an error of the source or of the stream is an event itself.
_Event: TypeAlias = _Item[RequestT] | _Response | BaseException | None


async def exchange(
    start: Callable[[Iterator[RequestT]], Any],
    items: Items[ItemT],
    build: Callable[[ItemT], RequestT | common_pb2.Refusal],
    unpack: Callable[[ResponseT], AnswerT | common_pb2.Refusal],
    settings: StreamSettings,
) -> AsyncGenerator[tuple[str, AnswerT | common_pb2.Refusal]]:
    """Send every item and yield every answer, in the order in which they come; see `blocking.exchange`.

    Reads `items` while it waits for answers; at most `max_in_flight` of them wait for an answer.
    `build` runs in a thread.
    """
    window: Window[RequestT, ResponseT, AnswerT] = Window(settings, unpack)
    slots = asyncio.Semaphore(settings.max_in_flight)
    running = _Exchange(start, settings, window)
    feeder = asyncio.create_task(_feed(items, build, slots, running.events))
    feeder.add_done_callback(lambda task: _fed(task, running.events))
    exhausted = False
    try:
        while not (exhausted and window.is_empty):
            event = await running.next_event()
            if event is None:
                exhausted = True
            elif isinstance(event, _Item):
                if isinstance(event.request, common_pb2.Refusal):
                    slots.release()
                    yield event.item_id, event.request
                else:
                    window.admit(event.item_id, event.request)
                    running.send(event.request)
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
    items: Items[ItemT],
    build: Callable[[ItemT], RequestT | common_pb2.Refusal],
    slots: asyncio.Semaphore,
    events: asyncio.Queue[_Event[RequestT]],
) -> None:
    await slots.acquire()
    async for item in _each(items):
        request = await asyncio.to_thread(build, item)
        events.put_nowait(_Item(item.item_id, request))
        await slots.acquire()


async def _each(items: Items[ValueT]) -> AsyncIterator[ValueT]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _fed(task: asyncio.Task[None], events: asyncio.Queue[_Event[RequestT]]) -> None:
    if not task.cancelled():
        events.put_nowait(task.exception())


class _Exchange(Generic[RequestT, ResponseT, AnswerT]):
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
        if isinstance(response, grpc.RpcError):
            event: _Event[RequestT] = from_rpc_error(response, self._settings.target, None)
        else:
            event = _Response(response)
        self._loop.call_soon_threadsafe(self.events.put_nowait, event)

    def send(self, request: RequestT) -> None:
        """Hand a request to gRPC; if the stream is over, the next event says why."""
        self._call.send(request)

    async def next_event(self) -> _Event[RequestT]:
        """Wait for an event; the limit holds only while answers are due, since a source may be slow."""
        limit = None if self._window.is_empty else self._settings.timeout_s
        try:
            return await asyncio.wait_for(self.events.get(), limit)
        except TimeoutError:
            raise self._window.timed_out() from None

    async def settle(self, event: _Response | BaseException) -> tuple[str, AnswerT | common_pb2.Refusal] | None:
        """Return an answer, or None if an item was sent again; raises the error of the stream."""
        if isinstance(event, BaseException):
            await self._begin_again(event)
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
        """Wait for the end of a stream whose items all have answers, to learn its status."""
        self._call.end()
        try:
            event = await asyncio.wait_for(self.events.get(), self._settings.timeout_s)
        except TimeoutError:
            raise self._window.timed_out() from None
        if isinstance(event, FrApiError):
            self._window.require_ended(event)
        elif isinstance(event, BaseException):
            raise event
        if isinstance(event, _Response) and event.message is not None:
            self._window.settle(event.message)  # raises: every item has its answer

    async def close(self) -> None:
        """Stop the stream if it still runs, and wait for that."""
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
