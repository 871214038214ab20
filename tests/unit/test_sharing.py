"""Scarce places and the pools of a server: shares, turns, refusals, streams answered in full, and their pace."""

import asyncio
import gc
import math
import threading
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, closing
from functools import partial

import pytest

from fr_core.errors import CallEnded, Overloaded
from fr_core.runtime.ticket import Ticket, hold
from fr_core.sharing import EVERYBODY, FairThreads, Places, capacity_of, share_of
from fr_server.authz.callers import calling
from fr_server.pools import STORAGE_THREADS, Pace, PhotoTimes, Work, answer_each
from fr_trust.access.principal import SYSTEM
from fr_trust.access.refusals import Why, refuse
from fr_trust.errors import CredentialInvalid


def threads(number: int) -> closing[FairThreads]:
    return closing(FairThreads(number, "test"))


def test_shares_are_bounded_and_everybody_may_have_all() -> None:
    assert [share_of(places) for places in (1, 2, 3, 4, 8, 16, 64)] == [1, 1, 2, 3, 6, 12, 48]


@pytest.mark.parametrize("share", [1, 2, 3, 8, 64])
def test_one_caller_may_have_its_share_of_no_fewer_places(share: int) -> None:
    assert share_of(capacity_of(share)) == share
    assert capacity_of(share) == 1 or share_of(capacity_of(share) - 1) < share
    places = Places(4, "things")
    for _ in range(3):
        places.take("a")
    with pytest.raises(Overloaded, match="This caller has 3 things; its limit is 3"):
        places.take("a")
    places.take("b")
    with pytest.raises(Overloaded, match="The server has 4 things; its limit is 4"):
        places.take("c")
    places.give_back("a")
    places.take("c")
    assert places.taken == 4
    places = Places(4, "things")
    for _ in range(4):
        places.take(EVERYBODY)
    assert places.refusal(EVERYBODY) is not None
    places = Places(100, "bytes")
    with places.held("a", 70):
        with pytest.raises(Overloaded):
            places.take("a", 6)
        with pytest.raises(Overloaded):
            places.take("b", 31)
        places.take("b", 30)
    assert places.taken == 30


def test_a_place_that_is_held_for_long_goes_to_who_was_refused_it() -> None:
    now = [0.0]
    place = Places(1, "jobs", kept_s=30.0, clock=lambda: now[0])
    place.take("a")
    place.give_back("a")
    place.take("a")
    with pytest.raises(Overloaded):
        place.take("b")
    place.give_back("a")
    with pytest.raises(Overloaded, match="goes first"):
        place.take("a")
    place.take("b")
    place.give_back("b")
    place.take("a")
    with pytest.raises(Overloaded):
        place.take("b")
    place.give_back("a")
    now[0] += 30.0  # who was refused did not come again
    place.take("a")


def test_callers_take_turns_however_much_each_asks_for() -> None:
    ran: list[str] = []
    gate = threading.Event()
    with threads(1) as pool:
        first = pool.submit("a", gate.wait)
        asked = [pool.submit(caller, partial(ran.append, caller)) for caller in "aaaabbc"]
        gate.set()
        assert first.result(10)
        for one in asked:
            one.result(10)
    assert ran == ["a", "b", "c", "a", "b", "a", "a"]


def test_a_caller_leaves_a_thread_and_everybody_none() -> None:
    gate = threading.Event()
    with threads(4) as pool:
        try:
            held = [pool.submit("a", gate.wait) for _ in range(20)]
            assert pool.submit("b", lambda: 7).result(10) == 7
            assert sum(one.running() for one in held) == 3
        finally:
            gate.set()
    gate = threading.Event()
    with threads(4) as pool:
        try:
            for _ in range(20):
                pool.submit(EVERYBODY, gate.wait)
            with pytest.raises(TimeoutError):
                pool.submit("b", lambda: 7).result(0.2)
        finally:
            gate.set()


