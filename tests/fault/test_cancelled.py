"""Calls that nobody waits for any more: they leave nothing behind, and what had not begun never reaches the model."""

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2, recognition_pb2_grpc, server_pb2
from fr_bench.speed.server_process import resident_mib
from fr_core.runtime.batcher import Batcher, _fail
from fr_core.runtime.ticket import Ticket
from support.counts import count
from support.faults import SOON, Faulty, Started, embed_request, faulty, started_faulty, until
from support.servers import ended, photo

CALLS = count("CANCELLED_CALLS")
WARM_UP_CALLS = 300

# A batch of four takes 10 ms and there are fewer threads than calls at once: calls are cancelled in every queue. Many
# more at once, and most would be cancelled before this process had sent them.
RUN_S, WORKERS, AT_ONCE = 0.01, 4, 8
PATIENCE = 1.5  # each call is cancelled after a random time up to so many times that of a call which is let alone

GROWTH_MIB = 10.0

DOOMED = range(50, 54)
CUT_OFF = 20
OVERDUE, OVERDUE_ROUNDS = 200, 2


async def cancel_many(address: str, calls: int, seed: int) -> int:
    """Send calls and cancel each; return how many were answered before that."""
    patience_s = PATIENCE * await asyncio.to_thread(seconds_of_a_call, address)
    random_times = random.Random(seed)
    request = embed_request(1)

    async def work(places: Iterator[int], embed: Any) -> int:
        answered = 0
        for _ in places:
            call = embed(request)
            await asyncio.sleep(random_times.uniform(0, patience_s))
            answered += not call.cancel()
        return answered

    async with grpc.aio.insecure_channel(address) as channel:
        embed = recognition_pb2_grpc.RecognitionServiceStub(channel).Embed
        places = iter(range(calls))
        return sum(await asyncio.gather(*(work(places, embed) for _ in range(AT_ONCE))))


def seconds_of_a_call(address: str) -> float:
    took = []
    with grpc.insecure_channel(address) as channel:
        stub = recognition_pb2_grpc.RecognitionServiceStub(channel)
        for _ in range(9):
            begun = time.monotonic()
            stub.Embed(embed_request(1), timeout=SOON)
            took.append(time.monotonic() - begun)
    return statistics.median(took)


def at_rest(server: Started) -> dict[str, Any]:
    def resting() -> bool:
        state = server.state()
        queues = ("in_flight", "waiting_for_a_thread", "waiting_for_a_batch", "busy_threads")
        return not any(state[name] for name in queues)

    until(resting)
    return server.state()


def answer_at_once(server: Started) -> None:
    with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(WORKERS) as pool:
        stub = recognition_pb2_grpc.RecognitionServiceStub(channel)
        answers = list(pool.map(lambda blue: stub.Embed(embed_request(blue), timeout=SOON), range(1, WORKERS + 1)))
    assert all(len(answer.faces) == 1 for answer in answers)


def test_cancelled_calls_leave_nothing_behind(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"server": {"max_in_flight": 10_000}, "model": {"workers": WORKERS}}
    with started_faulty(tmp_path, RUN_S, **sections) as server:
        asyncio.run(cancel_many(server.address, WARM_UP_CALLS, seed=1))
        before = at_rest(server)
        before_mib = resident_mib(server.process.pid)
        start = time.monotonic()
        answered = asyncio.run(cancel_many(server.address, CALLS, seed=2))
        seconds = time.monotonic() - start
        after = at_rest(server)
        after_mib = resident_mib(server.process.pid)
        answer_at_once(server)
    new = {name: after[name] - before[name] for name in ("calls", "answered", "decoded", "drops", "ran")}
    before_a_thread, in_a_batch = new["calls"] - new["decoded"], new["ran"] - new["answered"]
    print(  # noqa: T201 - the figures of the long run
        f"{CALLS} calls in {seconds:.1f} s: {answered} answered before they were cancelled; {new['calls']} reached the "
        f"server, where {before_a_thread} were cancelled before a thread took them, {new['drops']} in the queue of the "
        f"model, {in_a_batch} in a batch; {before_mib:.1f} MiB before, {after_mib:.1f} MiB after"
    )
    assert answered < CALLS / 2 < new["calls"]
    assert min(before_a_thread, new["drops"], in_a_batch) > 0  # in every phase
    assert after_mib - before_mib <= GROWTH_MIB


def test_streams_that_are_cut_off_while_items_are_at_work_leave_the_server_alive(tmp_path: Path) -> None:
    """Those ask for the call's peer, and for its next request, a moment after gRPC has let go of it."""

    def items(blue: int) -> Iterator[recognition_pb2.StreamEmbedRequest]:
        request = embed_request(blue)
        for number in range(1_000):
            yield recognition_pb2.StreamEmbedRequest(item_id=str(number), image=request.image)

    with started_faulty(tmp_path, 0.002) as server, grpc.insecure_channel(server.address) as channel:
        stub = recognition_pb2_grpc.RecognitionServiceStub(channel)
        for blue in range(1, CUT_OFF + 1):
            answers = stub.StreamEmbed(items(blue), timeout=SOON)
            next(answers)
            answers.cancel()
        at_rest(server)
        answer_at_once(server)


