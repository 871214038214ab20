"""Memory that a front-end and the engine's process share, in slots: the pixels of a submission lie in one of them.

The memory belongs to a file descriptor without a name (memfd_create), not to a name in /dev/shm: it is gone when the
last process that holds it ends, however that ends, and a container's small /dev/shm is no bound. A page that was never
written takes no memory.
"""

import mmap
import os
import threading
from collections.abc import Sequence

import numpy as np

from fr_core.runtime.ticket import Ticket
from fr_core.types import U8
from fr_server.workers.messages import ArenaPlan

# How often a thread that waits looks whether its call is still wanted.
PATIENCE_S = 0.05


def new_memory(plan: ArenaPlan) -> int:
    """Make the memory of an arena, and return its file descriptor, the caller's to close; raises `OSError`."""
    memory = os.memfd_create("fr-arena", os.MFD_CLOEXEC)
    try:
        os.ftruncate(memory, plan.total_bytes)
    except BaseException:
        os.close(memory)
        raise
    return memory


class Arena:
    """The slots of one link, from either end; needs the descriptor no more once it is made."""

    def __init__(self, memory: int, plan: ArenaPlan) -> None:
        self._plan = plan
        self._bytes: U8 = np.frombuffer(mmap.mmap(memory, plan.total_bytes), np.uint8)

    def views(self, slot: int, shapes: Sequence[tuple[int, int]]) -> list[U8]:
        """Return pictures u8[height, width, 3] of a slot, not copies; raises `ValueError` if they do not fit."""
        sizes = [picture_bytes(shape) for shape in shapes]
        if not 0 <= slot < 2 * self._plan.slots or sum(sizes) > self._plan.slot_bytes:
            raise ValueError("there is no such slot, or it is too small")
        views, start = [], slot * self._plan.slot_bytes
        for (height, width), size in zip(shapes, sizes, strict=True):
            views.append(self._bytes[start : start + size].reshape(height, width, 3))
            start += size
        return views


class Slots:
    """The free slots of an arena. Each class has its own, so that bulk items cannot take those of people."""

    def __init__(self, plan: ArenaPlan) -> None:
        self._changed = threading.Condition()
        # The one that was used last is taken first: its pages are there already, and fewer are ever touched.
        self._free = {False: list(range(plan.slots)), True: list(range(plan.slots, 2 * plan.slots))}
        self._per_class = plan.slots

    def take(self, ticket: Ticket) -> int:
        """Wait for a slot of the ticket's class; raises `CallEnded`: nobody waits for the answer any more."""
        free = self._free[ticket.bulk]
        with self._changed:
            while True:
                ticket.require_wanted()
                if free:
                    return free.pop()
                self._changed.wait(PATIENCE_S)

    def give_back(self, slot: int) -> None:
        """Say that nobody reads or writes a slot any more."""
        with self._changed:
            self._free[slot >= self._per_class].append(slot)
            self._changed.notify_all()

    def free(self, bulk: bool) -> int:
        """Return how many slots of a class are free."""
        with self._changed:
            return len(self._free[bulk])


def picture_bytes(shape: tuple[int, int]) -> int:
    """Size of a picture u8[height, width, 3]."""
    return shape[0] * shape[1] * 3
