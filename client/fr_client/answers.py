"""Many answers to one request: shared by both clients."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc

from fr_client.channel import RetryPolicy
from fr_client.errors import TIMED_OUT, FrApiError, from_rpc_error
from fr_client.handshake import Endpoint
from fr_client.stream import Call

ResponseT = TypeVar("ResponseT")

# Answers that are read before they are taken: beyond these the server waits.
_MAX_WAITING = 1024
_LOOK_EVERY_S = 0.1


class Answers(Generic[ResponseT]):
    """The answers to one request, as they come; the call begins at once.

    Args:
        start: makes the call; is called again where the server refused to begin.
        target: the server, for messages, and for why there is no connection.
        timeout_s: the longest wait for the next answer; None for no limit.
        retry: when the call is made again.
    """

    def __init__(self, start: Callable[[], Any], target: Endpoint, timeout_s: float | None, retry: RetryPolicy) -> None:
        self._start = start
        self._target = target
        self._timeout_s = timeout_s
        self._retry = retry
        self._attempt: int | None = 1  # None once there was an answer
        self._closed = threading.Event()
        self._lock = threading.Lock()  # no call begins once it is closed
        self._open()

    def _open(self) -> bool:
        """Begin the call, unless it is closed; return whether it was begun."""
        with self._lock:
            if self._closed.is_set():
                return False
            self._inbox: _Inbox[ResponseT] = _Inbox()
            self._call: Call[Any, Any] = Call(lambda _: self._start(), self._inbox.put)
            return True

    def take(self) -> list[ResponseT]:
        """Wait for answers and return those there; none at the end, or once it is closed. Raises `FrApiError`."""
        while True:
            try:
                answers = self._inbox.take(self._timeout_s)
            except queue.Empty:
                raise self._timed_out() from None
            except grpc.RpcError as rpc_error:
                error = from_rpc_error(rpc_error, self._target, None)
                delay_s = self._delay_s(error)
                if delay_s is None:
                    raise error from rpc_error
            else:
                self._attempt = None
                return answers
            self._stop()
            self._closed.wait(delay_s)
            if not self._open():
                return []

    def close(self) -> None:
        """Stop the call where it still runs, and wait for that; none begins any more; from any thread."""
        with self._lock:
            self._closed.set()
        self._stop()

    def _stop(self) -> None:
        self._inbox.close()
        self._call.close()

    def _delay_s(self, error: FrApiError) -> float | None:
        if self._attempt is None:
            return None
        delay_s = self._retry.delay_s(error, self._attempt, random.random())
        self._attempt += 1
        return delay_s

    def _timed_out(self) -> FrApiError:
        return FrApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            TIMED_OUT,
            f"{self._target} did not go on within {self._timeout_s:g} s. "
            "Allow more time (`timeout_s`, or `fr --timeout`).",
        )


def each(
    start: Callable[[], Iterable[ResponseT]], target: Endpoint, timeout_s: float | None, retry: RetryPolicy
) -> Generator[ResponseT]:
    """Yield the answers one by one; the call begins and ends with the iteration. Arguments: those of `Answers`."""
    answers: Answers[ResponseT] = Answers(start, target, timeout_s, retry)
    try:
        while some := answers.take():
            yield from some
    finally:
        answers.close()


class _Inbox(Generic[ResponseT]):
    """What one thread reads and another takes."""

    def __init__(self) -> None:
        self._queue: queue.Queue[ResponseT | grpc.RpcError | None] = queue.Queue(_MAX_WAITING)
        self._closed = threading.Event()
        self._end: grpc.RpcError | None = None
        self._ended = False

    def put(self, response: ResponseT | grpc.RpcError | None) -> None:
        """Wait for room, then put in; nothing any more once it is closed."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._queue.put(response, timeout=_LOOK_EVERY_S)
                return

    def take(self, timeout_s: float | None) -> list[ResponseT]:
        """Take out all there is, one or more; none at the end. Raises `queue.Empty`, and the error of the call."""
        taken: list[ResponseT] = []
        while not (self._ended or self._closed.is_set()):
            try:
                response = self._queue.get(block=not taken, timeout=timeout_s)
            except queue.Empty:
                if taken:
                    return taken
                raise
            if response is None or isinstance(response, grpc.RpcError):
                self._ended, self._end = True, response
            else:
                taken.append(response)
        if not taken and self._end is not None:
            raise self._end
        return taken

    def close(self) -> None:
        """Take nothing in any more, and let nobody wait for it."""
        self._closed.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)
