"""Keeps the memory of a process small: one heap for all threads, and no garbage collection of lasting objects."""

import ctypes
import gc
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


def share_one_heap() -> None:
    """Make all threads allocate from one heap. To be called before the first of them.

    The GNU C library gives each of many threads a heap of its own, where what is free is of no use to the others. Calls
    of a server run on any of dozens of threads: the heaps grew by some 60 MiB an hour while the memory in use did not
    (`tests/property/test_gallery_history.py` at night). The speed of `fr bench serve` was the same within what one run
    differs from the next.

    Other C libraries have no such heaps, and nothing changes there. Raises `OSError` if the C library refuses.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and library.mallopt(_M_ARENA_MAX, 1) == 0:
        raise OSError("mallopt refused M_ARENA_MAX")
