"""The pools of a server: every item of a stream answered, few at once, an orderly end, and their pace."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from fr_core.errors import CallEnded, Overloaded
from fr_core.runtime.ticket import Ticket, hold
from fr_server.authz.callers import calling
from fr_server.pools import STORAGE_THREADS, Pace, Work, answer_each
from fr_trust.access.principal import SYSTEM
from fr_trust.access.refusals import Why, refuse
from fr_trust.errors import CredentialInvalid


async def count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


async def never_ends(first: int) -> AsyncIterator[int]:
    for i in range(first):
        yield i
    await asyncio.Event().wait()


async def collect(requests: AsyncIterator[int], window: int, draining: asyncio.Event) -> tuple[list[int], int]:
    """Return the answers and the most items that were in work at once."""
    at_once = most = 0

    async def answer(request: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001 * (request % 3))
        at_once -= 1
        return request

    return [response async for response in answer_each(requests, answer, window, draining)], most


def test_every_item_is_answered_within_the_window() -> None:
    answers, most = asyncio.run(collect(count(50), 4, asyncio.Event()))
    assert sorted(answers) == list(range(50))
    assert 1 < most <= 4


def test_empty_stream_ends() -> None:
    assert asyncio.run(collect(count(0), 4, asyncio.Event())) == ([], 0)


def test_a_stream_that_has_ended_is_answered_in_full_though_the_server_drains() -> None:
    draining = asyncio.Event()

    async def answer(request: int) -> int:
        if request == 2:  # the last, which is in work: the end of the stream has been read
            await asyncio.sleep(0.02)
            draining.set()
            await asyncio.sleep(0.02)
        return request

    async def scenario() -> list[int]:
        return [response async for response in answer_each(count(3), answer, 8, draining)]

    assert sorted(asyncio.run(scenario())) == [0, 1, 2]
    assert draining.is_set()


def test_slow_reader_holds_the_stream_back() -> None:
    read = 0

    async def requests() -> AsyncIterator[int]:
        nonlocal read
        for i in range(100):
            read = i + 1
            yield i

    async def answer(request: int) -> int:
        return request

    async def scenario() -> None:
        stream = answer_each(requests(), answer, 4, asyncio.Event())
        await anext(stream)
        await asyncio.sleep(0.05)
        assert read <= 6
        await stream.aclose()

    asyncio.run(scenario())


def test_abandoned_stream_cancels_its_items() -> None:
    begun = cancelled = 0

    async def answer(request: int) -> int:
        nonlocal begun, cancelled
        if request == 0:
            return request
        begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return request

    async def scenario() -> None:
        stream = answer_each(never_ends(3), answer, 8, asyncio.Event())
        await anext(stream)
        while begun < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        await stream.aclose()

    asyncio.run(scenario())
    assert cancelled == 2


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("ends", ["key", "call", "neither"])
def test_whoever_waited_for_a_thread_is_looked_at_again(bulk: bool, ends: str) -> None:
    ticket, revoked, done = Ticket(bulk=bulk), threading.Event(), threading.Event()

    async def require_valid() -> None:
        if revoked.is_set():
            refuse(Why.REVOKED)

    async def call(work: Work) -> str:
        hold(ticket)
        with calling(SYSTEM, require_valid=require_valid):
            try:
                await work.storage(done.set)
            except (CredentialInvalid, CallEnded) as refused:
                return refused.reason
            return ""

    async def at_work() -> str:
        work, gate = Work(1), threading.Event()

        async def busy() -> None:
            hold(Ticket(bulk=bulk))
            await work.storage(gate.wait)

        others = [asyncio.create_task(busy()) for _ in range(STORAGE_THREADS)]
        await asyncio.sleep(0)  # each has asked for a thread
        waiting = asyncio.create_task(call(work))
        await asyncio.sleep(0)
        if ends == "key":
            revoked.set()
        elif ends == "call":
            ticket.cancel()
        gate.set()
        await asyncio.gather(*others)
        try:
            return await asyncio.wait_for(waiting, 30.0)
        finally:
            work.close()

    told = {"key": "CREDENTIAL_INVALID", "call": "CALL_ENDED", "neither": ""}[ends]
    assert (asyncio.run(at_work()), done.is_set()) == (told, ends == "neither")


def test_a_call_that_is_cancelled_keeps_its_thread_until_it_has_ended() -> None:
    async def at_work() -> None:
        work, gate = Work(1), threading.Event()
        calls = [asyncio.create_task(work.storage(gate.wait)) for _ in range(STORAGE_THREADS)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        next_one = asyncio.create_task(work.storage(lambda: 7))
        done, _ = await asyncio.wait({next_one}, timeout=0.05)
        assert not done
        gate.set()
        assert await asyncio.wait_for(next_one, 30.0) == 7
        work.close()

    asyncio.run(at_work())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def measured(gap_s: float = 0.5) -> tuple[Pace, list[ExitStack]]:
    """A pace of two photos at once that has seen ends `gap_s` apart, with four photos in it."""
    clock = Clock()
    pace = Pace(2, clock)
    photos = [ExitStack() for _ in range(12)]
    for photo in photos:
        photo.enter_context(pace.photo(math.inf, "a"))
    for photo in photos[:8]:
        clock.now += gap_s
        photo.close()
    return pace, photos[8:]


def test_a_photo_that_would_be_late_is_refused_and_told_how_long_it_would_take() -> None:
    pace, waiting = measured()
    assert pace.wait_s("a") == pytest.approx(2.5)  # the fifth, half a second each
    with pytest.raises(Overloaded) as refused, pace.photo(3.5, "a"):
        pass
    assert refused.value.metadata == {"wait_s": "2.5"}
    with pace.photo(3.6, "a"), pace.photo(math.inf, "a"):
        assert len(waiting) == 4


def test_nobody_is_refused_while_nobody_waits_or_nothing_is_known() -> None:
    pace, waiting = measured()
    for photo in waiting[:3]:
        photo.close()
    assert pace.wait_s("a") == 0
    with pace.photo(0.001, "a"):
        pass
    new = Pace(1)
    with new.photo(math.inf, "a"), new.photo(0.001, "a"):
        pass


def test_photos_that_were_not_done_tell_nothing_of_the_pace() -> None:
    pace, waiting = measured()
    for _ in range(50):
        with pytest.raises(RuntimeError), pace.photo(math.inf, "a"):
            raise RuntimeError
    assert len(waiting) == 4
    assert pace.wait_s("a") == pytest.approx(2.5)


def test_slow_photos_are_forgotten_once_quick_ones_are_done() -> None:
    clock = Clock()
    pace = Pace(2, clock)
    slow = [ExitStack() for _ in range(8)]
    for photo in slow:
        photo.enter_context(pace.photo(math.inf, "a"))
    for photo in slow:
        clock.now += 1
        photo.close()
    refused = 0
    for _ in range(100):  # two at once, of 20 ms each, each with half a second
        pair = ExitStack()
        for _ in range(3):
            try:
                pair.enter_context(pace.photo(0.5, "a"))
            except Overloaded:
                refused += 1
        clock.now += 0.02
        pair.close()
    assert refused <= 12
    assert pace.wait_s("a") == 0


def test_idle_times_between_photos_tell_nothing_of_the_pace() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    for _ in range(5):
        with pace.photo(math.inf, "a"):
            clock.now += 0.01
        clock.now += 60
    assert pace.wait_s("a") == 0
    pace, waiting = measured()
    for photo in waiting:
        photo.close()
    assert pace.wait_s("a") == 0


def test_a_caller_waits_for_no_more_photos_of_another_than_of_its_own() -> None:
    pace, waiting = measured()  # four of "a"
    with pace.photo(math.inf, "a"):
        assert pace.wait_s("a") == pytest.approx(3.0)
        assert pace.wait_s("b") == pytest.approx(1.0)
        with pace.photo(1.5, "b"):
            assert pace.wait_s("b") == pytest.approx(2.0)
            with pytest.raises(Overloaded), pace.photo(1.5, "a"):
                pass
    assert len(waiting) == 4
