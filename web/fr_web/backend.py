"""Finds the calls of the API in the generated code, and makes them with the key of each caller."""

import asyncio
import itertools
import pkgutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_health.v1 import health_pb2

import fr_api.v1
from fr_client.channel import channel_options
from fr_client.identity import TlsCredentials
from fr_web.errors import failed_call


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call of the API; `path` is "/fr_api.v1.SERVICE/METHOD", in gRPC and in HTTP."""

    path: str
    request: type[Message]
    response: type[Message]
    streams: bool  # whether it has more than one request or answer
    safe: bool  # whether the API says that it has no side effects, so that GET may make it


def api_calls() -> Mapping[str, Call]:
    """Return all calls of the API by their paths."""
    found = {}
    for module in pkgutil.iter_modules(fr_api.v1.__path__):
        if not module.name.endswith("_pb2"):
            continue
        for service in import_module(f"fr_api.v1.{module.name}").DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                safe = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
                request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
                found[path] = Call(path, request, response, method.client_streaming or method.server_streaming, safe)
    return found


# Each channel is a connection of its own, so that several front-end processes of a server share the work.
_CHANNELS = 4
_LAST_CALLS_S = 300.0  # of channels that were replaced: the server's own limit of a call
_HEALTH_S, _HEALTH_KEPT_S = 2.0, 0.5
_HEALTH = "/grpc.health.v1.Health/Check"

Metadata = Sequence[tuple[str, str]]


class Backend:
    """The server behind, `target`; `open_credentials` returns those of TLS, None for none, each time channels open.

    `name` is that of the server's certificate, if it is not the one of the target. Use it within one event loop.
    """

    def __init__(
        self,
        target: str,
        open_credentials: Callable[[], TlsCredentials | None],
        name: str = "",
    ) -> None:
        self._target = target
        self._open_credentials = open_credentials
        self._options: list[tuple[str, int | str]] = [
            *channel_options(target),
            # A server that starts again is found soon; gRPC's own pauses grow to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # A machine that vanished without a word is noticed after both, and its calls end.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
        ]
        if name:
            self._options.append(("grpc.ssl_target_name_override", name))
        self._channels: list[aio.Channel] = []
        self._closing: set[asyncio.Future[None]] = set()
        self._turns = itertools.count()
        self._asking = asyncio.Lock()
        self._serves = False
        self._asked_s = float("-inf")

    def open(self) -> None:
        """Open the channels, or replace them; calls that run go on. Raises as `open_credentials`."""
        before, self._channels = self._channels, [self._channel() for _ in range(_CHANNELS)]
        self._closing |= {asyncio.ensure_future(one.close(_LAST_CALLS_S)) for one in before}

    async def close(self) -> None:
        """End all calls."""
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*(one.close() for one in self._channels))

    async def call(self, path: str, request: bytes, metadata: Metadata, timeout_s: float | None) -> tuple[bytes, str]:
        """Return the answer to an encoded request, and the request id; raises `FrApiError`."""
        channel = self._channels[next(self._turns) % len(self._channels)]
        method: Any = channel.unary_unary(path)
        running = method(request, timeout=timeout_s, metadata=aio.Metadata(*metadata))
        try:
            answer: bytes = await running
        except aio.AioRpcError as error:
            raise failed_call(error) from error
        sent = await running.trailing_metadata()
        return answer, next((str(value) for key, value in sent if key == "x-request-id"), "")

    async def answers(self, path: str, request: bytes, metadata: Metadata) -> AsyncIterator[bytes]:
        """Yield the answers of a call to one encoded request, until they end; raises `FrApiError`."""
        channel = self._channels[next(self._turns) % len(self._channels)]
        method: Any = channel.unary_stream(path)
        running = method(request, metadata=aio.Metadata(*metadata))
        try:
            async for answer in running:
                yield answer
        except aio.AioRpcError as error:
            raise failed_call(error) from error
        finally:
            running.cancel()

    async def serves(self) -> bool:
        """Return what the server's health says, at most half a second old, so that strangers cannot flood it."""
        async with self._asking:
            if time.monotonic() - self._asked_s >= _HEALTH_KEPT_S:
                self._serves = await self._health()
                self._asked_s = time.monotonic()
        return self._serves

    async def _health(self) -> bool:
        request = health_pb2.HealthCheckRequest().SerializeToString()
        try:
            method: Any = self._channels[0].unary_unary(_HEALTH)
            answer: bytes = await method(request, timeout=_HEALTH_S)
        except aio.AioRpcError:
            return False
        return bool(health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING)

    def _channel(self) -> aio.Channel:
        credentials = self._open_credentials()
        if credentials is None:
            return aio.insecure_channel(self._target, self._options)
        return aio.secure_channel(self._target, credentials.channel, self._options)
