"""Streams of both clients against a small gRPC server: order, limits, repetitions, slow readers, ends."""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, gallery_pb2_grpc
from fr_client import AsyncClient, Client, EnrolItem, FrApiError, RetryPolicy, reason_of
from fr_client.answers import Answers
from fr_client.handshake import Endpoint
from support.scripted import QUICK, Kind, asked, both, refuse, scripted, serving


def enrol_all(
    kind: Kind, target: str, items: Iterable[EnrolItem], *, max_in_flight: int = 4, **settings: Any
) -> list[tuple[str, gallery_pb2.EnrolResponse | common_pb2.Refusal]]:
    settings = {"retry": QUICK, "timeout_s": 5.0} | settings
    found: list[tuple[str, gallery_pb2.EnrolResponse | common_pb2.Refusal]] = asked(
        kind, target, lambda client: client.enrol_many("g", items, max_in_flight=max_in_flight), **settings
    )
    return found


def faces(count: int) -> list[EnrolItem]:
    return [EnrolItem(f"subject {n}", b"photo %d" % n, item_id=f"item {n}") for n in range(count)]


def stored(request: gallery_pb2.StreamEnrolRequest) -> gallery_pb2.StreamEnrolResponse:
    answer = gallery_pb2.EnrolResponse(subject_id=request.enrol.subject_id)
    return gallery_pb2.StreamEnrolResponse(item_id=request.item_id, stored=answer)


def refused(
    request: gallery_pb2.StreamEnrolRequest, reason: error_reason_pb2.ErrorReason.ValueType
) -> gallery_pb2.StreamEnrolResponse:
    return gallery_pb2.StreamEnrolResponse(item_id=request.item_id, refusal=common_pb2.Refusal(reason=reason))


@both
def test_answers_in_any_order_come_with_the_callers_own_ids(kind: Kind) -> None:
    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        for one in requests:
            two = next(requests)
            yield stored(two)
            yield refused(one, error_reason_pb2.ERROR_REASON_NO_FACE)

    with serving(scripted(stream)) as target:
        answers = enrol_all(kind, target, faces(6), max_in_flight=2)
    assert [item_id for item_id, _ in answers] == ["item 1", "item 0", "item 3", "item 2", "item 5", "item 4"]
    told = [reason_of(one) if isinstance(one, common_pb2.Refusal) else one.subject_id for _, one in answers]
    assert told == ["subject 1", "NO_FACE", "subject 3", "NO_FACE", "subject 5", "NO_FACE"]


@both
@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_no_more_items_are_on_their_way_than_asked_for(kind: Kind, max_in_flight: int) -> None:
    read = itertools.count()
    answered = 0
    ahead: list[int] = []

    def source() -> Iterator[EnrolItem]:
        for face in faces(12):
            ahead.append(next(read) + 1 - answered)
            yield face

    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        nonlocal answered
        together = [next(requests) for _ in range(max_in_flight)]  # waits for ever where fewer are sent
        for request in itertools.chain(together, requests):
            time.sleep(0.005)
            answered += 1
            yield stored(request)

    with serving(scripted(stream)) as target:
        assert len(enrol_all(kind, target, source(), max_in_flight=max_in_flight)) == 12
    assert max(ahead) <= max_in_flight


@both
def test_an_item_that_the_server_was_too_busy_for_is_sent_again(kind: Kind) -> None:
    seen: Counter[str] = Counter()

    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        for request in requests:
            subject_id = request.enrol.subject_id
            seen[subject_id] += 1
            if subject_id == "subject 2" or (subject_id == "subject 1" and seen[subject_id] < 3):
                yield refused(request, error_reason_pb2.ERROR_REASON_OVERLOADED)
            else:
                yield stored(request)

    with serving(scripted(stream)) as target:
        answers = dict(enrol_all(kind, target, faces(4)))
    assert seen == {"subject 0": 1, "subject 1": 3, "subject 2": 3, "subject 3": 1}
    assert isinstance(answers["item 1"], gallery_pb2.EnrolResponse)
    last = answers["item 2"]
    assert isinstance(last, common_pb2.Refusal)
    assert reason_of(last) == "OVERLOADED"


