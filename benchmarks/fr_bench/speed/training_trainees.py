"""The trainees: a process that plays hundreds of them at once, each of whom decides at moments fixed in advance."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_bench.speed.child import BenchFailed, answer_requests
from fr_bench.speed.generator import outcome_of
from fr_bench.speed.training_course import SITTING
from fr_bench.speed.training_report import Decision, Walked
from fr_locales.messages import message

# Trainees who begin, or decide ahead, at once.
_AT_ONCE = 16
_CALL_S = 30.0
# After which a call that is told again and again to come later is given up.
PATIENCE_S = 60.0
# Between the order and its first decision.
_LEAD_S = 0.25


@dataclass(frozen=True, slots=True)
class Class:
    """The trainees of a load: for each a code for each walk, and the places of these among all codes."""

    address: str
    channels: int
    codes: tuple[tuple[str, ...], ...]
    places: tuple[tuple[int, ...], ...]
    trials: int
    seed: int
    pages: bool = False  # they have browsers, and the address is that of the console


@dataclass(frozen=True, slots=True)
class Begin:
    """An order: begin, and decide ahead, each trainee another number of times, so that walks end at different times."""


@dataclass(frozen=True, slots=True)
class Load:
    """An order: decide `decisions` times each, `every_s` apart, from a random moment of the first `every_s` on."""

    every_s: float
    decisions: int


def run_trainees(connection: Connection, of: Class) -> None:
    """The process of the trainees; answers `Begin` and `Load` with `Walked`."""
    with asyncio.Runner() as runner:
        room = runner.run(_opened(of))
        answer_requests(connection, lambda order: runner.run(room.run(order)))
        runner.run(room.close())


def moments(trainees: int, every_s: float, decisions: int, seed: int) -> list[list[float]]:
    """Return when each trainee decides: seconds from the beginning of the load, ascending."""
    drawn = random.Random(seed)
    phases = [drawn.uniform(0, every_s) for _ in range(trainees)]
    return [[phase + n * every_s for n in range(decisions)] for phase in phases]


async def _opened(of: Class) -> _Room:
    return _Room(of)


class _Room:
    """All trainees; made and used within one event loop."""

    def __init__(self, of: Class) -> None:
        self._of, self._pages_s = of, list[float]()
        walkers = [
            (codes, places, random.Random(f"{of.seed} {n}"))
            for n, (codes, places) in enumerate(zip(of.codes, of.places, strict=True))
        ]
        self._channels: list[grpc.aio.Channel] = []
        if of.pages:
            from fr_bench.speed.training_browser import Browser

            self._trainees: list[Trainee] = [Browser(of.address, *one, self._pages_s) for one in walkers]
            return
        options = (
            ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),  # else all channels of a process share one connection
        )
        self._channels = [grpc.aio.insecure_channel(of.address, options) for _ in range(of.channels)]
        stubs = [training_pb2_grpc.TrainingServiceStub(channel) for channel in self._channels]
        self._trainees = [Caller(stubs[n % len(stubs)], *one) for n, one in enumerate(walkers)]

    async def close(self) -> None:
        for trainee in self._trainees:
            await trainee.close()
        for channel in self._channels:
            await channel.close()

    async def run(self, order: Begin | Load) -> Walked:
        self._pages_s.clear()
        for trainee in self._trainees:
            trainee.forget()
        cpu, start = time.process_time(), time.monotonic()
        if isinstance(order, Begin):
            await self._begin()
        else:
            start += _LEAD_S
            plans = moments(len(self._trainees), order.every_s, order.decisions, self._of.seed)
            async with asyncio.TaskGroup() as group:
                for trainee, offsets in zip(self._trainees, plans, strict=True):
                    group.create_task(trainee.decide_at([start + offset for offset in offsets]))
        end, cpu = time.monotonic(), time.process_time() - cpu
        refusals: Counter[str] = Counter()
        for trainee in self._trainees:
            refusals.update(trainee.refusals)
        return Walked(
            tuple(one for trainee in self._trainees for one in trainee.decisions),
            tuple(one for trainee in self._trainees for one in trainee.begun_s),
            dict(refusals),
            start,
            end,
            cpu,
            sum(trainee.picture_bytes for trainee in self._trainees),
            sum(trainee.pictures for trainee in self._trainees),
            tuple(self._pages_s),
        )

    async def _begin(self) -> None:
        places = asyncio.Semaphore(_AT_ONCE)

        async def begin(number: int, trainee: Trainee) -> None:
            async with places:
                await trainee.begin()
                for _ in range(number % self._of.trials):
                    await trainee.decide(time.monotonic())

        async with asyncio.TaskGroup() as group:
            for number, trainee in enumerate(self._trainees):
                group.create_task(begin(number, trainee))


class Trainee(ABC):
    """One at a time walks through the course, with the next code when the walk is at its end."""

    def __init__(self, codes: tuple[str, ...], places: tuple[int, ...], rng: random.Random) -> None:
        self._walks = iter(zip(codes, places, strict=True))
        self._rng = rng
        self._place = self._ordinal = 0
        self.trial: training_pb2.Trial | None = None
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.decisions: list[Decision] = []
        self.begun_s: list[float] = []
        self.refusals: Counter[str] = Counter()
        self.picture_bytes = self.pictures = 0

    def next_walk(self) -> str:
        """Turn to the next walk, and return its code."""
        code, self._place = next(self._walks)
        self._ordinal = 0
        return code

    @abstractmethod
    async def begin(self) -> None:
        """Begin a walk: a session, and its first trial, which is `trial` then."""

    @abstractmethod
    async def submit(self, trial: training_pb2.Trial, rating: int) -> None:
        """Send a decision, and wait until it is acknowledged."""

    @abstractmethod
    async def show(self) -> None:
        """Have the next trial shown, which is `trial` then, None at the end of the walk."""

    @abstractmethod
    async def close(self) -> None:
        """Close what only this one has."""

    async def decide_at(self, dues: list[float]) -> None:
        """Decide at these moments, or as soon as the trial before is out of the way."""
        for due in dues:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.decide(due)

    async def decide(self, due: float) -> None:
        """Decide on the trial that is shown, and have the next one shown."""
        if self.trial is None:
            raise BenchFailed(message("error.bench.course_ended_earlier_plan"))
        rating = self._rng.randint(-3, 3)
        place, ordinal, sent = self._place, self._ordinal, time.monotonic()
        await self.submit(self.trial, rating)
        locked = time.monotonic()
        await self.show()
        self.decisions.append(Decision(place, ordinal, rating, due, sent, locked, time.monotonic()))
        self._ordinal += 1
        if self.trial is None:
            await self.begin()


class Caller(Trainee):
    """Makes the calls of the API; `stub` is one of an asynchronous channel, which the generated types do not know."""

    def __init__(self, stub: Any, codes: tuple[str, ...], places: tuple[int, ...], rng: random.Random) -> None:
        super().__init__(codes, places, rng)
        self._stub = stub
        self._session_id = ""

    async def begin(self) -> None:
        """As `Trainee`."""
        code = self.next_walk()
        begun = time.monotonic()
        request = training_pb2.StartSessionRequest(code=code, sitting=SITTING, consent=True)
        response = await self._call(self._stub.StartSession, request)
        self._session_id = response.session.session_id
        await self._next(response.session.sitting.blocks[0].block_id)
        self.begun_s.append(time.monotonic() - begun)

    async def submit(self, trial: training_pb2.Trial, rating: int) -> None:
        """As `Trainee`."""
        request = training_pb2.SubmitDecisionRequest(
            session_id=self._session_id,
            trial_id=trial.trial_id,
            step=trial.step,
            rating=training_pb2.PairRating(rating=rating),
        )
        await self._call(self._stub.SubmitDecision, request)

    async def show(self) -> None:
        """As `Trainee`."""
        await self._next("")

    async def close(self) -> None:
        """As `Trainee`. The channels stay open: all trainees share them."""

    async def _next(self, begin_block: str) -> None:
        request = training_pb2.NextTrialRequest(session_id=self._session_id, begin_block=begin_block)
        response = await self._call(self._stub.NextTrial, request)
        self.trial = response.trial if response.WhichOneof("next") == "trial" else None
        if self.trial is not None:
            self.pictures += len(self.trial.pictures)
            self.picture_bytes += sum(len(picture.data) for picture in self.trial.pictures)

    async def _call(self, method: Callable[..., Any], request: object) -> Any:
        """Call, and again where the server says so, as a client does."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await method(request, timeout=_CALL_S)
            except grpc.aio.AioRpcError as error:
                reason, wait_s = outcome_of(error)
                if wait_s is None or time.monotonic() > give_up:
                    raise BenchFailed(message("error.bench.server_refuses_trainee", reason=reason)) from error
                self.refusals[reason] += 1
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.5))
