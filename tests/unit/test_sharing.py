"""Scarce places: each caller's share, the order of turns, and refusals."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial

import pytest

from fr_core.errors import Overloaded
from fr_core.sharing import EVERYBODY, FairThreads, Places, share_of


@contextmanager
def threads(number: int) -> Iterator[FairThreads]:
    made = FairThreads(number, "test")
    try:
        yield made
    finally:
        made.close()


def test_a_share_leaves_a_quarter_and_at_least_one_place() -> None:
    assert [share_of(places) for places in (1, 2, 3, 4, 8, 16, 64)] == [1, 1, 2, 3, 6, 12, 48]


def test_who_has_its_share_is_refused_and_others_are_not() -> None:
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


def test_everybody_together_may_have_every_place() -> None:
    places = Places(4, "things")
    for _ in range(4):
        places.take(EVERYBODY)
    assert places.refusal(EVERYBODY) is not None


def test_many_are_taken_at_once_or_none() -> None:
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


def test_a_thread_is_left_for_others_while_one_caller_has_as_many_as_it_may() -> None:
    gate = threading.Event()
    with threads(4) as pool:
        try:
            held = [pool.submit("a", gate.wait) for _ in range(20)]
            assert pool.submit("b", lambda: 7).result(10) == 7
            assert sum(one.running() for one in held) == 3
        finally:
            gate.set()


def test_control_everybody_leaves_no_thread() -> None:
    gate = threading.Event()
    with threads(4) as pool:
        try:
            for _ in range(20):
                pool.submit(EVERYBODY, gate.wait)
            with pytest.raises(TimeoutError):
                pool.submit("b", lambda: 7).result(0.2)
        finally:
            gate.set()


def test_what_nobody_waits_for_is_dropped_at_once() -> None:
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


def test_a_task_raises_to_who_asked_and_the_next_one_runs() -> None:
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
    """What a task holds."""

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
