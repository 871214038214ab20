"""Photos of an evaluation: they carry the ticket of their call, and end with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_core.errors import CallEnded
from fr_core.imaging import ImageLimits
from fr_core.reading import read_at_most
from fr_core.runtime.ticket import Ticket, current_ticket, hold
from fr_datasets.errors import DatasetUnreadable, read_photo
from fr_evaluation.hardest import thumbnail
from fr_evaluation.photos import AHEAD, Photos, in_threads
from support import photos as squares
from support.evaluations import ignore


class Stop(Exception):
    """What a caller raises to end the work."""


@pytest.fixture
def ticket() -> Iterator[Ticket]:
    """The ticket of this test, which ends with it."""
    own = Ticket(bulk=True)
    hold(own)
    yield own
    hold(Ticket())


def test_each_photo_is_analysed_for_the_ticket_of_the_call(ticket: Ticket) -> None:
    assert all(seen is ticket for seen in in_threads(lambda _: current_ticket(), range(9), 3, ignore))


def test_answers_keep_their_order_and_few_are_in_work() -> None:
    begun: list[int] = []

    def analyze(item: int) -> int:
        begun.append(item)
        return item

    answers = in_threads(analyze, range(1000), 2, ignore)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    threading.Event().wait(0.05)
    assert len(begun) <= 3 + AHEAD * 2


def test_a_cancelled_call_begins_no_more_photos(ticket: Ticket) -> None:
    begun: list[int] = []

    def analyze(item: int) -> int:
        begun.append(item)
        if item == 2:
            ticket.cancel()
        return item

    with pytest.raises(CallEnded):
        list(in_threads(analyze, range(1000), 1, ignore))
    assert begun == [0, 1, 2]


def test_a_caller_that_raises_ends_the_work_and_what_ran_is_awaited() -> None:
    running = threading.Event()
    finished: list[int] = []

    def analyze(item: int) -> int:
        if item:
            running.set()
            threading.Event().wait(0.5)
        finished.append(item)
        return item

    def stop(done: int, total: int) -> None:
        if done:
            running.wait(5)
            raise Stop

    with pytest.raises(Stop):
        list(in_threads(analyze, range(1000), 2, stop))
    assert 2 <= len(finished) <= 1 + AHEAD
    count = len(finished)
    threading.Event().wait(0.6)
    assert len(finished) == count


def test_of_a_photo_no_more_is_read_than_tells_that_it_is_too_large(tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # more than any memory
    assert len(read_photo(huge, 9)) == 10
    assert len(read_at_most(huge, 0)) == 1
    photos = Photos(squares.engine().pipeline, 1, ignore)
    assert photos.embed([huge])[huge].refusal == "IMAGE_TOO_MANY_BYTES"
    assert photos.count([huge], ImageLimits(max_bytes=9))[0].refusal == "IMAGE_TOO_MANY_BYTES"
    assert thumbnail(huge, ImageLimits()) is None


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_a_photo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DatasetUnreadable, match="not a regular file"):
        read_photo(tmp_path / "pipe.jpg", 9)
    assert thumbnail(tmp_path / "pipe.jpg", ImageLimits()) is None
