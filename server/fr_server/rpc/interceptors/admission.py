"""Bounds the calls in work before any of their work is done, gives each its ticket, and can refuse all."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import grpc

from fr_core.errors import CallEnded, CallTooLong, Failure, message
from fr_core.runtime.ticket import Ticket, hold
from fr_core.sharing import EVERYBODY, Places, share_of
from fr_server.authz.callers import current_sharer
from fr_server.authz.table import RULES
from fr_server.rpc.interceptors.wrapping import EXEMPT, Context, Handler, Stream, Unary, wrap


class Admission(grpc.aio.ServerInterceptor):
    """Admits up to `max_in_flight` calls at once; a stream is one call for as long as it is open.

    Callers share the calls, and the streams among them (`fr_core.sharing`).

    Unary calls of one item are interactive; what comes in streams and batches is bulk, and lets them go first.

    A unary call ends after `call_s` at the latest, whatever its client asks for: work that is begun for nobody is work
    that others wait for.

    `idle` is set while no call is in work. grpc's own `maximum_concurrent_rpcs` would refuse health checks too, and
    without a reason.
    """

    def __init__(self, max_in_flight: int, call_s: float = math.inf, streams_per_caller: float = math.inf) -> None:
        self._call_s = call_s
        self._calls = Places(max_in_flight, message("error.sharing.calls"))
        most = most_streams(max_in_flight)
        self._streams = Places(most, message("error.sharing.streams"), int(min(streams_per_caller, share_of(most))))
        self._refuse_all: Failure | None = None
        self.idle = asyncio.Event()
        self.idle.set()

    def refuse(self, why: Failure) -> None:
        """Refuse every call from now on; those in work go on."""
        self._refuse_all = why

    def admit(self) -> None:
        """Admit calls again."""
        self._refuse_all = None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of the call; where there is no room for it, its request is not even read."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        rule = RULES.get(method)
        batch = rule is not None and bool(rule.items)
        bulk = bool(handler.request_streaming or handler.response_streaming or batch)
        # The caller is known only within the call, and counted there.
        refusal = self._refusal(bulk, EVERYBODY)
        if refusal is not None:
            return _refusing(refusal)

        def unary(behaviour: Unary) -> Unary:
            async def call(request: Any, context: Context) -> Any:
                until_s = time.monotonic() + self._call_s
                with self._admitted(context, bulk, self._call_s):
                    limit = asyncio.timeout(None if self._call_s == math.inf else self._call_s)
                    try:
                        async with limit:
                            return await behaviour(request, context)
                    # The ticket of the call, which ends with it, may be the first to say so.
                    except (TimeoutError, CallEnded) as error:
                        if not limit.expired() and time.monotonic() < until_s:
                            raise
                        raise CallTooLong(message("error.rpc.call_took_longer_server")) from error

            return call

        def stream(behaviour: Stream) -> Stream:
            async def call(requests: Any, context: Context) -> AsyncIterator[Any]:
                with self._admitted(context, bulk, math.inf):
                    async for response in behaviour(requests, context):
                        yield response
                        del response  # so that an idle stream does not keep its last answer

            return call

        return wrap(handler, unary, stream)

    def _refusal(self, bulk: bool, caller: str) -> Failure | None:
        if self._refuse_all is not None:
            return type(self._refuse_all)(self._refuse_all.finding)  # its own: it will hold the traces of its call
        return self._calls.refusal(caller) or (self._streams.refusal(caller) if bulk else None)

    @contextmanager
    def _admitted(self, context: Context, bulk: bool, most_s: float) -> Iterator[None]:
        caller = current_sharer()
        refusal = self._refusal(bulk, caller)  # again: others may have come while the server read this request
        if refusal is not None:
            raise refusal
        left_s = cast("float | None", context.time_remaining())  # None without a deadline, whatever its stub says
        left_s = min(most_s, math.inf if left_s is None else left_s)
        deadline = None if left_s == math.inf else time.monotonic() + left_s
        ticket = Ticket(deadline, bulk, caller=caller)
        hold(ticket)
        try:
            with self._calls.held(caller), self._streams.held(caller) if bulk else nullcontext():
                self.idle.clear()
                try:
                    yield
                finally:
                    ticket.cancel()  # nobody needs the queued work of this call any more
        finally:
            if not self._calls.taken:
                self.idle.set()


def most_streams(max_in_flight: int) -> int:
    """Return how many of these calls may be streams: streams may last for ever, and people wait for other calls."""
    return max_in_flight - max_in_flight // 4


def _refusing(refusal: Failure) -> Handler:
    """A handler of a stream, which gRPC calls before it reads a request, that of a unary call too."""

    async def refuse(requests: Any, context: Context) -> AsyncIterator[Any]:
        raise refusal
        yield  # which makes it a stream

    return grpc.stream_stream_rpc_method_handler(refuse)