def test_dropped_and_failed_tasks_let_the_next_one_run() -> None:
    gate, ran = threading.Event(), threading.Event()
    with threads(1) as pool:
        pool.submit("a", gate.wait)
        task = ran.set
        dropped = pool.submit("a", task)
        later = pool.submit("a", lambda: 7)
        assert dropped.cancel()
        gate.set()
        assert later.result(10) == 7
        assert not ran.is_set()

    def fails() -> None:
        raise ValueError("no")

    with threads(1) as pool:
        with pytest.raises(ValueError, match="no"):
            pool.submit("a", fails).result(10)
        assert pool.submit("a", lambda: 7).result(10) == 7


def test_closing_drops_what_waits_and_refuses_what_comes() -> None:
    gate = threading.Event()
    pool = FairThreads(1, "test")
    begun = pool.submit("a", gate.wait)
    waiting = [pool.submit("a", lambda: 7) for _ in range(2_000)]
    closing = threading.Thread(target=pool.close)
    closing.start()
    gate.set()
    closing.join(10)
    assert begun.result(10)
    for one in (*waiting, pool.submit("b", lambda: 7)):
        with pytest.raises(CancelledError):
            one.result(10)


class Held:
    def __call__(self) -> int:
        return 7

    def fail(self) -> int:
        raise ValueError


@pytest.mark.parametrize("how", ["done", "failed", "dropped"])
def test_what_a_task_held_is_let_go_without_the_collector(how: str) -> None:
    gc.disable()
    try:
        with threads(1) as pool:
            gate = threading.Event()
            held = Held()
            seen = weakref.ref(held)
            pool.submit("b", gate.wait)
            future: Future[int] = pool.submit("a", held.fail if how == "failed" else held)
            del held
            if how == "dropped":
                future.cancel()
            gate.set()
            if how == "done":
                assert future.result(10) == 7
            elif how == "failed":
                assert isinstance(future.exception(10), ValueError)
            del future
            pool.submit("a", lambda: 7).result(10)
            assert seen() is None
    finally:
        gc.enable()


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


def measured(gap_s: float = 0.5) -> tuple[Pace, list[ExitStack]]:
    """A pace of two photos at once that has seen ends `gap_s` apart, with four photos in it."""
    now = [0.0]
    pace = Pace(2, lambda: now[0])
    photos = [ExitStack() for _ in range(12)]
    for photo in photos:
        photo.enter_context(pace.photo(math.inf, "a"))
    for photo in photos[:8]:
        now[0] += gap_s
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


def test_failures_and_idle_times_tell_nothing_of_the_pace() -> None:
    pace, waiting = measured()
    for _ in range(50):
        with pytest.raises(RuntimeError), pace.photo(math.inf, "a"):
            raise RuntimeError
    assert len(waiting) == 4
    assert pace.wait_s("a") == pytest.approx(2.5)
    now = [0.0]
    pace = Pace(1, lambda: now[0])
    for _ in range(5):
        with pace.photo(math.inf, "a"):
            now[0] += 0.01
        now[0] += 60
    assert pace.wait_s("a") == 0
    pace, waiting = measured()
    for photo in waiting:
        photo.close()
    assert pace.wait_s("a") == 0


def test_times_of_photos_are_those_of_the_newest() -> None:
    times = PhotoTimes()
    assert times.within_s(0.95) is None
    for took_s in range(2000, 0, -1):
        times.add(float(took_s))
    assert (times.done, times.within_s(0.5), times.within_s(0.95), times.within_s(1)) == (2000, 500, 950, 1000)


def test_slow_photos_are_forgotten_once_quick_ones_are_done() -> None:
    now = [0.0]
    pace = Pace(2, lambda: now[0])
    slow = [ExitStack() for _ in range(8)]
    for photo in slow:
        photo.enter_context(pace.photo(math.inf, "a"))
    for photo in slow:
        now[0] += 1
        photo.close()
    refused = 0
    for _ in range(100):  # two at once, of 20 ms each, each with half a second
        pair = ExitStack()
        for _ in range(3):
            try:
                pair.enter_context(pace.photo(0.5, "a"))
            except Overloaded:
                refused += 1
        now[0] += 0.02
        pair.close()
    assert refused <= 12
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
