"""The context of a call, asked for things while the call goes on and after gRPC has let go of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import pytest

from fr_server.rpc.interceptors.boundary import lasting
from fr_server.rpc.interceptors.wrapping import Context


class OfGrpc:
    """As gRPC's, which would end the process once the call is over."""

    def __init__(self) -> None:
        self.over = False
        self.aborted: list[grpc.StatusCode] = []

    def _require_call(self) -> None:
        assert not self.over, "the process has ended"

    def peer(self) -> str:
        self._require_call()
        return "unix:/somewhere"

    async def read(self) -> Any:
        self._require_call()
        return b"a request"

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        self._require_call()
        self.aborted.append(code)

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-request-id", "1"),)


def test_a_context_is_that_of_grpc_until_its_call_is_over_and_harmless_then() -> None:
    async def scenario() -> None:
        grpcs = OfGrpc()

        async def call() -> Context:
            context = lasting(cast("Context", grpcs))
            assert (context.peer(), await context.read()) == ("unix:/somewhere", b"a request")
            await context.abort(grpc.StatusCode.CANCELLED, "")
            return context

        context = await asyncio.create_task(call())
        grpcs.over = True
        assert (context.peer(), await context.read()) == ("unix:/somewhere", grpc.aio.EOF)
        with pytest.raises(grpc.aio.UsageError):
            await context.abort(grpc.StatusCode.INTERNAL, "")
        assert context.trailing_metadata() == (("x-request-id", "1"),)
        assert grpcs.aborted == [grpc.StatusCode.CANCELLED]
        with pytest.raises(AssertionError, match="has ended"):  # the control
            grpcs.peer()

    asyncio.run(scenario())
