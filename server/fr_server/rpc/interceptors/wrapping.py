"""Wraps interceptors around handlers; no call of FR Core has many requests and one answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from fr_locales.messages import message

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Any]]
Stream = Callable[[Any, Context], AsyncIterator[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stub only

# Answered under every load and while draining: that is when monitoring needs the server most.
EXEMPT = ("/grpc.health.v1.Health/", "/grpc.reflection.")


def request_id_of(context: Context) -> str:
    """Return the id that the server gave to a call."""
    return str(getattr(context, "request_id", ""))


class Malformed:
    """Stands for an unreadable message until an interceptor refuses it; `why` is the sentence of the refusal."""

    why = message("error.rpc.message_unreadable")


class TooLong(Malformed):
    """Stands for a message that was not read, because it is longer or has more fields than the call takes."""

    why = message("error.rpc.message_too_long")


class Missing(Malformed):
    """Stands for the message of a call that ended without one."""

    why = message("error.rpc.message_missing")


def read_by(
    handler: Handler,
    unary: Callable[[Unary], Unary],
    stream: Callable[[Stream], Stream],
    takes: Callable[[bytes], bool],
) -> Handler:
    """Do the same as `wrap`, for the outermost interceptor: it reads every request from the context.

    gRPC itself waits for ever for the rest of a request. Its iterator of requests is a cycle with its generator, which
    holds the last request until the garbage collector runs. `unary` makes the behaviour of a unary call, which gets no
    request, `stream` that of every other call. `takes` says whether to read an encoded request; else `TooLong` stands
    for it.
    """
    read, write = _reading(handler.request_deserializer, takes), handler.response_serializer
    if handler.unary_unary is not None:
        return grpc.stream_unary_rpc_method_handler(
            unary(handler.unary_unary),  # type: ignore[arg-type]  # as in `wrap`
            request_deserializer=read,
            response_serializer=write,
        )
    behaviour: Any = handler.stream_stream
    if handler.unary_stream is not None:
        behaviour = _of_many(handler.unary_stream)  # type: ignore[arg-type]  # as in `wrap`
    if behaviour is None:
        raise TypeError("no call of FR Core has many requests and one answer")
    return grpc.stream_stream_rpc_method_handler(
        stream(behaviour), request_deserializer=read, response_serializer=write
    )


async def first_of(context: Context, within_s: float) -> Any:
    """Return the only request of a call, `Malformed` if there is none; raises `TimeoutError` after `within_s`."""
    async with asyncio.timeout(within_s):
        request = await context.read()
    return Missing() if request is grpc.aio.EOF else request


def wrap(handler: Handler, unary: Callable[[Unary], Unary], stream: Callable[[Stream], Stream]) -> Handler:
    """Return `handler` with its behaviour replaced by `unary(behaviour)` or `stream(behaviour)`."""
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(
            unary(handler.unary_unary),  # type: ignore[arg-type]  # stubs know the behaviours of threads alone
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            stream(handler.stream_stream),  # type: ignore[arg-type]  # likewise
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(
            _of_one(stream(_of_many(handler.unary_stream))),  # type: ignore[arg-type]  # likewise
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    raise TypeError("no call of FR Core has many requests and one answer")


def _of_many(behaviour: Stream) -> Stream:
    """Return a behaviour that takes a stream of one request, from one that takes the request."""

    async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            async for response in behaviour(request, context):
                yield response

    return call


def _of_one(behaviour: Stream) -> Stream:
    """Return a behaviour that takes a request, from one that takes a stream."""

    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        async def only() -> AsyncIterator[Any]:
            yield request

        async for response in behaviour(only(), context):
            yield response

    return call


def _reading(
    deserializer: Callable[[bytes], Any] | None, takes: Callable[[bytes], bool]
) -> Callable[[bytes], Any] | None:
    """Return a deserializer that gives `Malformed`; gRPC would end the call without a reason and log a trace."""
    if deserializer is None:
        return None

    def read(message: bytes) -> Any:
        if not takes(message):
            return TooLong()
        try:
            return deserializer(message)
        except DecodeError:
            return Malformed()

    return read
