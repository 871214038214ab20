"""Calls that nobody waits for any more: they leave nothing behind, and what had not begun never reaches the model."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from fr_api.v1 import recognition_pb2, recognition_pb2_grpc
from fr_bench.speed.server_process import resident_mib
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.ticket import Ticket
from support.counts import count
from support.faults import SOON, Started, embed_request, faulty, started_faulty, until

CALLS = count("CANCELLED_CALLS")
WARM_UP_CALLS = 300

# A batch of four takes 10 ms and there are fewer threads than calls at once: calls are cancelled in every queue. Many
# more at once, and most would be cancelled before this process had sent them.
RUN_S, WORKERS, AT_ONCE = 0.01, 4, 8
PATIENCE = 1.5
"""Each call is cancelled after a random time up to so many times that of a call which is let alone."""

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
