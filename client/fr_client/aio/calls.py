"""Makes the calls of a client: again where the server refused to begin, page by page, in streams."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, server_pb2, server_pb2_grpc
from fr_client.answers import Answers
from fr_client.channel import RetryPolicy, channel_options
from fr_client.errors import CONNECTION_LOST, FrApiError, from_rpc_error, refusal_of
from fr_client.handshake import Endpoint
from fr_client.identity import Identity, TlsCredentials
from fr_client.photos import TOO_LARGE, Fit, PhotoFit
from fr_client.streams import ItemT, StreamSettings
from fr_client.tasks import Channels, Items, Method, exchange, run, sleep

MessageT = TypeVar("MessageT", bound=Message)
ResponseT = TypeVar("ResponseT")


class AsyncCalls:
    """The calls of one client; the arguments are those of `AsyncClient`.

    Attributes:
        unary: channel for calls with one answer; `streams` is that for streams.
        endpoint: what is called, for messages.
        timeout_s: seconds that a call may take, or a stream may wait for its next answer; None for no limit.
    """

    def __init__(
        self,
        target: str,
        timeout_s: float | None,
        credentials: grpc.ChannelCredentials | TlsCredentials | None,
        token: str,
        downscale: bool,
        retry: RetryPolicy | None,
    ) -> None:
        self.endpoint = Endpoint(target, credentials)
        self.timeout_s = timeout_s
        self._downscale = downscale
        self._retry = retry or RetryPolicy()
        self._channels = Channels.open(target, Identity(token, credentials), channel_options(target))
        self.unary, self.streams = self._channels.unary, self._channels.streams
        self._server = server_pb2_grpc.ServerServiceStub(self.unary)
        self._fit: PhotoFit | None = None

    async def close(self) -> None:
        """Close the connection; calls that still run are cancelled."""
        await self._channels.close()

    async def call(self, method: Method[MessageT, ResponseT], request: MessageT) -> ResponseT:
        """Call until there is an answer, an error that another call would not mend, or no time left."""
        deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        for attempt in itertools.count(1):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                return await method(request, timeout=left)
            except grpc.RpcError as rpc_error:
                error = await run(from_rpc_error, rpc_error, self.endpoint, self.timeout_s)
                delay_s = self._retry.delay_s(error, attempt, random.random())
                if delay_s is None or (deadline is not None and time.monotonic() + delay_s >= deadline):
                    raise error from rpc_error
            await sleep(delay_s)
        raise AssertionError("itertools.count never ends")

    async def server_info(self) -> server_pb2.GetServerInfoResponse:
        """Return the server's version, model, device and limits."""
        return await self.call(self._server.GetServerInfo, server_pb2.GetServerInfoRequest())

    async def server_status(self) -> server_pb2.GetServerStatusResponse:
        """Return how the server is doing; for administrators and auditors."""
        return await self.call(self._server.GetServerStatus, server_pb2.GetServerStatusRequest())

    async def fit(self) -> PhotoFit:
        """Return the function that makes photos fit the server; it asks for the limits once."""
        if self._fit is None:
            self._fit = PhotoFit((await self.server_info()).limits, self._downscale)
        return self._fit

    async def pages(self, method: Method[Any, Any], request: Any, field: str) -> AsyncIterator[Any]:
        """Yield what a field of the answers lists, page by page."""
        while True:
            page = await self.call(method, request)
            for one in getattr(page, field):
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def answers(self, start: Callable[[], Any], timeout_s: float | None) -> AsyncGenerator[Any]:
        """Yield the answers that `start` gets to one request, within `timeout_s`; the call ends with the iteration."""
        # Not in a thread: a task that is cancelled meanwhile would leave a call that nobody ends.
        answers: Answers[Any] = Answers(start, self.endpoint, timeout_s, self._retry)
        try:
            while some := await run(answers.take):
                for one in some:
                    yield one
        finally:
            await run(answers.close)

    async def awaited(self, start: Callable[[], Any], field: str, tell: Callable[[Any], object], work: str) -> Any:
        """Return a field of the last answer to one request; calls `tell` with the progress in those before it.

        There is no limit of time, and the work of the server ends with the wait. Raises `FrApiError` (CONNECTION_LOST)
        if the server ends `work` without the field.
        """
        async with aclosing(self.answers(start, None)) as answers:
            async for answer in answers:
                if answer.WhichOneof("event") == field:
                    return getattr(answer, field)
                tell(answer.progress)
        message = f"{self.endpoint} ended {work} without a {field}. Call again."
        raise FrApiError(grpc.StatusCode.UNAVAILABLE, CONNECTION_LOST, message)

    async def contents(self, start: Callable[[], Any], field: str) -> AsyncGenerator[bytes]:
        """Yield a file piece by piece: a field of each answer."""
        async with aclosing(self.answers(start, self.timeout_s)) as answers:
            async for answer in answers:
                yield getattr(answer, field)

    def exchange(
        self,
        start: Callable[..., Any],
        items: Items[ItemT],
        build: Callable[[ItemT, Fit], Any],
        unpack: Callable[[Any], ResponseT | common_pb2.Refusal],
        max_in_flight: int,
        advice: str,
    ) -> AsyncGenerator[tuple[str, ResponseT | common_pb2.Refusal]]:
        """Send many items through one stream; see `fr_client.tasks.exchange`. Refuses photos that are too large."""
        settings = StreamSettings(self.endpoint, max_in_flight, self.timeout_s, self._retry, advice)
        return self._exchange(start, items, build, unpack, settings)

    async def _exchange(
        self,
        start: Callable[..., Any],
        items: Items[ItemT],
        build: Callable[[ItemT, Fit], Any],
        unpack: Callable[[Any], ResponseT | common_pb2.Refusal],
        settings: StreamSettings,
    ) -> AsyncGenerator[tuple[str, ResponseT | common_pb2.Refusal]]:
        fit = await self.fit()

        def built(item: ItemT) -> Any:
            try:
                return build(item, fit)
            except FrApiError as error:
                if error.reason not in TOO_LARGE:
                    raise
                return refusal_of(error)

        async with aclosing(exchange(start, items, built, unpack, settings)) as answers:
            async for answer in answers:
                yield answer


class AsyncPart:
    """A part of a client: the methods of one service."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
