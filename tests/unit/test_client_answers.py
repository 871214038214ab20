"""Many answers to one request: repetitions, a reader that is slow, and who waits when it is closed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_client import AsyncClient, Client, FrApiError, RetryPolicy
from fr_client.answers import Answers
from fr_client.handshake import Endpoint
from support.scripted import QUICK, Kind, both, refuse, serving


class Endless:
    """A call whose answers come as fast as they are read, `count` of them, then none until it is cancelled."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self.cancelled = threading.Event()
        self._count = count

    def __iter__(self) -> Iterator[int]:
        while not self.cancelled.is_set():
            if self.read < self._count:
                self.read += 1
                yield self.read
            else:
                self.cancelled.wait(10)

    def cancel(self) -> None:
        self.cancelled.set()


def answers_of(call: Endless, timeout_s: float | None = None) -> Answers[int]:
    return Answers(lambda: call, Endpoint("here"), timeout_s, RetryPolicy())


def test_a_slow_reader_holds_up_the_server_instead_of_filling_the_memory() -> None:
    call = Endless(1_000_000)
    answers = answers_of(call)
    time.sleep(0.3)
    assert call.read < 2000
    answers.close()


def test_who_waits_is_let_go_when_it_is_closed() -> None:
    answers = answers_of(Endless(0))
    taken: list[list[int]] = []
    waiting = threading.Thread(target=lambda: taken.append(answers.take()))
    waiting.start()
    time.sleep(0.1)
    answers.close()
    waiting.join(5)
    assert taken == [[]]


def test_closed_while_it_waits_to_call_again_it_does_not() -> None:
    class Busy(gallery_pb2_grpc.GalleryServiceServicer):
        calls = 0

        def FindDuplicates(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
            self.calls += 1
            refuse(context, grpc.StatusCode.UNAVAILABLE, "OVERLOADED", 8.0)
            yield from ()

    busy = Busy()  # type: ignore[abstract]
    with serving(busy) as target, grpc.insecure_channel(target) as channel:  # type: ignore[arg-type]
        find = gallery_pb2_grpc.GalleryServiceStub(channel).FindDuplicates
        request = gallery_pb2.FindDuplicatesRequest()
        answers: Answers[Any] = Answers(lambda: find(request), Endpoint(target), None, RetryPolicy())
        taken: list[list[Any]] = []
        waiting = threading.Thread(target=lambda: taken.append(answers.take()), daemon=True)
        waiting.start()
        while not busy.calls:
            time.sleep(0.01)
        answers.close()
        waiting.join(5)
        assert (taken, answers.take(), busy.calls) == ([[]], [], 1)


def streams() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "fr-client-stream"]


class Silent(gallery_pb2_grpc.GalleryServiceServicer):
    """Answers nothing until the call is cancelled."""

    def FindDuplicates(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(10)
        yield from ()

    ClusterGallery = FindDuplicates


@both
@pytest.mark.parametrize("method", ["find_duplicates", "cluster_gallery"])
def test_a_call_whose_answers_nobody_asked_for_was_never_made(kind: Kind, method: str) -> None:
    async def run(target: str) -> None:
        async with AsyncClient(target) as client:
            answers = getattr(client, method)("g")
            await asyncio.sleep(0.1)
            assert streams() == []
            await answers.aclose()

    with serving(Silent()) as target:  # type: ignore[abstract, arg-type]
        if kind == "async":
            asyncio.run(run(target))
            return
        with Client(target) as client:
            answers = getattr(client, method)("g")
            time.sleep(0.1)
            assert streams() == []
            answers.close()


@pytest.mark.parametrize("wait_s", [0.0, 0.1])
def test_a_task_that_is_cancelled_leaves_no_call(wait_s: float) -> None:
    """Also one that is cancelled before its call was made."""

    async def run(target: str) -> None:
        async with AsyncClient(target) as client:
            task: asyncio.Task[Any] = asyncio.create_task(anext(client.find_duplicates("g")))  # type: ignore[arg-type]
            await asyncio.sleep(wait_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.1)
            assert streams() == []

    with serving(Silent()) as target:  # type: ignore[abstract, arg-type]
        asyncio.run(run(target))


def test_a_wait_that_is_too_long_ends_with_a_sentence() -> None:
    answers = answers_of(Endless(1), timeout_s=1.0)
    assert answers.take() == [1]
    with pytest.raises(FrApiError, match=r"here sent nothing within 1 s") as caught:
        answers.take()
    assert caught.value.reason == "TIMED_OUT"
    answers.close()


@pytest.mark.parametrize(("busy", "after", "calls"), [(2, 0, 3), (99, 0, 3), (1, 1, 1)])
def test_a_call_is_begun_anew_only_while_nothing_has_come(busy: int, after: int, calls: int) -> None:
    """The server refuses `busy` times, each time after so many answers."""

    class Busy(gallery_pb2_grpc.GalleryServiceServicer):
        calls = 0

        def FindDuplicates(self, request: Any, context: Any) -> Iterator[gallery_pb2.FindDuplicatesResponse]:  # noqa: N802
            self.calls += 1
            if self.calls <= busy:
                for _ in range(after):
                    yield gallery_pb2.FindDuplicatesResponse()
                refuse(context, grpc.StatusCode.UNAVAILABLE, "OVERLOADED", 0.01)
            yield gallery_pb2.FindDuplicatesResponse()

    servicer = Busy()  # type: ignore[abstract]
    with serving(servicer) as target, Client(target, retry=QUICK) as client:  # type: ignore[arg-type]
        if busy < 3 and not after:
            assert len(list(client.find_duplicates("g"))) == 1
        else:
            with pytest.raises(FrApiError) as caught:
                list(client.find_duplicates("g"))
            assert caught.value.reason == "OVERLOADED"
    assert servicer.calls == calls
