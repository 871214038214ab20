"""Limits of what one call may cost: its time, and the faces of its photo."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import grpc
import pytest

from fr_api.v1 import common_pb2, recognition_pb2, server_pb2
from fr_core.detect.null import NullDetector
from fr_core.types import U8, Detection
from serving import ended, photo, running


class Held(NullDetector):
    """Finds nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        self.go.wait(10)
        return super().detect(pixels)


def detect(*blues: int) -> recognition_pb2.DetectRequest:
    return recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(*blues)))


def test_a_call_ends_in_time_whatever_its_client_waits_for(tmp_path: Path) -> None:
    held = Held()
    with running(tmp_path / "data", held, limits={"call_s": 1.0}) as server:
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as refused:
            server.recognition.Detect(detect(1), timeout=60)
        took_s = time.monotonic() - began
        held.go.set()
        assert ended(refused.value).info.reason == "CALL_ENDED"
        assert 0.9 < took_s < 5
        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version
        assert len(server.recognition.Detect(detect(1)).faces) == 1  # the control: one that is done in time


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
