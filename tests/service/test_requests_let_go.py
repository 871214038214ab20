"""What a caller sent is let go as its call ends: it does not wait for the garbage collector, which may come late."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.detect.null import NullDetector
from fr_core.types import U8, Detection
from fr_server.rpc.interceptors import boundary
from fr_server.rpc.interceptors.wrapping import Context, first_of
from support.servers import Running, photo, running

DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))
NO_PHOTO = recognition_pb2.DetectRequest(image=common_pb2.Image(data=b"no photo" * 100))
PROBE = recognition_pb2.Probe(image=common_pb2.Image(data=photo(2)))
SEARCH = gallery_pb2.SearchRequest(gallery_id="none", probe=PROBE)
TIMES = 5
ITEMS = 3


class SlowDetector(NullDetector):
    """A null detector that takes longer than a caller waits."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        time.sleep(0.2)
        return super().detect(pixels)


def messages_held() -> list[Message]:
    """Every message that anything holds which the garbage collector knows."""
    return [one for holder in gc.get_objects() for one in gc.get_referents(holder) if isinstance(one, Message)]


Held = Callable[[int], list[str]]
"""Tells the types of the messages of so many bytes, or more, that are held."""


@contextmanager
def collecting_nothing(folder: Path, detector: NullDetector | None = None) -> Iterator[tuple[Running, Held]]:
    """Run a server and collect no garbage; yield it with what tells the types of the messages that are held since.

    Only what the server and the test have made is looked at: all else would take seconds each time.
    """
    gc.collect()
    gc.freeze()
    with running(folder, detector) as server:
        before = [*messages_held(), DETECT, NO_PHOTO, PROBE, SEARCH]
        known = {id(message) for message in before}  # which stay theirs while `before` is there
        gc.disable()
        try:
            yield (
                server,
                lambda least: [
                    type(message).__name__
                    for message in messages_held()
                    if id(message) not in known and message.ByteSize() >= least
                ],
            )
        finally:
            gc.enable()


def answered(server: Running) -> None:
    server.recognition.Detect(DETECT, timeout=20)


def no_photo(server: Running) -> None:
    with pytest.raises(grpc.RpcError) as told:
        server.recognition.Detect(NO_PHOTO, timeout=20)
    assert told.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def no_gallery(server: Running) -> None:
    with pytest.raises(grpc.RpcError) as told:
        server.gallery.Search(SEARCH, timeout=20)
    assert told.value.code() == grpc.StatusCode.NOT_FOUND


def too_late(server: Running) -> None:
    with pytest.raises(grpc.RpcError) as told:
        server.recognition.Detect(DETECT, timeout=0.1)
    assert told.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def streamed(server: Running) -> None:
    assert len(list(server.recognition.StreamEmbed(items(), timeout=20))) == ITEMS


def cut_off(server: Running) -> None:
    left = threading.Event()
    answers = server.recognition.StreamEmbed(items(left), timeout=20)
    for _ in range(ITEMS):
        next(answers)
    answers.cancel()
    left.set()


def items(left: threading.Event | None = None) -> Iterator[recognition_pb2.StreamEmbedRequest]:
    for number in range(ITEMS):
        yield recognition_pb2.StreamEmbedRequest(item_id=str(number), image=PROBE.image)
    if left is not None:
        left.wait(20)  # until then, the caller may say more


@pytest.mark.parametrize("call", [answered, no_photo, no_gallery, too_late, streamed, cut_off])
def test_no_request_waits_for_the_garbage_collector(tmp_path: Path, call: Callable[[Running], None]) -> None:
    with collecting_nothing(tmp_path, SlowDetector() if call is too_late else None) as (server, held):
        for _ in range(TIMES):
            call(server)
        until_s = time.monotonic() + 10  # some goes on after a caller has its answer
        while held(0) and time.monotonic() < until_s:
            time.sleep(0.1)
        assert held(0) == []


def test_an_idle_stream_holds_nothing_of_what_was_answered(tmp_path: Path) -> None:
    """The client sends and reads bytes, so that every message that is held is the server's; gRPC holds an empty one."""
    go_on = threading.Event()
    encoded = [item.SerializeToString() for item in items()]
    encoded[1] = recognition_pb2.StreamEmbedRequest(item_id="1", image=NO_PHOTO.image).SerializeToString()

    def sent() -> Iterator[bytes]:
        yield from encoded
        go_on.wait(60)

    with collecting_nothing(tmp_path) as (server, held):
        stream = server.channel.stream_stream(
            "/fr_api.v1.RecognitionService/StreamEmbed", lambda message: message, lambda message: message
        )(sent(), timeout=60)
        for _ in range(ITEMS):
            next(stream)
        until_s = time.monotonic() + 10  # some goes on after a caller has its answer
        while (left := held(1)) and time.monotonic() < until_s:
            time.sleep(0.1)
        assert left == []
        go_on.set()
        assert not list(stream)


def test_one_in_a_cycle_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what a cycle holds is found."""

    async def first_in_a_cycle(context: Context, within_s: float) -> Any:
        cycle: list[Any] = [await first_of(context, within_s)]
        cycle.append(cycle)
        return cycle[0]

    monkeypatch.setattr(boundary, "first_of", first_in_a_cycle)
    with collecting_nothing(tmp_path) as (server, held):
        for _ in range(TIMES):
            answered(server)
        assert held(0).count("DetectRequest") == TIMES
