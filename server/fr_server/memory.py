"""Keeps the memory of a process small: few heaps for its threads, and no garbage collection of lasting objects."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import libraries without garbage collection, which takes a tenth of a second and finds nothing: modules last."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def freeze_objects() -> None:
    """Exempt all present objects from garbage collection.

    The collector stops everything while it looks for cycles, the longer the more objects exist. Models, messages and
    libraries have made many by then. `fr bench training` shows the waits of one call in a hundred.
    """
    gc.collect()
    gc.freeze()


# Of malloc.h of the GNU C library.
_M_ARENA_MAX = -8
# The library's own limit is 8 (malloc/arena.c).
_HEAPS_OF_A_CORE = 2


def share_heaps() -> None:
    """Make all threads allocate from a few heaps, two for each core. To be called before the first of them.

    The GNU C library gives each of many threads a heap of its own, where what is free is of no use to the others. Calls
    of a server run on any of dozens of threads: the heaps grew by some 60 MiB an hour while the memory in use did not
    (`tests/property/test_gallery_history.py` at night). With fewer, threads wait for each other: on two cores, LFW's
    photos took 10.6 ms of processor time each with one heap, 10.0 with four and 9.8 with sixteen, the client's
    included, and the server had 656, 671 and 700 MiB after a thousand photos.

    Other C libraries have no such heaps, and nothing changes there. Raises `OSError` if the C library refuses.
    """
    if sys.platform != "linux":
        return
    library, most = ctypes.CDLL(None), _HEAPS_OF_A_CORE * len(os.sched_getaffinity(0))
    if hasattr(library, "mallopt") and library.mallopt(_M_ARENA_MAX, most) == 0:
        raise OSError("mallopt refused M_ARENA_MAX")
