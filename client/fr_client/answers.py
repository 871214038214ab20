"""Reads many answers to one request, for both clients."""

import queue
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc

from fr_client.channel import RetryPolicy
from fr_client.errors import TIMED_OUT, FrApiError, from_rpc_error
from fr_client.handshake import Endpoint
from fr_client.streams import Call

ResponseT = TypeVar("ResponseT")

# Answers that are read ahead: beyond these the server waits.
_MAX_WAITING = 1024
_LOOK_EVERY_S = 0.1


class Answers(Generic[ResponseT]):
    """The answers to one request, as they come; the call begins at once.

    `start` makes the call, again if the server refused to begin. `timeout_s` is the longest wait for the next answer;
    None for no limit.
    """

    def __init__(self, start: Callable[[], Any], target: Endpoint, timeout_s: float | None, retry: RetryPolicy) -> None:
        self._start = start
        self._target = target
        self._timeout_s = timeout_s
        self._retry = retry
        self._attempt: int | None = 1  # None after the first answer
        self._closed = threading.Event()
        self._lock = threading.Lock()  # no call begins after `close`
        self._open()

    def _open(self) -> bool:
        """Begin the call, unless closed; return whether it began."""
        with self._lock:
            if self._closed.is_set():
                return False
            self._inbox: _Inbox[ResponseT] = _Inbox()
            self._call: Call[Any, Any] = Call(lambda _: self._start(), self._inbox.put)
            return True

    def take(self) -> list[ResponseT]:
        """Wait for answers and return all that have come; none at the end, or after `close`. Raises `FrApiError`."""
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
        """Stop the call if it still runs, wait for that, and begin no other; may be called from any thread."""
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
            f"{self._target} sent nothing within {self._timeout_s:g} s. Allow more time (`timeout_s`).",
        )


class _Inbox(Generic[ResponseT]):
    """Passes answers from the thread that reads them to the one that takes them."""

    def __init__(self) -> None:
        self._queue: queue.Queue[ResponseT | grpc.RpcError | None] = queue.Queue(_MAX_WAITING)
        self._closed = threading.Event()
        self._end: grpc.RpcError | None = None
        self._ended = False

    def put(self, response: ResponseT | grpc.RpcError | None) -> None:
        """Wait for room, then add an answer; does nothing after `close`."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._queue.put(response, timeout=_LOOK_EVERY_S)
                return

    def take(self, timeout_s: float | None) -> list[ResponseT]:
        """Return one or more answers, or none at the end. Raises `queue.Empty`, and the error of the call."""
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
        """Accept no more answers, and release any waiting thread."""
        self._closed.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)
