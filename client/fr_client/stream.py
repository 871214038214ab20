"""Many items through one bidirectional stream: the synchronous way."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic

import grpc

from fr_api.v1 import common_pb2
from fr_client.errors import FrApiError, from_rpc_error
from fr_client.window import AnswerT, RequestT, ResponseT, SendAgain, StreamSettings, Window


def exchange(
    start: Callable[[Iterator[RequestT]], Any],
    items: Iterable[tuple[str, RequestT]],
    unpack: Callable[[ResponseT], AnswerT | common_pb2.Refusal],
    settings: StreamSettings,
) -> Iterator[tuple[str, AnswerT | common_pb2.Refusal]]:
    """Send every item and yield every answer, in the order in which they come.

    `items` is read in the caller's thread, and never more than `max_in_flight` items beyond what was answered.

    Args:
        start: begins the stream.
        items: the caller's own ids with the requests.
        unpack: returns the answer, or the refusal, of a response.
        settings: of the stream.

    Raises:
        FrApiError: the stream as a whole failed; items without an answer may or may not have been done.
    """
    window: Window[RequestT, ResponseT, AnswerT] = Window(settings, unpack)
    running = _Exchange(start, settings, window)
    try:
        for item_id, request in items:
            refusal = window.admit(item_id, request)
            if refusal is not None:
                yield item_id, refusal
                continue
            running.call.send(request)
            yield from running.answers_until(lambda: not window.is_full)
            yield from running.answers_there()
        yield from running.answers_until(lambda: window.is_empty)
        running.finish()
    finally:
        running.call.close()


class Call(Generic[RequestT, ResponseT]):
    """A stream whose requests wait in a queue and whose responses are delivered from a thread of its own.

    Args:
        start: begins the stream.
        deliver: is given each response, and at the end None or the error.
    """

    def __init__(
        self,
        start: Callable[[Iterator[RequestT]], Any],
        deliver: Callable[[ResponseT | grpc.RpcError | None], None],
    ) -> None:
        self._outgoing: queue.SimpleQueue[RequestT | None] = queue.SimpleQueue()
        self._deliver = deliver
        self._call = start(iter(self._outgoing.get, None))
        self._reader = threading.Thread(target=self._read, name="fr-client-stream", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._deliver(response)
        except grpc.RpcError as error:
            self._deliver(error)
        else:
            self._deliver(None)

    def send(self, request: RequestT) -> None:
        """Hand a request to gRPC; does not wait."""
        self._outgoing.put(request)

    def end(self) -> None:
        """Tell the server that no more will come."""
        self._outgoing.put(None)

    def close(self) -> None:
        """Stop whatever still runs, and wait for it."""
        self._call.cancel()
        self._outgoing.put(None)
        self._reader.join()


class _Exchange(Generic[RequestT, ResponseT, AnswerT]):
    """The stream that runs now, and the window that outlives it."""

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
        """Yield one answer, or none where something was sent again instead; raises `queue.Empty`."""
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
        """Wait for the end of a stream whose items were all answered, so that its status is known."""
        self.call.end()
        try:
            response = self._receive(wait=True)
        except queue.Empty:
            raise self._window.timed_out() from None
        if response is not None:
            self._window.settle(response)  # every item was answered: this raises

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
