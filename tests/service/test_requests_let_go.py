"""What a caller sent is let go as its call ends: it does not wait for the garbage collector, which may come late."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.detect.null import NullDetector
from fr_core.types import U8, Detection
from fr_server.interceptors import boundary
from fr_server.interceptors.wrapping import Context, first_of
from serving import Running, photo, running

DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))
NO_PHOTO = recognition_pb2.DetectRequest(image=common_pb2.Image(data=b"no photo" * 100))
PROBE = recognition_pb2.Probe(image=common_pb2.Image(data=photo(2)))
SEARCH = gallery_pb2.SearchRequest(gallery_id="none", probe=PROBE)
TIMES = 5


class SlowDetector(NullDetector):
    """A null detector that takes longer than a caller waits."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        time.sleep(0.2)
        return super().detect(pixels)


@contextmanager
def held_after() -> Iterator[list[str]]:
    """Collect no garbage in the block; the list then tells the types of the requests that something has hold of."""
    before = {id(request) for request in requests_held()}
    held: list[str] = []
    gc.disable()
    try:
        yield held
        time.sleep(0.5)  # for what goes on after a caller has its answer
        held += [type(request).__name__ for request in requests_held() if id(request) not in before]
    finally:
        gc.enable()
        gc.collect()


def requests_held() -> list[Message]:
    """Every request that anything holds which the garbage collector knows."""
    held = [one for holder in gc.get_objects() for one in gc.get_referents(holder) if isinstance(one, Message)]
    return [one for one in held if type(one).__name__.endswith("Request")]


def answered(server: Running) -> None:
    server.recognition.Detect(DETECT, timeout=20)


def refused(server: Running) -> None:
    server.recognition.Detect(NO_PHOTO, timeout=20)


def failing(server: Running) -> None:
    server.gallery.Search(SEARCH, timeout=20)


def cut_off(server: Running) -> None:
    server.recognition.Detect(DETECT, timeout=0.1)


def streamed(server: Running) -> None:
    requests = [recognition_pb2.StreamEmbedRequest(item_id=str(i), image=PROBE.image) for i in range(3)]
    assert len(list(server.recognition.StreamEmbed(iter(requests), timeout=20))) == 3


def streamed_and_left(server: Running) -> None:
    requests = [recognition_pb2.StreamEmbedRequest(item_id=str(i), image=PROBE.image) for i in range(3)]
    answers = server.recognition.StreamEmbed(iter(requests), timeout=20)
    next(answers)
    answers.cancel()


@pytest.mark.parametrize("call", [answered, refused, failing, cut_off, streamed, streamed_and_left])
def test_no_request_waits_for_the_garbage_collector(tmp_path: Path, call: Callable[[Running], None]) -> None:
    with running(tmp_path, SlowDetector() if call is cut_off else None) as server, held_after() as held:
        for _ in range(TIMES):
            with suppress(grpc.RpcError):
                call(server)
    assert held == []


def test_one_in_a_cycle_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""

    async def first_in_a_cycle(context: Context, within_s: float) -> Any:
        cycle: list[Any] = [await first_of(context, within_s)]
        cycle.append(cycle)
        return cycle[0]

    monkeypatch.setattr(boundary, "first_of", first_in_a_cycle)
    with running(tmp_path) as server, held_after() as held:
        for _ in range(TIMES):
            answered(server)
    assert held == ["DetectRequest"] * TIMES
