"""The memory shows one version at a time, and neither readers nor the writer wait longer than they must."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from fr_core.errors import InternalError
from fr_core.gallery.changes import AddedVector
from fr_core.gallery.index.numpy_scan import NumpyIndex
from fr_core.gallery.search.memory import GalleryMemory, Memories
from fr_core.types import F32

SOON = 0.05  # seconds after which a thread that has not come is taken to wait
LONG = 10.0  # seconds after which a test has failed


def axis(number: int) -> F32:
    vector = np.zeros(4, dtype=np.float32)
    vector[number] = 1.0
    return vector


def added(*numbers: int) -> list[AddedVector]:
    return [AddedVector(number, 100 + number, axis(number % 4)) for number in numbers]


@pytest.fixture
def memory() -> GalleryMemory:
    memory = GalleryMemory(NumpyIndex(4), 1)
    memory.change(2, added(1, 2), ())
    return memory


@contextmanager
def running(target: Callable[[], None]) -> Iterator[threading.Event]:
    """Run a function in a thread; the event tells that it has ended."""
    ended = threading.Event()

    def run() -> None:
        target()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    yield ended
    thread.join(LONG)
    assert ended.is_set()


def test_a_reader_of_this_version_enters(memory: GalleryMemory) -> None:
    with memory.at(2) as exact:
        assert exact
        best = memory.best_subjects(axis(1), 5)
    assert (best.subject_nos.tolist(), best.template_ids.tolist()) == ([101, 102], [1, 2])


def test_a_reader_of_an_older_version_is_told(memory: GalleryMemory) -> None:
    with memory.at(1) as exact:
        assert not exact


def test_a_reader_of_a_newer_version_waits_for_it(memory: GalleryMemory) -> None:
    seen: list[bool] = []

    def read() -> None:
        with memory.at(3) as exact:
            seen.append(exact)

    with running(read) as ended:
        assert not ended.wait(SOON)
        memory.change(3, (), ())
    assert seen == [True]


def test_a_change_waits_for_those_who_read_and_for_nobody_else(memory: GalleryMemory) -> None:
    reading = memory.at(2)
    assert reading.__enter__()
    with running(lambda: memory.change(3, (), (1,))) as ended:
        assert not ended.wait(SOON)
        with memory.at(2) as exact:  # with a snapshot from before the commit nobody needs to wait
            assert exact
            assert memory.best_subjects(axis(1), 1).template_ids.tolist() == [1]
        assert not ended.wait(SOON)
        reading.__exit__(None, None, None)
    with memory.at(3) as exact:
        assert exact
        assert memory.best_subjects(axis(1), 5).template_ids.tolist() == [2]


def test_what_fails_to_be_copied_is_never_searched_again(
    memory: GalleryMemory, caplog: pytest.LogCaptureFixture
) -> None:
    memory.change(3, added(1), ())  # a number that was used: the index refuses
    assert "could not be copied" in caplog.text
    for version in (2, 3, 4):
        with pytest.raises(InternalError), memory.at(version):
            pass


def test_nobody_waits_for_a_memory_that_was_abandoned() -> None:
    memories = Memories("flat")
    memory = memories.create(1, 4, 1)
    failed: list[type[Exception]] = []

    def wait_for_version() -> None:
        try:
            with memory.at(2):
                pass
        except InternalError as error:
            failed.append(type(error))

    def wait_for_change() -> None:
        try:
            memories.wait_beyond(memories.changes)
        except InternalError as error:
            failed.append(type(error))

    with running(wait_for_version) as one, running(wait_for_change) as other:
        assert not one.wait(SOON)
        assert not other.wait(SOON)
        memories.abandon()
    assert failed == [InternalError, InternalError]


def test_who_waits_for_a_change_hears_of_it() -> None:
    memories = Memories("flat")
    with running(lambda: memories.wait_beyond(0)) as ended:
        assert not ended.wait(SOON)
        memories.apply([])
    memories.wait_beyond(0)
