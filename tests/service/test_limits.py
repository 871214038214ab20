"""Limits of what one call may cost: its time, and the faces of its photo."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from fr_api.v1 import common_pb2, recognition_pb2, server_pb2
from fr_core.detect.null import NullDetector
from fr_core.errors import CallEnded, CallTooLong
from fr_core.runtime.ticket import current_ticket
from fr_core.types import U8, Detection
from fr_server.rpc.interceptors.admission import Admission
from fr_server.telemetry.listener import Ended, Listener
from fr_server.telemetry.open import Telemetry
from support.servers import ended, photo, refusal_of, running


class Held(NullDetector):
    """Finds nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        self.entered.set()
        self.go.wait(10)
        return super().detect(pixels)


def detect(*blues: int) -> recognition_pb2.DetectRequest:
    return recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(*blues)))


class Outcomes(Listener):
    """Keeps how calls ended."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        return lambda outcome, took_s: self.seen.append(outcome)


def test_a_call_ends_in_time_whatever_its_client_waits_for(tmp_path: Path) -> None:
    held, outcomes = Held(), Outcomes()
    with running(tmp_path / "data", held, Telemetry(outcomes), limits={"call_s": 1.0}) as server:
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as refused:
            server.recognition.Detect(detect(1), timeout=60)
        took_s = time.monotonic() - began
        held.go.set()
        told = ended(refused.value)
        assert (told.code, told.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CALL_TOO_LONG")
        assert "limits.call_s" in told.status.message
        assert 0.9 < took_s < 30
        assert outcomes.seen == ["CALL_TOO_LONG"]  # no caller that left: an alert is to see it
        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version
        assert len(server.recognition.Detect(detect(1)).faces) == 1  # the control: one that is done in time


def test_work_that_hears_of_the_end_first_is_told_in_the_same_way() -> None:
    async def work(request: object, context: object) -> None:
        while (ticket := current_ticket()).left_s > 0:
            pass  # the event loop has no time to end the call itself
        ticket.require_wanted()

    class Waits:
        def __init__(self, left_s: float | None) -> None:
            self.left_s = left_s

        def time_remaining(self) -> float | None:
            return self.left_s

    async def call(left_s: float | None, call_s: float) -> None:
        async def found(details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(cast("Any", work))

        details = cast("grpc.HandlerCallDetails", SimpleNamespace(method="/fr_api.v1.ServerService/GetServerInfo"))
        handler = await Admission(1, call_s).intercept_service(found, details)
        await cast("Any", handler).unary_unary(None, Waits(left_s))

    for left_s in (None, 60.0):
        with pytest.raises(CallTooLong):
            asyncio.run(call(left_s, 0.2))
    with pytest.raises(CallEnded):  # the control: the caller's own deadline
        asyncio.run(call(0.1, 60.0))


def test_a_refusal_says_how_many_of_what_there_are(tmp_path: Path) -> None:
    def refused(call: Callable[[], object]) -> tuple[str, str]:
        told = refusal_of(call)
        assert told.info.reason == "OVERLOADED"
        return told.info.metadata["limit"], told.status.message.split(";")[0]

    held, go = Held(), threading.Event()

    def first_alone() -> Iterator[recognition_pb2.StreamEmbedRequest]:
        yield recognition_pb2.StreamEmbedRequest(item_id="1")
        go.wait(10)

    with running(tmp_path / "data", held, server={"max_in_flight": 4}) as server:
        streams = [server.recognition.StreamEmbed(first_alone()) for _ in range(3)]
        for stream in streams:
            next(stream)
        another: Callable[[], object] = partial(list, server.recognition.StreamEmbed(first_alone()))
        assert refused(another) == ("3", "The server has 3 streams open")
        call = server.recognition.Detect.future(detect(1))
        assert held.entered.wait(10)
        another = partial(list, server.recognition.StreamEmbed(first_alone()))
        assert refused(another) == ("4", "The server has 4 calls in work")
        assert refused(lambda: server.recognition.Detect(detect(1))) == ("4", "The server has 4 calls in work")
        held.go.set()
        go.set()
        assert call.result(10).faces


def test_a_photo_of_too_many_faces_is_refused_before_they_are_embedded(tmp_path: Path) -> None:
    with running(tmp_path / "data", images={"max_faces": 2}) as server:
        assert len(server.recognition.Detect(detect(1, 2)).faces) == 2
        for call in (
            lambda: server.recognition.Detect(detect(1, 2, 3)),
            lambda: server.recognition.Embed(recognition_pb2.EmbedRequest(image=detect(1, 2, 3).image)),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call()
            told = ended(refused.value)
            assert (told.info.reason, told.info.metadata["limit"]) == ("TOO_MANY_FACES", "2")
            assert told.code == grpc.StatusCode.FAILED_PRECONDITION