def test_calls_whose_deadline_passes_while_they_wait_for_a_thread_leave_the_server_alive(tmp_path: Path) -> None:
    """A thread takes them a moment after gRPC has freed their calls, and looks at their credentials once more."""
    sections: dict[str, Any] = {"server": {"max_in_flight": 10_000}, "model": {"workers": WORKERS}}
    with (
        started_faulty(tmp_path, 0.1, paced=False, **sections) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = recognition_pb2_grpc.RecognitionServiceStub(channel)
        for _ in range(OVERDUE_ROUNDS):
            calls = [stub.Embed.future(embed_request(1), timeout=0.3) for _ in range(OVERDUE)]
            codes = {call.code() for call in calls}
            assert grpc.StatusCode.DEADLINE_EXCEEDED in codes
            assert server.process.poll() is None
        at_rest(server)
        answer_at_once(server)


class Deaf(Batcher[Any, Any]):
    """A control: does not hear that a call has ended."""

    def submit(self, items: Any, ticket: Ticket) -> Any:
        return super().submit(items, Ticket(bulk=ticket.bulk))


def doomed_that_reach_the_model(folder: Path, batcher: type[Batcher[Any, Any]], how: str) -> set[int]:
    """End calls, by cancelling or by their deadline, whose faces wait for a batch; return which the model sees."""
    with faulty(folder, batcher) as it:
        held = it.hold()
        calls = [it.embed(blue, timeout=1.0 if how == "deadline" else None) for blue in DOOMED]
        until(lambda: it.counting.waiting == len(DOOMED))
        if how == "cancelled":
            for call in calls:
                call.cancel()
        until(lambda: it.counting.in_flight == 1 and all(call.done() for call in calls))
        it.model.gate.set()
        held.result(SOON)
        assert it.embed(7).result(SOON).faces
        until(lambda: it.counting.waiting == 0)
        codes = {call.code() for call in calls}  # type: ignore[attr-defined]
        assert codes == {grpc.StatusCode.CANCELLED if how == "cancelled" else grpc.StatusCode.DEADLINE_EXCEEDED}
        return it.model.seen & set(DOOMED)


either = pytest.mark.parametrize("how", ["cancelled", "deadline"])


@either
def test_a_call_that_ends_while_it_waits_for_a_batch_never_reaches_the_model(tmp_path: Path, how: str) -> None:
    assert doomed_that_reach_the_model(tmp_path, Batcher, how) == set()


@either
def test_control_where_nobody_hears_of_the_end_the_model_works_for_nobody(tmp_path: Path, how: str) -> None:
    assert doomed_that_reach_the_model(tmp_path, Deaf, how) == set(DOOMED)


AT_ONCE_S = 8.0  # seconds from a fault to the end of every call that it hits

POISONED = 3
HEALTHY = (1, 2, 4)


class FailsTogether(Batcher[Any, Any]):
    """A control: fails all items of a batch that fails."""

    def _sort_out(self, run: Any, batch: Any, error: Exception) -> None:
        for entry in batch:
            _fail(entry.submission, error)


class Undying(Batcher[Any, Any]):
    """A control: a lane or device that is gone is nobody's business."""

    def _die(self, error: BaseException) -> None:
        pass

    def release(self) -> None:
        super()._die(RuntimeError("the test is over"))


def outcomes_of_a_poisoned_batch(folder: Path, batcher: type[Batcher[Any, Any]]) -> dict[int, str]:
    """Send four faces of four calls in one batch that one of them poisons; "OK" or the reason, for each."""
    with faulty(folder, batcher) as it:
        held = it.hold()
        calls = {blue: it.embed(blue) for blue in (*HEALTHY, POISONED)}
        until(lambda: it.counting.waiting == len(calls))
        it.model.poison = frozenset({POISONED})
        it.model.gate.set()
        error = calls[POISONED].exception(SOON)
        assert it.model.fault is not None
        assert time.monotonic() - it.model.fault < AT_ONCE_S
        assert isinstance(error, grpc.RpcError)
        assert ended(error).code is grpc.StatusCode.INTERNAL
        held.result(SOON)
        assert set(it.model.batches[1]) == set(calls)  # they had shared a batch
        errors = {blue: call.exception(SOON) for blue, call in calls.items()}
        assert it.embed(5).result(SOON).faces  # and the server goes on
    return {
        blue: ended(error).info.reason if isinstance(error, grpc.RpcError) else "OK" for blue, error in errors.items()
    }


def test_a_face_that_poisons_a_batch_fails_alone(tmp_path: Path) -> None:
    assert outcomes_of_a_poisoned_batch(tmp_path, Batcher) == {**dict.fromkeys(HEALTHY, "OK"), POISONED: "INTERNAL"}


def test_control_without_sorting_out_a_batch_fails_as_a_whole(tmp_path: Path) -> None:
    outcomes = outcomes_of_a_poisoned_batch(tmp_path, FailsTogether)
    assert outcomes == dict.fromkeys((*HEALTHY, POISONED), "INTERNAL")


class Waiters:
    """Unary calls, and items of an open stream: in a batch, queued for one, waiting for room, or for a thread."""

    UNARY, ITEMS, WORKERS, QUEUED = 6, 6, 4, 3

    def __init__(self, it: Faulty) -> None:
        self._it = it
        self._close = threading.Event()
        self.items: list[error_reason_pb2.ErrorReason.ValueType] = []
        self.unary = [it.hold(), *(it.embed(blue) for blue in range(1, self.UNARY))]
        stream = it.server.recognition.StreamEmbed(self._requests())
        self._reading = threading.Thread(target=self._read, args=(stream,))
        self._reading.start()
        # One face is in the lane, both queues are full, one item waits for room, and the rest for a thread.
        until(lambda: it.counting.waiting == 2 * self.QUEUED)

    @property
    def done(self) -> int:
        return sum(call.done() for call in self.unary) + len(self.items)

    def close(self) -> None:
        self._close.set()
        self._reading.join(SOON)
        assert not self._reading.is_alive()

    def _requests(self) -> Iterator[recognition_pb2.StreamEmbedRequest]:
        for n in range(self.ITEMS):
            image = common_pb2.Image(data=photo(100 + n))
            yield recognition_pb2.StreamEmbedRequest(item_id=str(n), image=image)
        self._close.wait(60)

    def _read(self, stream: Any) -> None:
        self.items += (response.refusal.reason for response in stream)


class Health:
    def __init__(self, it: Faulty) -> None:
        self._stub = health_pb2_grpc.HealthStub(it.server.channel)
        self._watch = self._stub.Watch(health_pb2.HealthCheckRequest())
        self.told: list[Any] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        until(lambda: self.told == [health_pb2.HealthCheckResponse.SERVING])

    def check(self) -> Any:
        return self._stub.Check(health_pb2.HealthCheckRequest(), timeout=SOON).status

    def close(self) -> None:
        self._watch.cancel()
        self._thread.join(SOON)

    def _listen(self) -> None:
        try:
            for response in self._watch:
                self.told.append(response.status)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.CANCELLED  # noqa: PT017 - that it was `close`


def break_it(it: Faulty, fault: str) -> float:
    """Let the device be lost, or the lane die, and the batch in it go on; return when it failed."""
    setattr(it.model, fault, True)
    it.model.gate.set()
    until(lambda: it.model.fault is not None)
    assert it.model.fault is not None
    return it.model.fault


of_either = pytest.mark.parametrize("fault", ["lost", "killed"])
sections: dict[str, Any] = {"model": {"workers": Waiters.WORKERS}, "batching": {"max_queued": Waiters.QUEUED}}


@of_either
def test_every_waiter_ends_at_once_when_the_device_or_a_lane_is_gone(tmp_path: Path, fault: str) -> None:
    with faulty(tmp_path, **sections) as it:
        server = it.server
        server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
        face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(9)))
        server.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="staff", subject_id="nine", face=face))
        probe = recognition_pb2.Probe(embedding=it.embed(9).result(SOON).faces[0].embedding)
        health, waiters = Health(it), Waiters(it)

        failed = break_it(it, fault)
        until(lambda: waiters.done == Waiters.UNARY + Waiters.ITEMS)
        assert time.monotonic() - failed < AT_ONCE_S
        for call in waiters.unary:
            error = call.exception(SOON)
            assert isinstance(error, grpc.RpcError)
            assert (ended(error).code, ended(error).info.reason) == (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")
        assert waiters.items == [error_reason_pb2.ERROR_REASON_DEVICE_LOST] * Waiters.ITEMS

        until(lambda: health.told[-1] == health_pb2.HealthCheckResponse.NOT_SERVING, AT_ONCE_S)
        assert health.check() == health_pb2.HealthCheckResponse.NOT_SERVING

        again = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            server.recognition.Embed(embed_request(10))
        assert time.monotonic() - again < AT_ONCE_S
        assert ended(caught.value).info.reason == "DEVICE_LOST"

        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version
        found = server.gallery.Search(gallery_pb2.SearchRequest(gallery_id="staff", probe=probe))
        assert found.results[0].candidates[0].subject_id == "nine"
        waiters.close()
        health.close()


@pytest.mark.nightly
@pytest.mark.parametrize("fault", ["lost", "killed"])
def test_control_without_dying_the_waiters_hang_and_health_is_good(tmp_path: Path, fault: str) -> None:
    with faulty(tmp_path, Undying, **sections) as it:
        health, waiters = Health(it), Waiters(it)
        try:
            break_it(it, fault)
            time.sleep(AT_ONCE_S)
            assert waiters.done < Waiters.UNARY + Waiters.ITEMS
            assert not waiters.unary[0].done()
            assert health.check() == health_pb2.HealthCheckResponse.SERVING
        finally:
            (batcher,) = it.server.app.engine.batchers
            assert isinstance(batcher, Undying)
            batcher.release()
        waiters.close()
        health.close()
