"""Calls and streams in each other's place, and streams that are made within the context of their call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fr_core.storage.audit.attribution import Attribution, attributed
from fr_server.authz.callers import Valid, calling
from fr_server.authz.recorder import CallRecord, noting
from fr_server.authz.rules import Rule
from fr_server.rpc.interceptors.wrapping import Context, Handler, Stream
from fr_trust.access.principal import Principal


async def only(request: Any) -> AsyncIterator[Any]:
    """Yield one request."""
    yield request


async def stepping(
    answers: AsyncIterator[Any],
    principal: Principal,
    rule: Rule,
    valid: Valid,
    attribution: Attribution,
    record: CallRecord,
) -> AsyncIterator[Any]:
    """Yield answers, each made within the context of its call; which is not that of whoever closes a generator."""
    try:
        while True:
            with calling(principal, rule, valid), attributed(attribution), noting(record):
                try:
                    answer = await anext(answers)
                except StopAsyncIteration:
                    return
            yield answer
            del answer  # so that an idle stream does not keep its last answer
    finally:
        await answers.aclose()  # type: ignore[attr-defined] # a generator, as every behaviour of a stream here


def as_stream(handler: Handler) -> Stream:
    """Return what a handler does, as if it were one of a stream of requests and of answers."""
    if handler.stream_stream is not None:
        return handler.stream_stream  # type: ignore[return-value]  # stubs know the behaviours of threads alone

    async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            if handler.unary_unary is not None:
                yield await handler.unary_unary(request, context)  # type: ignore[arg-type]  # likewise
            else:
                answers: Any = handler.unary_stream
                async for response in answers(request, context):
                    yield response

    return call