@both
def test_a_stream_that_a_draining_server_ends_is_begun_anew_with_what_was_not_answered(kind: Kind) -> None:
    answered: list[str] = []

    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        for request in requests:
            answered.append(request.enrol.subject_id)
            yield stored(request)
            if len(answered) == 2:
                refuse(context, grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", 0.02)

    gallery = scripted(stream, busy=1)
    with serving(gallery) as target:
        answers = enrol_all(kind, target, faces(7), max_in_flight=3)
    assert sorted(item_id for item_id, _ in answers) == [f"item {n}" for n in range(7)]
    assert sorted(answered) == [f"subject {n}" for n in range(7)]
    assert gallery.calls == 3


@both
def test_a_stream_with_every_answer_is_whole_though_the_server_stops_before_it_hears_the_end(kind: Kind) -> None:
    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        yield stored(next(requests))
        yield stored(next(requests))
        refuse(context, grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", 0.02)

    gallery = scripted(stream)
    with serving(gallery) as target:
        assert [item_id for item_id, _ in enrol_all(kind, target, faces(2))] == ["item 0", "item 1"]
    assert gallery.calls == 1


@both
def test_a_stream_that_stays_refused_fails(kind: Kind) -> None:
    gallery = scripted(busy=99)
    with serving(gallery) as target, pytest.raises(FrApiError) as caught:
        enrol_all(kind, target, faces(2))
    assert (caught.value.reason, gallery.calls) == ("OVERLOADED", QUICK.attempts)


@both
def test_an_answer_that_does_not_come_is_waited_for_only_so_long(kind: Kind) -> None:
    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        yield stored(next(requests))
        for _ in requests:
            pass

    begun = time.monotonic()
    with serving(scripted(stream)) as target, pytest.raises(FrApiError) as caught:
        enrol_all(kind, target, faces(3), timeout_s=0.3)
    assert caught.value.reason == "TIMED_OUT"
    assert time.monotonic() - begun < 20.0


@both
def test_what_the_source_raises_comes_through_and_ends_the_stream(kind: Kind, tmp_path: Path) -> None:
    ended = threading.Event()

    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        context.add_callback(ended.set)
        for request in requests:
            yield stored(request)

    def source() -> Iterator[EnrolItem]:
        yield from faces(3)
        raise RuntimeError("the disk is gone")

    with serving(scripted(stream)) as target:
        with pytest.raises(RuntimeError, match="the disk is gone"):
            enrol_all(kind, target, source(), max_in_flight=1)
        assert ended.wait(2.0)
        with pytest.raises(FileNotFoundError):
            enrol_all(kind, target, [EnrolItem("a", tmp_path / "missing.jpg")])
        assert enrol_all(kind, target, []) == []


@both
def test_items_left_unanswered_are_an_error_and_large_ones_refusals(kind: Kind) -> None:
    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        next(requests, None)
        yield from ()

    def ask(client: Any) -> Any:
        return client.enrol_many("g", [EnrolItem("s", bytes(5000))])

    with serving(scripted(stream)) as target:
        with pytest.raises(FrApiError, match="1 items unanswered") as caught:
            asked(kind, target, lambda client: client.enrol_many("g", [EnrolItem("s", b"photo")]), timeout_s=5.0)
        ((_, refusal),) = asked(kind, target, ask, timeout_s=5.0)
    assert caught.value.reason == "CONNECTION_LOST"
    assert "a photo that was stored already is then refused" in caught.value.message
    assert (reason_of(refusal), refusal.metadata["limit"]) == ("IMAGE_TOO_MANY_BYTES", "4096")


@both
def test_a_stream_that_is_left_early_is_cancelled(kind: Kind) -> None:
    ended = threading.Event()

    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        context.add_callback(ended.set)
        yield from map(stored, requests)

    async def run(target: str) -> None:
        async with AsyncClient(target, timeout_s=5.0) as client:
            async for _ in client.enrol_many("g", faces(50), max_in_flight=2):
                break

    with serving(scripted(stream)) as target:
        if kind == "async":
            asyncio.run(run(target))
        else:
            with Client(target, timeout_s=5.0) as client:
                next(client.enrol_many("g", faces(50), max_in_flight=2))
        assert ended.wait(2.0)
        assert no_stream_is_left()


def test_an_asynchronous_source_is_read_while_answers_are_awaited() -> None:
    def stream(requests: Iterator[gallery_pb2.StreamEnrolRequest], context: Any) -> Any:
        yield from map(stored, requests)

    async def run(target: str) -> list[str]:
        got: list[str] = []
        first_is_answered = asyncio.Event()

        async def source() -> AsyncIterator[EnrolItem]:
            yield faces(1)[0]
            await asyncio.wait_for(first_is_answered.wait(), 2.0)
            yield faces(2)[1]

        async with AsyncClient(target, timeout_s=5.0) as client:
            async for item_id, _ in client.enrol_many("g", source()):
                got.append(item_id)
                first_is_answered.set()
        return got

    with serving(scripted(stream)) as target:
        assert asyncio.run(run(target)) == ["item 0", "item 1"]


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


def test_answers_are_read_as_they_are_taken_and_waits_end() -> None:
    call = Endless(1_000_000)
    answers = answers_of(call)
    time.sleep(0.3)
    assert call.read < 2000
    answers.close()
    answers = answers_of(Endless(0))  # who waits is let go when it is closed
    taken: list[list[int]] = []
    waiting = threading.Thread(target=lambda: taken.append(answers.take()))
    waiting.start()
    time.sleep(0.1)
    answers.close()
    waiting.join(5)
    assert taken == [[]]
    answers = answers_of(Endless(1), timeout_s=1.0)  # a wait that is too long ends with a sentence
    assert answers.take() == [1]
    with pytest.raises(FrApiError, match=r"here sent nothing within 1 s") as caught:
        answers.take()
    assert caught.value.reason == "TIMED_OUT"
    answers.close()


class Busy(gallery_pb2_grpc.GalleryServiceServicer):
    """Refuses so many calls, each after so many answers."""

    def __init__(self, busy: int, after: int = 0, retry_after_s: float = 0.01) -> None:
        self.calls, self.busy, self.after, self.retry_after_s = 0, busy, after, retry_after_s

    def FindDuplicates(self, request: Any, context: Any) -> Iterator[gallery_pb2.FindDuplicatesResponse]:  # noqa: N802
        self.calls += 1
        if self.calls <= self.busy:
            for _ in range(self.after):
                yield gallery_pb2.FindDuplicatesResponse()
            refuse(context, grpc.StatusCode.UNAVAILABLE, "OVERLOADED", self.retry_after_s)
        yield gallery_pb2.FindDuplicatesResponse()


def test_closed_while_it_waits_to_call_again_it_does_not() -> None:
    busy = Busy(99, retry_after_s=8.0)  # type: ignore[abstract]
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


def no_stream_is_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "fr-client-stream"]


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
            assert no_stream_is_left()
            await answers.aclose()

    with serving(Silent()) as target:  # type: ignore[abstract, arg-type]
        if kind == "async":
            asyncio.run(run(target))
            return
        with Client(target) as client:
            answers = getattr(client, method)("g")
            time.sleep(0.1)
            assert no_stream_is_left()
            answers.close()


@pytest.mark.parametrize("wait_s", [0.0, 0.1])
def test_a_task_that_is_cancelled_leaves_no_call(wait_s: float) -> None:

    async def run(target: str) -> None:
        async with AsyncClient(target) as client:
            task: asyncio.Task[Any] = asyncio.create_task(anext(client.find_duplicates("g")))  # type: ignore[arg-type]
            await asyncio.sleep(wait_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.1)
            assert no_stream_is_left()

    with serving(Silent()) as target:  # type: ignore[abstract, arg-type]
        asyncio.run(run(target))


@pytest.mark.parametrize(("busy", "after", "calls"), [(2, 0, 3), (99, 0, 3), (1, 1, 1)])
def test_a_call_is_begun_anew_only_while_nothing_has_come(busy: int, after: int, calls: int) -> None:
    servicer = Busy(busy, after)  # type: ignore[abstract]
    refused = nullcontext() if busy < calls else pytest.raises(FrApiError, match="Not now")
    with serving(servicer) as target, Client(target, retry=QUICK) as client, refused:  # type: ignore[arg-type]
        assert len(list(client.find_duplicates("g"))) == 1
    assert servicer.calls == calls
