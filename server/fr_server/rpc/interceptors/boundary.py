"""Gives each call its request id, tells observers and the log how it ended, and turns every error into a status."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import grpc

from fr_core.errors import CallEnded, Failure, FrError, InputRefused, InternalError, InvalidField, StoreCorrupt, message
from fr_locales.rendering import best_language, render, speak
from fr_server.errors import abort
from fr_server.rpc.interceptors.sizes import request_of
from fr_server.rpc.interceptors.wrapping import EXEMPT, Context, Handler, Malformed, Stream, Unary, first_of, read_by
from fr_server.telemetry.listener import CANCELLED, OK, Listener
from fr_server.telemetry.logs import FIELDS, defects, describe
from fr_server.telemetry.throttle import Throttle

log = logging.getLogger("fr_server.calls")

_current: ContextVar[_Known] = ContextVar("call")
# Of requests about the health, for which nobody is asked who it is.
STRANGERS_BYTES = 1_024
STRANGERS_S = 2.0


def log_defect(where: str, request_id: str, error: BaseException) -> None:
    """Log a defect: its type and the places it passed, never its message, which may hold what a caller sent."""
    fields = {"request_id": request_id, "error": next(defects(error)).type}
    log.error("%s failed, request %s: %s", where, request_id, describe(error), extra={FIELDS: fields})


def as_fr_error(error: Exception, where: str, request_id: str) -> FrError:
    """Return the error itself if it is for the caller; otherwise log it and return `InternalError`.

    Damage of the store is logged too: the caller cannot repair it.
    """
    if isinstance(error, StoreCorrupt):
        fields = {"request_id": request_id, "error": error.reason, **error.metadata}
        log.error(
            "%s found the store damaged, request %s: %s", where, request_id, error.message, extra={FIELDS: fields}
        )
    if isinstance(error, (InputRefused, Failure)):
        return error
    log_defect(where, request_id, error)
    return InternalError(message("error.rpc.server_failed_call"), request_id=request_id)


def as_item_error(error: Exception) -> FrError:
    """Return the error for the answer to an item of the current call, like `as_fr_error`; on the event loop.

    After that the error holds no frames, and so no data of the item.
    """
    told = as_fr_error(error, "an item", _current.get().request_id)
    _let_go(error)
    return told


def count_refusal(refusal: FrError) -> None:
    """Count the refusal of an item of the current call; on the event loop."""
    _current.get().observer.refused(refusal.reason)


def _new_id() -> str:
    """Return 32 random hexadecimal digits; no security depends on them."""
    return f"{random.getrandbits(128):032x}"


class Boundary(grpc.aio.ServerInterceptor):
    """Is the outermost interceptor: only a status leaves it. `observer` hears of each call, if given.

    It reads every request itself, so that a request that does not arrive whole within `read_s` seconds ends its call.
    Callers of the health service are strangers: their requests must be short and arrive soon.
    """

    def __init__(self, observer: Listener | None = None, read_s: float = math.inf) -> None:
        self._observer = observer or Listener()
        self._read_s = read_s
        self._refused: Throttle[None] = Throttle(time.monotonic)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of the call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        if method.startswith(EXEMPT):
            # Reflection, which reads streams, is there only where everybody is trusted.
            few = not handler.request_streaming
            return read_by(handler, _of_a_stranger, _many_of_a_stranger, _is_short) if few else handler
        request = request_of(method)  # a room within may read that of a unary call as a stream of one

        def unary(behaviour: Unary) -> Unary:
            async def call(_: object, context: Context) -> Any:
                # Always the server's own id: a caller's could be a name, and would stay in the log and the audit.
                request_id = _new_id()
                context = lasting(context, request_id)
                async with _Call(method, context, self._observer, self._refused, request_id):
                    return await behaviour(await self._first_of(context), context)

            return call

        def stream(behaviour: Stream) -> Stream:
            async def call(_: object, context: Context) -> AsyncIterator[Any]:
                request_id = _new_id()
                context = lasting(context, request_id)
                async with _Call(method, context, self._observer, self._refused, request_id):
                    sent = _each_well_formed(context) if request.stream else self._only(context)
                    async for response in behaviour(sent, context):
                        yield response
                        del response  # so that an idle stream does not keep its last answer

            return call

        return read_by(handler, unary, stream, request.takes)

    async def _first_of(self, context: Context) -> Any:
        try:
            return _well_formed(await first_of(context, self._read_s))
        except TimeoutError as error:
            raise CallEnded(message("error.rpc.request_did_not_come")) from error

    async def _only(self, context: Context) -> AsyncIterator[Any]:
        yield await self._first_of(context)


def _well_formed(request: Any) -> Any:
    if isinstance(request, Malformed):
        raise InvalidField(request.why)
    return request


def _is_short(encoded: bytes) -> bool:
    return len(encoded) <= STRANGERS_BYTES


def _of_a_stranger(behaviour: Unary) -> Unary:
    async def call(_: object, context: Context) -> Any:
        return await behaviour(await _sent_by_a_stranger(context), context)

    return call


def _many_of_a_stranger(behaviour: Stream) -> Stream:
    async def only(context: Context) -> AsyncIterator[Any]:
        yield await _sent_by_a_stranger(context)

    async def call(_: object, context: Context) -> AsyncIterator[Any]:
        async for response in behaviour(only(context), context):
            yield response

    return call


async def _sent_by_a_stranger(context: Context) -> Any:
    try:
        request = await first_of(context, STRANGERS_S)
    except TimeoutError:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "The request did not come whole in time.")
    if isinstance(request, Malformed):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, render(request.why))
    return request


async def _each_well_formed(context: Context) -> AsyncIterator[Any]:
    while (request := await context.read()) is not grpc.aio.EOF:
        yield _well_formed(request)
        del request  # so that an idle stream does not keep its last item


@dataclass(frozen=True, slots=True)
class _Known:
    """The facts of a call. Cancelled timers keep it for a long time, so it holds nothing more."""

    request_id: str
    observer: Listener


class _Call:
    """One call: `async with` tells and logs its end, and turns an exception into a status."""

    def __init__(
        self, method: str, context: Context, observer: Listener, refused: Throttle[None], request_id: str
    ) -> None:
        self.method = method
        self.context = context
        self.observer = observer
        self.request_id = request_id
        self._refused = refused
        self._started = time.monotonic()

    async def __aenter__(self) -> None:
        _current.set(_Known(self.request_id, self.observer))
        sent: dict[str, str] = {}  # the first value of each key
        for key, value in self.context.invocation_metadata() or ():
            if isinstance(value, str):
                sent.setdefault(key, value)
        speak(best_language(sent.get("accept-language", "")))
        self.context.set_trailing_metadata((("x-request-id", self.request_id),))
        traceparent = sent.get("traceparent", "")
        self._told_ended = self.observer.began(self._name, self.request_id, traceparent)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._ended(OK)
        elif isinstance(error, Exception):
            told = as_fr_error(error, self.method, self.request_id)
            self._ended(CANCELLED if isinstance(told, CallEnded) else told.reason)
            del trace
            _let_go(error)
            await abort(self.context, told, self.request_id)
        else:  # cancelled, the reader of a stream gone, or the process ending
            self._ended(CANCELLED)

    @property
    def _name(self) -> str:
        return self.method.removeprefix("/")

    def _ended(self, outcome: str) -> None:
        took_s = time.monotonic() - self._started
        self._told_ended(outcome, took_s)
        held_back = 0 if outcome == OK else self._refused.held_back(outcome, None)
        if held_back is None:
            return
        took_ms = round(took_s * 1000, 1)
        fields = {"method": self._name, "outcome": outcome, "request_id": self.request_id, "took_ms": took_ms}
        text = "%s %s %s %.1f ms"
        if held_back:
            fields["held_back"] = held_back
            text += f", and {held_back} more of its outcome that were not told"
        log.info(text, self.method, outcome, self.request_id, took_ms, extra={FIELDS: fields})


def lasting(context: Context, request_id: str = "") -> Context:
    """Return a context that is safe to use at any time; call this function within the task of the call.

    Work for a call can outlive it: an item of a stream that was cut off, or a task that waited for a thread until its
    deadline had passed. By then gRPC has freed the call, and asking gRPC's own context for the peer ends the process.
    """
    return cast("Context", _LastingContext(context, request_id))


class _LastingContext:
    def __init__(self, context: Context, request_id: str) -> None:
        self._context = context
        self._peer = context.peer()
        self.request_id = request_id
        task = asyncio.current_task()
        assert task is not None
        self._ended = task.done  # gRPC lets go of a call after that

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def peer(self) -> str:
        return self._peer

    async def read(self) -> Any:
        return grpc.aio.EOF if self._ended() else await self._context.read()

    async def abort(self, *arguments: Any, **named: Any) -> None:
        if self._ended():
            raise grpc.aio.UsageError("The call has ended.")
        await self._context.abort(*arguments, **named)


def _let_go(error: BaseException) -> None:
    """Remove the frames from an error and from those behind it, because frames hold the request.

    gRPC keeps the end of a call, and with it the error, until the garbage collector runs. The frames themselves stay:
    several calls may share an error, and some of them go on.
    """
    seen: set[int] = set()
    passed: BaseException | None = error
    while passed is not None and id(passed) not in seen:
        seen.add(id(passed))
        passed.__traceback__ = None
        passed = passed.__cause__ or passed.__context__
