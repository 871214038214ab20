"""Load, cancellation, deadlines, defects, health, reflection and the orderly end of a server."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from fr_api.v1 import common_pb2, error_reason_pb2, recognition_pb2, server_pb2
from fr_core.detect.null import NullDetector
from fr_core.errors import AddressUnavailable, InternalError
from fr_core.types import U8, Detection
from fr_server.app import SERVICES
from support.servers import Running, ended, photo, running

DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))


class DefectiveDetector(NullDetector):
    """A null detector with a defect, whose message tells what it should not."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        raise KeyError("Jane Roe")


def health_of(server: Running, service: str = "") -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    stub = health_pb2_grpc.HealthStub(server.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service)).status


def test_stopping_ends_an_open_stream_after_its_items(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        keep_open = threading.Event()

        def requests() -> Iterator[recognition_pb2.StreamEmbedRequest]:
            yield recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
            keep_open.wait(20)

        stream = server.recognition.StreamEmbed(requests())
        assert next(stream).item_id == "a"
        stopped = server.stop()
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        keep_open.set()
        assert ended(caught.value).info.reason == "SHUTTING_DOWN"
        stopped.result(10)


def test_defect_is_an_internal_error_with_a_request_id_and_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, DefectiveDetector()) as server, caplog.at_level("INFO"):
        with pytest.raises(grpc.RpcError) as caught:
            server.recognition.Detect(DETECT)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        pairs: Any = caught.value.trailing_metadata()
        request_id = dict(pairs)["x-request-id"]
        assert ended(caught.value).info.metadata["request_id"] == request_id
        item = recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
        call = server.recognition.StreamEmbed(iter([item]))
        (answer,) = call
        trailing = dict(call.trailing_metadata() or ())
        assert answer.refusal.metadata["request_id"] == trailing["x-request-id"]
        assert answer.refusal.reason == error_reason_pb2.ERROR_REASON_INTERNAL
        assert "Jane" not in f"{caught.value.details()} {answer.refusal.message} {caplog.text}"
        assert "KeyError" in caplog.text
        assert str(request_id) in caplog.text
        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version


def test_message_that_is_no_protobuf_is_refused_with_a_reason(server: Running) -> None:
    for garbage in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = server.channel.unary_unary("/fr_api.v1.GalleryService/CreateGallery")
        with pytest.raises(grpc.RpcError) as caught:
            call(garbage)
        assert ended(caught.value).info.reason == "INVALID_FIELD"


def test_stream_with_garbage_answers_what_came_before_it(server: Running) -> None:
    item = recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
    call: grpc.StreamStreamMultiCallable[bytes, bytes]
    call = server.channel.stream_stream("/fr_api.v1.RecognitionService/StreamEmbed")
    answers = call(iter([item.SerializeToString(), b"\xff\xff"]))
    assert recognition_pb2.StreamEmbedResponse.FromString(next(answers)).item_id == "a"
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert ended(caught.value).info.reason == "INVALID_FIELD"


@pytest.mark.parametrize("own", ["Jane-Doe-1990-01-31", "a b c", ""])
def test_a_request_id_is_the_servers_own(server: Running, caplog: pytest.LogCaptureFixture, own: str) -> None:
    with caplog.at_level("INFO"):
        _, call = server.recognition.Detect.with_call(DETECT, metadata=(("x-request-id", own),))
    request_id = str(dict(call.trailing_metadata() or ())["x-request-id"])
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert request_id in caplog.text
    assert not own or own not in caplog.text


def test_health_tells_each_service(server: Running) -> None:
    for service in ("", *SERVICES):
        assert health_of(server, service) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError):
        health_of(server, "nothing")


def test_reflection_can_be_switched_off(tmp_path: Path) -> None:
    with running(tmp_path, server={"reflection": False}) as server:
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(server.channel).get_services()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_taken_port_is_refused_rather_than_shared(tmp_path: Path) -> None:
    with (
        running(tmp_path / "a") as first,
        pytest.raises(AddressUnavailable),
        running(tmp_path / "b", server={"port": first.app.port}),
    ):
        pytest.fail("two servers on one port")


def test_a_server_that_grpc_has_ended_ends_its_process_and_one_that_is_stopped_does_not(tmp_path: Path) -> None:
    with running(tmp_path / "ended") as server:
        assert server.app._server is not None
        broken = asyncio.run_coroutine_threadsafe(server.app.broken(), server.loop)
        with pytest.raises(TimeoutError):
            broken.result(0.3)
        asyncio.run_coroutine_threadsafe(server.app._server.stop(None), server.loop).result(10)
        with pytest.raises(InternalError):
            broken.result(10)
    with running(tmp_path / "stopped") as server:
        broken = asyncio.run_coroutine_threadsafe(server.app.broken(), server.loop)
        asyncio.run_coroutine_threadsafe(server.app._drain(), server.loop).result(10)
        broken.result(10)
