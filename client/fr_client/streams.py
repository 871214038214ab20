"""One stream of items: the items on their way, and the thread that reads the answers; for both clients."""

import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from fr_api.v1 import common_pb2
from fr_client.channel import RetryPolicy
from fr_client.errors import CONNECTION_LOST, NOT_BEGUN, TIMED_OUT, FrApiError, reason_of
from fr_client.handshake import Endpoint

# Requests and responses have an `item_id`, and so have the caller's items.
RequestT = TypeVar("RequestT", bound=Any)
ResponseT = TypeVar("ResponseT", bound=Any)
AnswerT = TypeVar("AnswerT")
ItemT = TypeVar("ItemT", bound=Any)


# Remedies for items without an answer at the end of a stream.
STORES_NOTHING = "Send them again."
STORES_FACES = (
    "Send them again: a photo that was stored already is then refused as DUPLICATE_IMAGE; an embedding would be stored "
    "twice."
)
STORES_EMBEDDINGS = (
    "Those of a batch were stored together, or not at all: look for one of its subjects before you send it again. An "
    "embedding that is sent twice is stored twice."
)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings of a stream."""

    target: Endpoint  # the server, for messages, and to find out why there is no connection
    max_in_flight: int  # the most items on their way
    timeout_s: float | None  # the longest wait for the next answer; None for no limit
    retry: RetryPolicy
    advice: str  # the remedy for items without an answer at the end

    def __post_init__(self) -> None:
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight is {self.max_in_flight}; it must be at least 1.")


@dataclass(slots=True)
class _Sent(Generic[RequestT]):
    item_id: str
    request: RequestT
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class SendAgain(Generic[RequestT]):
    """An item to send again after `delay_s` seconds: the server was too busy for it."""

    request: RequestT
    delay_s: float


class Window(Generic[RequestT, ResponseT, AnswerT]):
    """Keeps each request until its answer comes, under a number of its own; `jitter` is in [0, 1)."""

    def __init__(
        self,
        settings: StreamSettings,
        unpack: Callable[[ResponseT], AnswerT | common_pb2.Refusal],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._unpack = unpack
        self._jitter = jitter
        self._sent: dict[str, _Sent[RequestT]] = {}
        self._count = 0
        self._attempt = 1

    @property
    def is_full(self) -> bool:
        """True if the next item must wait for an answer."""
        return len(self._sent) >= self._settings.max_in_flight

    @property
    def is_empty(self) -> bool:
        """True if every item has its answer."""
        return not self._sent

    def admit(self, item_id: str, request: RequestT) -> None:
        """Give `request` its number and keep it."""
        self._count += 1
        request.item_id = str(self._count)
        self._sent[request.item_id] = _Sent(item_id, request)

    def settle(self, response: ResponseT) -> tuple[str, AnswerT | common_pb2.Refusal] | SendAgain[RequestT]:
        """Return the caller's own id with the answer, or the request to send again."""
        sent = self._sent.get(response.item_id)
        if sent is None:
            raise FrApiError(
                grpc.StatusCode.INTERNAL, "", f"{self._settings.target} answered an item that was not sent."
            )
        self._attempt = 1
        answer = self._unpack(response)
        if isinstance(answer, common_pb2.Refusal):
            asked_s = _retry_after_s(answer)
            delay_s = self._settings.retry.delay_for(reason_of(answer), asked_s, sent.attempt, self._jitter())
            if delay_s is not None:
                sent.attempt += 1
                return SendAgain(sent.request, delay_s)
        del self._sent[response.item_id]
        return sent.item_id, answer

    def unanswered(self) -> list[RequestT]:
        """Return the requests to send again after a new start of the stream, in the order of their numbers."""
        return [sent.request for sent in self._sent.values()]

    def begin_again_after_s(self, error: FrApiError) -> float | None:
        """Return the seconds after which to start the stream again, or None if that would not mend `error`.

        A server that gives such a reason has answered every item that it read.
        """
        delay_s = self._settings.retry.delay_s(error, self._attempt, self._jitter())
        self._attempt += 1
        return delay_s

    def require_ended(self, error: FrApiError) -> None:
        """Raise `error`, with which a stream ended whose items all have answers.

        A server that begins nothing more is no error then: it may stop before it hears that there are no more items.
        """
        if error.reason not in NOT_BEGUN:
            raise error

    def ended_early(self) -> FrApiError:
        """Return the error for a stream that the server ended with items unanswered."""
        return FrApiError(
            grpc.StatusCode.UNAVAILABLE,
            CONNECTION_LOST,
            f"{self._settings.target} ended the stream with {len(self._sent)} items unanswered. "
            f"{self._settings.advice}",
        )

    def timed_out(self) -> FrApiError:
        """Return the error for a stream without an answer for too long."""
        return FrApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            TIMED_OUT,
            f"{self._settings.target} did not answer within {self._settings.timeout_s:g} s, "
            f"with {len(self._sent)} items unanswered. Allow more time (`timeout_s`).",
        )


class Call(Generic[RequestT, ResponseT]):
    """A stream with a queue of requests, and a thread that delivers each response, and at the end None or the error."""

    def __init__(
        self, start: Callable[[Iterator[RequestT]], Any], deliver: Callable[[ResponseT | grpc.RpcError | None], None]
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
        """Tell the server that there are no more requests."""
        self._outgoing.put(None)

    def close(self) -> None:
        """Stop the stream if it still runs, and wait for that."""
        self._call.cancel()
        self._outgoing.put(None)
        self._reader.join()


def _retry_after_s(refusal: common_pb2.Refusal) -> float | None:
    try:
        asked_s = float(refusal.metadata.get("retry_after_s", ""))
    except ValueError:
        return None
    return asked_s if asked_s >= 0.0 else None
