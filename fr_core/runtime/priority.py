"""Gives threads that compute a lower priority than those that answer, and models the lowest."""

import os
import sys
import threading

# From 0 (like all others) to 19. Where two threads want the same core, one at 3 gets half the time of one at 0, and one
# at 10 a ninth (kernel/sched/core.c, sched_prio_to_weight: 526 and 110 of 1024).
PHOTOS = 3
MODELS = 10


def stand_back(niceness: int = PHOTOS) -> None:
    """Lower the priority of the calling thread, and of the threads that it will start.

    With every core busy, an event loop would otherwise wait for its turn behind lanes and photos, and with it refusals
    and health (`make overload` shows both). Models compute without the lock of the interpreter, and so stand furthest
    back: a thread that has the lock and waits for a core keeps every other one from going on, the event loop too. Where
    the system has no priorities of threads, nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
