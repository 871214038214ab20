"""Requests that are not text, too long, or never whole: each is refused, costs little, and tells nobody anything."""

import asyncio
import gc
import struct
import weakref
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc, server_pb2, training_pb2, training_pb2_grpc
from fr_core.errors import UnknownGallery
from fr_server.rpc.interceptors import boundary
from fr_server.rpc.interceptors.boundary import STRANGERS_BYTES, Boundary
from fr_server.rpc.interceptors.sizes import MOST_BYTES
from fr_server.rpc.services.server import HealthService
from support import hostile
from support.faults import SOON, Started, highest_mib, started_guarded
from support.scripted import answering_aio

HEALTH = b"/grpc.health.v1.Health/"
INFO = b"/fr_api.v1.ServerService/GetServerInfo"
READ_S = 0.3
INVALID_ARGUMENT, DEADLINE_EXCEEDED = 3, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Started]:
    with started_guarded(folder) as running:
        yield running


def begun(path: bytes, **more: bytes) -> bytes:
    return hostile.frame(hostile.HEADERS, hostile.END_HEADERS, 1, hostile.call_headers(**{":path": path, **more}))


def whole(path: bytes, message: bytes = b"", **more: bytes) -> bytes:
    data = struct.pack(">BI", 0, len(message)) + message
    return begun(path, **more) + hostile.frame(hostile.DATA, hostile.END_STREAM, 1, data)


def require_alive(server: Started) -> None:
    with grpc.insecure_channel(server.address) as channel:
        found = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SOON)
    assert found.status == health_pb2.HealthCheckResponse.SERVING
    assert server.process.poll() is None


@pytest.mark.parametrize("path", [b"/\xff", b"/\xed\xa0\x80", b"\xff", b"/fr_api.v1.ServerService/\xff"])
def test_a_path_that_is_no_text_ends_its_call_alone(server: Started, path: bytes) -> None:
    """grpc.aio from 1.84 on ends the whole server here: this is why it is not allowed."""
    with hostile.Peer(server.address) as peer:
        peer.send(whole(path))
        peer.until(lambda: bool(peer.told().statuses or peer.told().resets), 1.0)
    require_alive(server)


@pytest.mark.parametrize("header", ["authorization", "x-note"])
def test_a_header_that_is_no_text_is_in_no_log(server: Started, folder: Path, header: str) -> None:
    before = (folder / "log").stat().st_size
    with hostile.Peer(server.address) as peer:
        peer.send(whole(INFO, **{header: b"Bearer Ada L\xf6velace"}))
        assert peer.until(lambda: bool(peer.told().statuses or peer.told().resets))
        for _ in range(50):  # and no flood of them fills the log
            peer.send(whole(INFO, **{header: b"\xff" * 4_000}).replace(b"\0\0\0\1", b"\0\0\0\3", 1))
    require_alive(server)
    said = (folder / "log").read_bytes()[before:]
    assert b"velace" not in said
    assert len(said) < 100_000


def test_a_request_that_is_longer_than_its_call_takes_is_not_read(server: Started) -> None:
    note = training_pb2.Observation()
    request = training_pb2.LockNotesRequest(session_id="s", trial_id="t", observations=[note] * MOST_BYTES)
    with grpc.insecure_channel(server.address) as channel:
        stub = training_pb2_grpc.TrainingServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="longer than this call takes") as refused:
            stub.LockNotes(request, timeout=SOON)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        del request.observations[100:]
        with pytest.raises(grpc.RpcError, match="`comparison` of a component"):  # it was read
            stub.LockNotes(request, timeout=SOON)


@pytest.mark.parametrize("method", [b"Check", b"Watch"])
def test_of_strangers_short_requests_are_taken(server: Started, method: bytes) -> None:
    with hostile.Peer(server.address) as peer:
        peer.send(
            whole(HEALTH + method, health_pb2.HealthCheckRequest(service="x" * STRANGERS_BYTES).SerializeToString())
        )
        assert peer.until(lambda: peer.told().statuses == [INVALID_ARGUMENT])
    with hostile.Peer(server.address) as peer:
        peer.send(whole(HEALTH + method, b"\xff\xff"))  # no message of protobuf
        assert peer.until(lambda: peer.told().statuses == [INVALID_ARGUMENT])


def test_a_call_without_a_message_is_refused(server: Started) -> None:
    headers = hostile.frame(hostile.HEADERS, hostile.END_HEADERS | hostile.END_STREAM, 1, hostile.call_headers())
    with hostile.Peer(server.address) as peer:
        peer.send(headers)
        assert peer.until(lambda: peer.told().statuses == [INVALID_ARGUMENT])


