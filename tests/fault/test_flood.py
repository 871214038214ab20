"""Very many calls at once: each is answered or refused with a reason, and none is dropped by gRPC itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc

from fr_api.v1 import common_pb2, recognition_pb2
from support.servers import photo, running

CALLS = 1000
DETECT = "/fr_api.v1.RecognitionService/Detect"


async def flood(address: str, request: bytes) -> Counter[str]:
    async def call(stub: Any) -> str:
        try:
            await stub(request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(4)]
    stubs: list[Any] = [channel.unary_unary(DETECT) for channel in channels]
    codes = Counter(await asyncio.gather(*(call(stubs[n % len(stubs)]) for n in range(CALLS))))
    for channel in channels:
        await channel.close()
    return codes


def test_what_does_not_fit_is_refused_with_a_reason_not_cancelled(tmp_path: Path) -> None:
    request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1))).SerializeToString()
    with running(tmp_path, server={"max_in_flight": 8}) as server:
        codes = asyncio.run(flood(server.address, request))
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
    assert codes.total() == CALLS
