"""Threads that compute stand back behind those that answer."""

import os
import sys
import threading

# Of 0 (like all others) to 19. At 5 a thread gets a third of the time of one at 0 where both want the same core
# (kernel/sched/core.c, sched_prio_to_weight: 335 of 1024).
NICENESS = 5


def stand_back() -> None:
    """Lower the priority of the calling thread, and of the threads that it will start.

    With every core busy, an event loop would otherwise wait for its turn behind lanes and photos, and with it refusals
    and health (`make overload` shows both). Where the system has no priorities of threads, nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
