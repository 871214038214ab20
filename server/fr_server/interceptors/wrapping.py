"""How an interceptor puts itself around a handler; every service of FR Core is unary-unary or stream-stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Any]]
Stream = Callable[[Any, Context], AsyncIterator[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stub only

# Answered whatever the load and while draining: whoever watches the server must reach it then most of all.
EXEMPT = ("/grpc.health.v1.Health/", "/grpc.reflection.")


def wrap(handler: Handler, unary: Callable[[Unary], Unary], stream: Callable[[Stream], Stream]) -> Handler:
    """Return `handler` with its behaviour replaced by `unary(behaviour)` or `stream(behaviour)`."""
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(
            unary(handler.unary_unary),  # type: ignore[arg-type]
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            stream(handler.stream_stream),  # type: ignore[arg-type]
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    raise TypeError("a service of FR Core is unary-unary or stream-stream")
