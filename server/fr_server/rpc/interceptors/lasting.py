"""Keeps the context of a call usable for work that outlasts the call."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc

from fr_server.rpc.interceptors.wrapping import Context


def lasting(context: Context) -> Context:
    """Return a context that is safe to use at any time; call this function within the task of the call.

    Work for a call can outlive it: an item of a stream that was cut off, or a task that waited for a thread until its
    deadline had passed. By then gRPC has freed the call, and asking gRPC's own context for the peer ends the process.
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
