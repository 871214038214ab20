"""Many answers to one request: repetitions, a reader that is slow, and who waits when it is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_client import Client, FrApiError, RetryPolicy
from fr_client.answers import Answers, each
from scripted import QUICK, refuse


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
    return Answers(lambda: call, "here", timeout_s, RetryPolicy())


def test_answers_come_in_their_order_and_the_call_ends_with_the_iteration() -> None:
    call = Endless(5)
    answers = each(answers_of(call))
    assert [next(answers) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert not call.cancelled.is_set()
    answers.close()  # type: ignore[attr-defined]
    assert call.cancelled.is_set()


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


def test_a_wait_that_is_too_long_ends_with_a_sentence() -> None:
    answers = answers_of(Endless(1), timeout_s=0.1)
    assert answers.take() == [1]
    with pytest.raises(FrApiError, match=r"here did not go on within 0\.1 s") as caught:
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

    server, servicer = grpc.server(ThreadPoolExecutor(2)), Busy()  # type: ignore[abstract]
    gallery_pb2_grpc.add_GalleryServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"127.0.0.1:{port}", retry=QUICK) as client:
            if busy < 3 and not after:
                assert len(list(client.find_duplicates("g"))) == 1
            else:
                with pytest.raises(FrApiError) as caught:
                    list(client.find_duplicates("g"))
                assert caught.value.reason == "OVERLOADED"
        assert servicer.calls == calls
    finally:
        server.stop(None).wait()
