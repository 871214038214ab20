"""The items of a stream that are on their way: shared by both clients."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import grpc

from fr_api.v1 import common_pb2, error_reason_pb2
from fr_client.channel import RetryPolicy, too_large_message
from fr_client.errors import CONNECTION_LOST, TIMED_OUT, FrApiError, reason_of
from fr_client.handshake import Endpoint


class StreamRequest(Protocol):
    """What the requests of every stream have in common."""

    item_id: str

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name
        """Return the size on the wire in bytes."""


class StreamResponse(Protocol):
    """What the responses of every stream have in common."""

    item_id: str


RequestT = TypeVar("RequestT", bound=StreamRequest)
ResponseT = TypeVar("ResponseT", bound=StreamResponse)
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Advice:
    """What the caller of a stream is told to do.

    Attributes:
        unanswered: with items that had no answer when the stream ended.
        too_large: so that an item is no larger than the channel carries.
        too_large_reason: of the refusal of an item that is.
    """

    unanswered: str
    too_large: str = "Send a smaller file."
    too_large_reason: error_reason_pb2.ErrorReason.ValueType = error_reason_pb2.ERROR_REASON_IMAGE_TOO_MANY_BYTES


# Of streams that store nothing.
STORES_NOTHING = Advice("Send them again.")
STORES_FACES = Advice(
    "Send them again: a photo that was stored already is then refused as DUPLICATE_IMAGE; an embedding would be stored "
    "twice."
)
STORES_EMBEDDINGS = Advice(
    "Those of a batch were stored together, or not at all: look for one of its subjects before you send it again. An "
    "embedding that is sent twice is stored twice.",
    "Put fewer embeddings in a batch.",
    error_reason_pb2.ERROR_REASON_INVALID_FIELD,
)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a stream is run.

    Attributes:
        target: the server, for messages, and for why there is no connection.
        max_in_flight: items that are sent and not yet answered, at most.
        timeout_s: the longest wait for the next answer; None for no limit.
        max_message_bytes: the largest request that the channel carries.
        retry: when an item that the server refused to begin is sent again.
        advice: what the caller is told to do.
    """

    target: Endpoint
    max_in_flight: int
    timeout_s: float | None
    max_message_bytes: int
    retry: RetryPolicy
    advice: Advice

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
    """An item that the server was too busy for.

    Attributes:
        request: to be sent once more.
        delay_s: the seconds to wait before.
    """

    request: RequestT
    delay_s: float


class Window(Generic[RequestT, ResponseT, AnswerT]):
    """Keeps each request until it is answered, under a number of its own on the wire.

    Args:
        settings: of the stream.
        unpack: returns the answer, or the refusal, of a response.
        jitter: gives numbers in [0, 1).
    """

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
        """Whether an answer must come before the next item may go."""
        return len(self._sent) >= self._settings.max_in_flight

    @property
    def is_empty(self) -> bool:
        """Whether every item was answered."""
        return not self._sent

    def admit(self, item_id: str, request: RequestT) -> common_pb2.Refusal | None:
        """Give `request` its number and keep it; a request that the channel cannot carry is refused here instead."""
        size = request.ByteSize()
        limit = self._settings.max_message_bytes
        if size > limit:
            advice = self._settings.advice
            return common_pb2.Refusal(
                reason=advice.too_large_reason,
                message=too_large_message(size, limit, advice.too_large),
                metadata={"limit": str(limit), "found": str(size)},
            )
        self._count += 1
        request.item_id = str(self._count)
        self._sent[request.item_id] = _Sent(item_id, request)
        return None

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
        """Return the requests to send again when the stream has to be begun anew, in the order of their numbers."""
        return [sent.request for sent in self._sent.values()]

    def begin_again_after_s(self, error: FrApiError) -> float | None:
        """Return the seconds after which to begin the stream anew, or None where that would not mend `error`.

        A server that says such a reason of a stream has answered every item that it read.
        """
        delay_s = self._settings.retry.delay_s(error, self._attempt, self._jitter())
        self._attempt += 1
        return delay_s

    def ended_early(self) -> FrApiError:
        """Return the error for a stream that the server ended although items are unanswered."""
        return FrApiError(
            grpc.StatusCode.UNAVAILABLE,
            CONNECTION_LOST,
            f"{self._settings.target} ended the stream with {len(self._sent)} items unanswered. "
            f"{self._settings.advice.unanswered}",
        )

    def timed_out(self) -> FrApiError:
        """Return the error for a stream on which nothing came for too long."""
        return FrApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            TIMED_OUT,
            f"{self._settings.target} did not answer within {self._settings.timeout_s:g} s, "
            f"with {len(self._sent)} items unanswered. Allow more time (`timeout_s`, or `fr --timeout`).",
        )


def _retry_after_s(refusal: common_pb2.Refusal) -> float | None:
    """Return the seconds after which the server asks to send an item again; None where it does not."""
    try:
        asked_s = float(refusal.metadata.get("retry_after_s", ""))
    except ValueError:
        return None
    return asked_s if asked_s >= 0.0 else None
