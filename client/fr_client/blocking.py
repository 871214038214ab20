"""Waits in the caller's thread: what the synchronous client does where `tasks` serves the asynchronous one."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

import grpc

from fr_api.v1 import common_pb2
from fr_client.errors import FrApiError, from_rpc_error
from fr_client.identity import Identity, open_channel
from fr_client.streams import AnswerT, Call, ItemT, RequestT, ResponseT, SendAgain, StreamSettings, Window

P = ParamSpec("P")
T = TypeVar("T")
ValueT = TypeVar("ValueT")


Items: TypeAlias = Iterable[ValueT]
Method: TypeAlias = grpc.UnaryUnaryMultiCallable
sleep = time.sleep


@dataclass(frozen=True, slots=True)
class Channels:
    """The connection to a server: the same channel for calls with one answer and for streams."""

    unary: grpc.Channel
    streams: grpc.Channel

    @classmethod
    def open(cls, target: str, identity: Identity, options: Any) -> Channels:
        """Open the connection; raises `ValueError` if a token would travel beyond this machine without encryption."""
        channel = open_channel(target, identity, options)
        return cls(channel, channel)

    def close(self) -> None:
        """Close the connection; calls that still run are cancelled."""
        self.unary.close()


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns that may block."""
    return function(*args, **kwargs)


def run_reading(function: Callable[[Callable[[int], ValueT]], T], read: Callable[[int], ValueT]) -> T:
    """Return what a function returns that may block, and that calls `read`."""
    return function(read)


def exchange(
    start: Callable[[Iterator[RequestT]], Any],
    items: Items[ItemT],
    build: Callable[[ItemT], RequestT | common_pb2.Refusal],
    unpack: Callable[[ResponseT], AnswerT | common_pb2.Refusal],
    settings: StreamSettings,
) -> Generator[tuple[str, AnswerT | common_pb2.Refusal]]:
    """Send every item and yield every answer, in the order in which they come.

    Reads `items`, which have the caller's own ids, in the caller's thread; at most `max_in_flight` of them wait for an
    answer. `start` begins the stream. `build` returns the request of an item, or its refusal; `unpack` returns the
    answer of a response, or its refusal. Raises `FrApiError` if the stream as a whole failed; the server may or may not
    have processed the items without an answer.
    """
    window: Window[RequestT, ResponseT, AnswerT] = Window(settings, unpack)
    running = _Exchange(start, settings, window)
    try:
        for item in items:
            request = build(item)
            if isinstance(request, common_pb2.Refusal):
                yield item.item_id, request
                continue
            window.admit(item.item_id, request)
            running.call.send(request)
            yield from running.answers_until(lambda: not window.is_full)
            yield from running.answers_there()
        yield from running.answers_until(lambda: window.is_empty)
        running.finish()
    finally:
        running.call.close()


class _Exchange(Generic[RequestT, ResponseT, AnswerT]):
    def __init__(
        self,
        start: Callable[[Iterator[RequestT]], Any],
        settings: StreamSettings,
        window: Window[RequestT, ResponseT, AnswerT],
    ) -> None:
        self._start = start
        self._settings = settings
        self._window = window
        self._open()

    def _open(self) -> None:
        self._incoming: queue.SimpleQueue[ResponseT | grpc.RpcError | None] = queue.SimpleQueue()
        self.call: Call[RequestT, ResponseT] = Call(self._start, self._incoming.put)

    def answers_until(self, enough: Callable[[], bool]) -> Iterator[tuple[str, AnswerT | common_pb2.Refusal]]:
        """Wait for answers, and yield them, until `enough` holds."""
        while not enough():
            try:
                yield from self._next_answer(wait=True)
            except queue.Empty:
                raise self._window.timed_out() from None

    def answers_there(self) -> Iterator[tuple[str, AnswerT | common_pb2.Refusal]]:
        """Yield the answers that have come, without waiting."""
        with suppress(queue.Empty):
            while True:
                yield from self._next_answer(wait=False)

    def _next_answer(self, *, wait: bool) -> Iterator[tuple[str, AnswerT | common_pb2.Refusal]]:
        """Yield one answer, or none if an item was sent again; raises `queue.Empty`."""
        try:
            response = self._receive(wait=wait)
        except FrApiError as error:
            self._begin_again(error)
            return
        if response is None:
            raise self._window.ended_early()
        settled = self._window.settle(response)
        if isinstance(settled, SendAgain):
            time.sleep(settled.delay_s)
            self.call.send(settled.request)
        else:
            yield settled

    def finish(self) -> None:
        """Wait for the end of a stream whose items all have answers, to learn its status."""
        self.call.end()
        try:
            response = self._receive(wait=True)
        except queue.Empty:
            raise self._window.timed_out() from None
        except FrApiError as error:
            self._window.require_ended(error)
            return
        if response is not None:
            self._window.settle(response)  # raises: every item has its answer

    def _receive(self, *, wait: bool) -> ResponseT | None:
        """Return the next response, or None at the end; raises `queue.Empty`, or the `FrApiError` of the stream."""
        response = self._incoming.get(block=wait, timeout=self._settings.timeout_s)
        if isinstance(response, grpc.RpcError):
            raise from_rpc_error(response, self._settings.target, None) from response
        return response

    def _begin_again(self, error: FrApiError) -> None:
        delay_s = self._window.begin_again_after_s(error)
        if delay_s is None:
            raise error
        self.call.close()
        time.sleep(delay_s)
        self._open()
        for request in self._window.unanswered():
            self.call.send(request)
