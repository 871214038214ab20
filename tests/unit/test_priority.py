"""Threads that compute have a lower priority than those that answer."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from fr_core.runtime.batcher import Batcher
from fr_core.runtime.priority import NICENESS
from fr_core.runtime.ticket import Ticket, hold
from fr_server.pools import Work

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_lanes_and_photo_threads_stand_back_and_the_loop_does_not() -> None:
    own = niceness()
    lanes: Batcher[int, int] = Batcher("embedder", [lambda batch: [niceness() for _ in batch]], (1,), 1, [0])
    lanes.start()
    assert lanes.run([0]) == [NICENESS]
    lanes.close()

    async def at_work() -> list[int]:
        work = Work(1)
        found = [await work.photo(niceness), await work.storage(niceness)]
        hold(Ticket(bulk=True))
        found.append(await work.photo(niceness))
        work.close()
        return [*found, niceness()]

    assert asyncio.run(at_work()) == [NICENESS, own, NICENESS, own]
