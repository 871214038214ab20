"""The load generator: processes that send prepared requests over gRPC and note when and how each call ended.

A generator knows bytes only: it neither builds nor reads a message while the clock runs. What a failed call carried is
read once for each distinct content.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any, Self, cast

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from fr_api.v1.common_pb2 import Refusal
from fr_api.v1.error_reason_pb2 import ErrorReason
from fr_api.v1.recognition_pb2 import BatchEmbedResponse, StreamEmbedRequest, StreamEmbedResponse
from fr_bench.speed.child import Child, answer_requests
from fr_bench.speed.connection import Access, open_aio_channel

OK = "OK"
_DETAILS = "grpc-status-details-bin"

# Between the order to start an open loop and its first arrival: every generator has read its order by then.
_LEAD_S = 0.25


@dataclass(frozen=True, slots=True)
class Target:
    """A server (HOST:PORT), "/package.Service/Method", serialised requests, connections of each generator, and access.

    Without access, the connections are in clear. With `streams`, the requests are items of a stream, without their ids.
    With a `batch`, each request is a batch of one photo, and so many of them make one call.
    """

    address: str
    method: str
    requests: tuple[bytes, ...]
    channels: int
    access: Access | None = None
    streams: bool = False
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Closed:
    """An order: send the requests at these places, `concurrency` at a time, the next when one is answered.

    Streams: one for each connection. `concurrency` counts all photos that wait for their answers.
    """

    order: tuple[int, ...]
    concurrency: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """An order: send request `order[i]` at `start + arrivals[i]`, whatever became of those before."""

    order: tuple[int, ...]
    arrivals: tuple[float, ...]  # seconds, ascending
    deadline_s: float  # counts from the arrival
    start: float  # on `time.monotonic`, which all processes of a machine share


@dataclass(frozen=True, slots=True)
class Call:
    """One call, of a request by its place; times are those of `time.monotonic`."""

    place: int
    due: float  # when it was to be sent; in a closed loop, when it was
    sent: float
    ended: float
    outcome: str  # "OK", a reason of ErrorInfo, or the name of a status code
    retry_info: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """The answers to an order, in no order; `cpu` is processor time of the busiest generator / wall time."""

    calls: tuple[Call, ...]
    start: float
    end: float
    cpu: float

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.end - self.start


class Generators:
    """Some generator processes that share each order evenly."""

    def __init__(self, target: Target, processes: int) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._children = [
                stack.enter_context(Child("the load generator", run_generator, target)) for _ in range(processes)
            ]
            self._stack = stack.pop_all()

    def closed(self, order: Sequence[int], concurrency: int, deadline_s: float) -> Sent:
        """Run a closed loop; at least one call at a time from each process."""
        number = len(self._children)
        shares = [concurrency // number + (i < concurrency % number) for i in range(number)]
        return self._run([Closed(tuple(order[i::number]), max(1, share), deadline_s) for i, share in enumerate(shares)])

    def open(self, order: Sequence[int], arrivals: Sequence[float], deadline_s: float) -> Sent:
        """Run an open loop; arguments as in `Open`."""
        number, start = len(self._children), time.monotonic() + _LEAD_S
        return self._run(
            [Open(tuple(order[i::number]), tuple(arrivals[i::number]), deadline_s, start) for i in range(number)]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _run(self, orders: Sequence[Closed | Open]) -> Sent:
        for child, order in zip(self._children, orders, strict=True):
            child.send(order)
        answers: list[Sent] = [child.receive() for child in self._children]
        busy = [answer for answer in answers if answer.calls]
        return Sent(
            tuple(call for answer in busy for call in answer.calls),
            min(answer.start for answer in busy),
            max(answer.end for answer in busy),
            max(answer.cpu for answer in busy),
        )


def run_generator(connection: Connection, target: Target) -> None:
    """The process of a generator."""
    with asyncio.Runner() as runner:
        sender = runner.run(_opened(target))
        answer_requests(connection, lambda order: runner.run(sender.run(order)))
        runner.run(sender.close())


async def _opened(target: Target) -> _Sender:
    return _Sender(target)


class _Sender:
    """Connections, used in turn; made and used within one event loop."""

    def __init__(self, target: Target) -> None:
        options = (
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),  # else all channels of a process share one connection
        )
        self._channels = [open_aio_channel(target.address, target.access, options) for _ in range(target.channels)]
        self._methods: list[Any] = [
            channel.stream_stream(target.method) if target.streams else channel.unary_unary(target.method)
            for channel in self._channels
        ]
        self._target = target
        self._metadata = None if target.access is None else target.access.metadata
        self._turn = 0

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def run(self, order: Closed | Open) -> Sent:
        cpu = time.process_time()
        start = time.monotonic()
        calls = await (self._closed(order) if isinstance(order, Closed) else self._open(order))
        start = order.start if isinstance(order, Open) else start
        end = max((call.ended for call in calls), default=start)
        return Sent(tuple(calls), start, end, (time.process_time() - cpu) / max(end - start, 1e-9))

    async def _closed(self, order: Closed) -> list[Call]:
        places = iter(order.order)
        calls: list[Call] = []

        async def work(places: Iterator[int]) -> None:
            while batch := tuple(itertools.islice(places, self._target.batch)):
                calls.extend(await self._call(batch, time.monotonic(), order.deadline_s))

        async with asyncio.TaskGroup() as group:
            if self._target.streams:
                for number, method in enumerate(self._methods):
                    share = order.concurrency // len(self._methods) + (number < order.concurrency % len(self._methods))
                    if share:
                        group.create_task(self._stream(method, places, share, order.deadline_s, calls))
            else:
                for _ in range(max(1, order.concurrency // self._target.batch)):
                    group.create_task(work(places))
        return calls

    async def _stream(
        self, method: Any, places: Iterator[int], at_once: int, deadline_s: float, calls: list[Call]
    ) -> None:
        """Send the requests at these places over a stream, so many at once; note how each ended."""
        room, waiting, clock = asyncio.Semaphore(at_once), dict[str, Call](), asyncio.get_running_loop()

        async def items() -> AsyncIterator[bytes]:
            await room.acquire()
            for number, place in enumerate(places):
                item, now = str(number), time.monotonic()
                waiting[item] = Call(place, now, now, now, OK, False)
                # Fields of a message may come in any order.
                yield self._target.requests[place] + StreamEmbedRequest(item_id=item).SerializeToString()
                await room.acquire()

        call, failure = method(items(), metadata=self._metadata), grpc.StatusCode.CANCELLED.name
        try:
            async with asyncio.timeout(deadline_s) as limit:
                async for content in call:
                    limit.reschedule(clock.time() + deadline_s)
                    answer = StreamEmbedResponse.FromString(content)
                    outcome = _reason(answer.refusal) if answer.HasField("refusal") else OK
                    calls.append(replace(waiting.pop(answer.item_id), ended=time.monotonic(), outcome=outcome))
                    room.release()
        except TimeoutError:
            call.cancel()
            failure = grpc.StatusCode.DEADLINE_EXCEEDED.name
        except grpc.aio.AioRpcError as error:
            failure = outcome_of(error)[0]
        calls += [replace(one, ended=time.monotonic(), outcome=failure) for one in waiting.values()]

    async def _open(self, order: Open) -> list[Call]:
        tasks = []
        async with asyncio.TaskGroup() as group:
            for place, arrival in zip(order.order, order.arrivals, strict=True):
                due = order.start + arrival
                # Also where it is late already: answers have to be taken in between.
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks.append(group.create_task(self._call((place,), due, order.deadline_s)))
        return [call for task in tasks for call in task.result()]

    async def _call(self, places: Sequence[int], due: float, deadline_s: float) -> list[Call]:
        self._turn = (self._turn + 1) % len(self._methods)
        sent = time.monotonic()
        left = max(0.001, due + deadline_s - sent)
        request = b"".join(self._target.requests[place] for place in places)  # lists of joined messages are joined
        try:
            content = await self._methods[self._turn](request, timeout=left, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            ended = time.monotonic()
            reason, wait_s = outcome_of(error)
            return [Call(place, due, sent, ended, reason, wait_s is not None) for place in places]
        ended, outcomes = time.monotonic(), [OK]
        if self._target.batch > 1:
            results = BatchEmbedResponse.FromString(content).results
            outcomes = [_reason(one.refusal) if one.HasField("refusal") else OK for one in results]
        return [Call(place, due, sent, ended, outcome, False) for place, outcome in zip(places, outcomes, strict=True)]


def _reason(refusal: Refusal) -> str:
    return ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")


def outcome_of(error: grpc.RpcError) -> tuple[str, float | None]:
    """The reason of a failed call, and the seconds after which to come again; None where it carried no RetryInfo."""
    metadata = cast("Sequence[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in metadata:
        if key == _DETAILS and isinstance(value, bytes):
            reason, wait_s = read_details(value)
            return reason or error.code().name, wait_s
    return error.code().name, None


@lru_cache(maxsize=1024)
def read_details(details: bytes) -> tuple[str, float | None]:
    """The reason of ErrorInfo in a serialised google.rpc.Status, "" without; and the delay of RetryInfo in seconds."""
    status = status_pb2.Status.FromString(details)
    reason, wait_s = "", None
    info, wait = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for packed in status.details:
        if packed.Unpack(info):
            reason = info.reason
        elif packed.Unpack(wait):
            wait_s = wait.retry_delay.ToTimedelta().total_seconds()
    return reason, wait_s
