"""Answers of a stream whose records share commits: they form groups while a commit is under way, and wait for none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest

from fr_core.errors import StoreFailed
from fr_server.rpc.interceptors.streams import in_groups

LONG_S = 10.0  # seconds after which a test has failed


class Disk:
    """Keeps groups of answers, each once it may; counts the answers that are durable."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.kept = 0
        self.free = asyncio.Event()
        self.free.set()

    async def keep(self, answers: Sequence[int]) -> None:
        self.groups.append(list(answers))
        await self.free.wait()
        self.kept += len(answers)


class Source:
    """Yields what it is given as it is given, until it gets None."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[int | None] = asyncio.Queue()
        self.closed = False

    def give(self, *answers: int | None) -> None:
        for answer in answers:
            self.given.put_nowait(answer)

    async def answers(self) -> AsyncGenerator[int]:
        try:
            while (answer := await self.given.get()) is not None:
                yield answer
        finally:
            self.closed = True


async def settled() -> None:
    """Let everything go on until it waits for what a test has yet to do."""
    for _ in range(200):
        await asyncio.sleep(0)


def run(test: Callable[[Source, Disk, AsyncIterator[int]], Awaitable[None]]) -> None:
    async def run() -> None:
        source, disk = Source(), Disk()
        async with asyncio.timeout(LONG_S), aclosing(in_groups(source.answers(), disk.keep)) as told:
            await test(source, disk, told)
        assert source.closed

    asyncio.run(run())


def test_an_answer_that_comes_alone_waits_for_no_company() -> None:
    async def test(source: Source, disk: Disk, told: AsyncIterator[int]) -> None:
        for number in range(5):
            source.give(number)
            assert await anext(told) == number
        assert disk.groups == [[0], [1], [2], [3], [4]]

    run(test)


def test_answers_that_come_during_a_commit_share_the_next_and_keep_their_order() -> None:
    async def test(source: Source, disk: Disk, told: AsyncIterator[int]) -> None:
        disk.free.clear()
        source.give(0)
        first = asyncio.ensure_future(anext(told))
        await settled()
        source.give(1, 2, 3, None)
        await settled()
        assert disk.groups == [[0]]
        assert not first.done()
        disk.free.set()
        assert await first == 0
        assert disk.kept == 1
        assert await anext(told) == 1
        assert disk.kept == 4
        assert [number async for number in told] == [2, 3]
        assert disk.groups == [[0], [1, 2, 3]]

    run(test)


def test_a_stream_takes_few_answers_ahead_of_a_commit() -> None:
    async def test(source: Source, disk: Disk, told: AsyncIterator[int]) -> None:
        disk.free.clear()
        source.give(*range(100))
        first = asyncio.ensure_future(anext(told))
        await settled()
        assert source.given.qsize() == 100 - 16
        disk.free.set()
        assert await first == 0

    run(test)


def test_no_answer_leaves_if_its_group_cannot_be_kept() -> None:
    async def fails(answers: Sequence[int]) -> None:
        raise StoreFailed("The disk refuses.")

    async def test() -> None:
        source = Source()
        source.give(1, 2, None)
        with pytest.raises(StoreFailed):
            await anext(in_groups(source.answers(), fails))
        assert source.closed

    asyncio.run(asyncio.wait_for(test(), LONG_S))


def test_what_came_before_an_error_leaves_before_it() -> None:
    async def breaks() -> AsyncGenerator[int]:
        yield 1
        yield 2
        raise KeyError("later")

    async def test() -> None:
        disk = Disk()
        told = in_groups(breaks(), disk.keep)
        assert [await anext(told), await anext(told)] == [1, 2]
        assert disk.kept == 2
        with pytest.raises(KeyError):
            await anext(told)

    asyncio.run(asyncio.wait_for(test(), LONG_S))
