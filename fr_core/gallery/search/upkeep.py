"""The thread that keeps the galleries in order: the indexes beside searches and changes, and what has expired."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

from fr_core.errors import FrError
from fr_core.gallery.search.memory import GalleryMemory, Memories

_log = logging.getLogger(__name__)

# How often the indexes are asked for work, which is cheap.
_EVERY_S = 1.0
_PURGE_EVERY_S = 3600.0
_PURGE_FAILED = "what has expired could not be purged"


class Keeper:
    """Does the upkeep of all indexes, one piece after the other, and purges every hour, until closed.

    Args:
        memories: hold the indexes.
        purge: deletes what has expired.
        catch_up: does what a call left to be done, and is cheap where there is nothing.
    """

    def __init__(self, memories: Memories, purge: Callable[[], object], catch_up: Callable[[], object]) -> None:
        self._memories = memories
        self._purge = purge
        self._catch_up = catch_up
        self._failed: WeakSet[GalleryMemory] = WeakSet()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="gallery-upkeep", daemon=True)

    def start(self) -> None:
        """Purge, and go on from then."""
        self._do(self._purge, _PURGE_FAILED)
        self._thread.start()

    def close(self) -> None:
        """Finish the piece of work that is under way, and end the thread; harmless when done twice."""
        self._closing.set()
        if self._thread.is_alive():  # it was never started where the first purge failed
            self._thread.join()

    def _work(self) -> None:
        next_purge = time.monotonic() + _PURGE_EVERY_S
        while not self._closing.wait(_EVERY_S):
            for memory in self._memories:
                if memory not in self._failed:
                    self._keep_up(memory)
            self._do(self._catch_up, "what was deleted could not be overwritten")
            if time.monotonic() >= next_purge:
                self._do(self._purge, _PURGE_FAILED)
                next_purge = time.monotonic() + _PURGE_EVERY_S

    def _keep_up(self, memory: GalleryMemory) -> None:
        begun = time.monotonic()
        try:
            while not self._closing.is_set() and memory.keep_up():
                _log.info("an index of %d templates kept in order, %.1f s", memory.index.size, time.monotonic() - begun)
                begun = time.monotonic()
        # The index goes on as it is, slower or larger than it could be; nothing that it answers is wrong.
        except Exception as error:  # noqa: BLE001
            self._failed.add(memory)
            _log.error("the upkeep of an index failed, and is left until a restart: %s", type(error).__name__)

    def _do(self, work: Callable[[], object], failed: str) -> None:
        try:
            work()
        # The next time may be better; and whatever it is, the thread goes on with the indexes.
        except Exception as error:  # noqa: BLE001
            told = error.reason if isinstance(error, FrError) else type(error).__name__
            _log.error("%s: %s", failed, told)
