"""The context of a call, for what goes on a little longer than the call."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc

from fr_server.interceptors.wrapping import Context


def lasting(context: Context) -> Context:
    """Return a context that can be asked for anything at any time; to be called within the task of the call.

    Where a stream is cut off, what was at work on its items and reads the next ones ends only a moment after the call.
    gRPC has let go of the call by then, and to ask its own context for what belongs to that would end the process.
    """
    return cast("Context", _LastingContext(context))


class _LastingContext:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._peer = context.peer()
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