def test_a_message_of_many_empty_ones_is_not_read(server: Started) -> None:
    """Read, each of its 2 bytes would take 70."""
    empty = gallery_pb2.EnrolEmbeddingsRequest(subjects=[gallery_pb2.EmbeddingSubject()] * 5_000_000)
    item = gallery_pb2.StreamEnrolEmbeddingsRequest(item_id="x", enrol=empty)
    before = highest_mib(server.process.pid)
    with grpc.insecure_channel(server.address) as channel:
        stub = gallery_pb2_grpc.GalleryServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="has more fields") as refused:
            list(stub.StreamEnrolEmbeddings(iter([item]), timeout=SOON))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert highest_mib(server.process.pid) - before < 200


async def nothing(request: Any, context: Any) -> server_pb2.GetServerInfoResponse:
    return server_pb2.GetServerInfoResponse()


def served(*interceptors: grpc.aio.ServerInterceptor, info: Any = nothing) -> AbstractAsyncContextManager[str]:
    """Serve the health and a call of the API; the value is the address."""
    handler = grpc.unary_unary_rpc_method_handler(
        info,
        request_deserializer=server_pb2.GetServerInfoRequest.FromString,
        response_serializer=server_pb2.GetServerInfoResponse.SerializeToString,
    )

    def add(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(HealthService([]), server)
        handlers = grpc.method_handlers_generic_handler("fr_api.v1.ServerService", {"GetServerInfo": handler})
        server.add_generic_rpc_handlers((handlers,))

    return answering_aio(add, interceptors)


def statuses_of_half(address: str, path: bytes, within_s: float) -> list[int]:
    message = struct.pack(">BI", 0, 100) + bytes(99)
    with hostile.Peer(address) as peer:
        peer.send(begun(path) + hostile.frame(hostile.DATA, 0, 1, message))
        peer.until(lambda: bool(peer.told().statuses), within_s)
        return peer.told().statuses


@pytest.mark.parametrize("path", [HEALTH + b"Check", HEALTH + b"Watch", INFO])
def test_a_request_that_never_comes_whole_ends(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "STRANGERS_S", READ_S)

    async def found(within_s: float, *interceptors: grpc.aio.ServerInterceptor) -> list[int]:
        async with served(*interceptors) as address:
            return await asyncio.to_thread(statuses_of_half, address, path, within_s)

    assert asyncio.run(found(SOON, Boundary(read_s=READ_S))) == [DEADLINE_EXCEEDED]
    assert asyncio.run(found(5 * READ_S)) == []  # the control: gRPC waits for the rest of it


class Held:
    """Something that a call has at hand."""


@pytest.mark.parametrize("lets_go", [True, False])
def test_a_refused_call_holds_nothing_of_what_it_had(lets_go: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing at all once the garbage collector came by, whatever timers were called off meanwhile."""
    held: list[weakref.ref[Held]] = []
    if not lets_go:  # the control
        monkeypatch.setattr(boundary, "_let_go", lambda error: None)

    async def refuses(request: Any, context: Any) -> None:
        own = Held()
        held.append(weakref.ref(own))
        raise UnknownGallery("There is no gallery with this id.")

    def calls(address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            for _ in range(9):
                with pytest.raises(grpc.RpcError, match="no gallery"):
                    channel.unary_unary(INFO.decode(), bytes, bytes)(b"", timeout=SOON)

    async def found() -> tuple[int, int]:
        async with served(Boundary(read_s=300.0), info=refuses) as address:
            await asyncio.to_thread(calls, address)
            left = sum(one() is not None for one in held)
            gc.collect()
            await asyncio.sleep(0.1)  # generators that it found are closed by the loop
            gc.collect()
            return left, sum(type(one).__name__ == "AbortError" for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        left, refusals = asyncio.run(found())
    finally:
        gc.enable()
    assert left == (0 if lets_go else 9)
    assert refusals <= 2


def test_an_error_of_several_calls_lets_go_of_one_and_the_others_go_on() -> None:
    """Frames that it has passed are those of calls that still wait, such as for their record in the audit."""
    shared, went_on = MemoryError(), []

    async def other(gate: asyncio.Event) -> None:
        try:
            raise shared
        except MemoryError:
            await gate.wait()
            went_on.append("to its end")

    async def both() -> None:
        gate = asyncio.Event()
        waiting = asyncio.create_task(other(gate))
        await asyncio.sleep(0)
        boundary._let_go(shared)
        gate.set()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(both())
    assert went_on == ["to its end"]
