"""The pace of photos, and who is told that it is too late."""

from __future__ import annotations

import math
from contextlib import ExitStack

import pytest

from fr_core.errors import Overloaded
from fr_server.pools import Pace


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
