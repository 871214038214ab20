"""The outermost room of a call: its request id, its log line, and every error turned into a status."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from fr_core.errors import Failure, FrError, InputRefused, InternalError, InvalidField
from fr_server.errors import abort
from fr_server.interceptors.wrapping import EXEMPT, Context, Handler, Malformed, Stream, Unary, wrap

log = logging.getLogger("fr_server.calls")

_current: ContextVar[str] = ContextVar("request_id")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def log_defect(where: str, request_id: str, error: BaseException) -> None:
    """Log a defect: its type and the places it passed, never its message, which may hold what a caller sent."""
    frames = traceback.extract_tb(error.__traceback__)
    places = "".join(f"\n  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    log.error("%s failed, request %s: %s%s", where, request_id, type(error).__name__, places)


def as_fr_error(error: Exception, where: str, request_id: str) -> FrError:
    """Return the error itself where it is one for the caller; log anything else and return `InternalError`."""
    if isinstance(error, (InputRefused, Failure)):
        return error
    log_defect(where, request_id, error)
    return InternalError("The server failed on this call.", request_id=request_id)


def current_request_id() -> str:
    """Return the id of the call that is being answered."""
    return _current.get()


def _request_id_of(context: Context) -> str:
    """Return the caller's `x-request-id` where it is 1 to 64 letters, digits, `.`, `_` and `-`; else a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id" and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


class Boundary(grpc.aio.ServerInterceptor):
    """Gives each call an id, logs how it ended, and lets no exception out that is not a status."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of the call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler

        def unary(behaviour: Unary) -> Unary:
            async def call(request: Any, context: Context) -> Any:
                async with _Call(method, context):
                    return await behaviour(_well_formed(request), context)

            return call

        def stream(behaviour: Stream) -> Stream:
            async def call(requests: Any, context: Context) -> AsyncIterator[Any]:
                async with _Call(method, context):
                    async for response in behaviour(_each_well_formed(requests), context):
                        yield response

            return call

        return wrap(handler, unary, stream)


def _well_formed(request: Any) -> Any:
    if isinstance(request, Malformed):
        raise InvalidField("The message cannot be read as the protobuf message of this call.")
    return request


async def _each_well_formed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _well_formed(request)


class _Call:
    """One call: `async with` logs its end and turns what it raised into a status."""

    def __init__(self, method: str, context: Context) -> None:
        self.method = method
        self.context = context
        self.request_id = _request_id_of(context)
        self.started = time.monotonic()

    async def __aenter__(self) -> None:
        _current.set(self.request_id)
        self.context.set_trailing_metadata((("x-request-id", self.request_id),))

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._log("OK")
        elif isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._log("CANCELLED")
        elif isinstance(error, Exception):
            told = as_fr_error(error, self.method, self.request_id)
            self._log(told.reason)
            await abort(self.context, told, self.request_id)

    def _log(self, outcome: str) -> None:
        took_ms = (time.monotonic() - self.started) * 1000
        log.info("%s %s %s %.1f ms", self.method, outcome, self.request_id, took_ms)
