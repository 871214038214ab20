"""Strangers who watch the health: they may be many, and take nothing in, and hold nothing up. With its control."""

import asyncio
import functools
import signal
import struct
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fr_server.rpc.services.server import HealthService
from support import hostile
from support.faults import SOON, started_guarded
from support.scripted import answering_aio

WATCH = {":path": b"/grpc.health.v1.Health/Watch"}
EMPTY_MESSAGE = bytes(5)
TAKES_NOTHING_IN = struct.pack(">HI", hostile.INITIAL_WINDOW_SIZE, 0)
Status = health_pb2.HealthCheckResponse
NAME = "some.Service"

ENDS_S = 10.0


def watch_without_taking_in(address: str, times: int) -> hostile.Peer:
    """Watch so many times over one connection, with no room for an answer; the server has read them all."""
    peer = hostile.Peer(address, TAKES_NOTHING_IN)
    for stream in range(1, 2 * times, 2):
        peer.send(hostile.frame(hostile.HEADERS, hostile.END_HEADERS, stream, hostile.call_headers(**WATCH)))
        peer.send(hostile.frame(hostile.DATA, hostile.END_STREAM, stream, EMPTY_MESSAGE))
    assert peer.all_read()
    return peer


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


def served(servicer: health_pb2_grpc.HealthServicer) -> AbstractAsyncContextManager[str]:
    """Serve the health alone; the value is its address."""
    return answering_aio(lambda server: health_pb2_grpc.add_HealthServicer_to_server(servicer, server))


def test_server_ends_whoever_watches(tmp_path: Path) -> None:
    with started_guarded(tmp_path) as server, watch_without_taking_in(server.address, 200):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(ENDS_S) == 0


@in_a_loop
async def test_control_the_health_service_of_grpc_waits_for_whoever_watches() -> None:
    theirs = health.aio.HealthServicer()
    async with served(theirs) as address:
        with await asyncio.to_thread(watch_without_taking_in, address, 1):
            await asyncio.sleep(1.0)  # until theirs has begun to write
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(theirs.set("", Status.NOT_SERVING), 1.0)


@in_a_loop
async def test_changes_are_told_to_all_who_take_them_in() -> None:
    ours = HealthService([NAME])
    async with served(ours) as address, grpc.aio.insecure_channel(address) as channel:
        with await asyncio.to_thread(watch_without_taking_in, address, 1):
            stub = health_pb2_grpc.HealthStub(channel)
            calls = [stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", NAME)]
            for serving, status in ((None, Status.NOT_SERVING), (True, Status.SERVING), (False, Status.NOT_SERVING)):
                if serving is not None:
                    ours.tell(serving)
                for call in calls:
                    assert (await asyncio.wait_for(call.read(), SOON)).status == status
                assert (await stub.Check(health_pb2.HealthCheckRequest(service=NAME))).status == status


@in_a_loop
async def test_end_is_for_good() -> None:
    ours = HealthService([])
    ours.tell(serving=True)
    assert ours.serving
    ours.end()
    ours.tell(serving=True)
    assert not ours.serving


async def refused(stub: health_pb2_grpc.HealthStub) -> bool:
    """Watch once more; returns whether that is refused, for the reason that enough do."""
    call = stub.Watch(health_pb2.HealthCheckRequest())
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "Call Check" in (error.details() or "")
    return False


@in_a_loop
async def test_no_more_watch_than_may_and_their_places_are_had_again() -> None:
    ours = HealthService([], most_watchers=3, most_per_connection=2)
    alone = [("grpc.use_local_subchannel_pool", 1)]  # each channel has a connection of its own
    async with (
        served(ours) as address,
        grpc.aio.insecure_channel(address, alone) as channel,
        grpc.aio.insecure_channel(address, alone) as other,
    ):
        stub, another = health_pb2_grpc.HealthStub(channel), health_pb2_grpc.HealthStub(other)
        calls = [one.Watch(health_pb2.HealthCheckRequest()) for one in (stub, stub, another)]
        for call in calls[:2]:
            await asyncio.wait_for(call.read(), SOON)
        assert await refused(stub)  # over one connection
        await asyncio.wait_for(calls[2].read(), SOON)
        assert await refused(another)  # in all
        calls[0].cancel()
        end = time.monotonic() + SOON
        while await refused(stub):
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


@in_a_loop
async def test_service_that_is_none_is_unknown() -> None:
    async with served(HealthService([NAME])) as address, grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="none")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(request)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert (await stub.Watch(request).read()).status == Status.SERVICE_UNKNOWN
