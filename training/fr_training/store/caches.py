"""Keeps courses, keys, sessions and pictures of the store in memory, those that were used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fr_training.trials import Session

K = TypeVar("K")
V = TypeVar("V")

MAX_TRIALS = 200_000  # of all sessions that are remembered; some 200 MB at most, by less than 1 kB a trial

MAX_PICTURE_BYTES = 64 * 2**20


class Recent(Generic[K, V]):
    """The values that were used last, by key; for several threads.

    All together may be as large as `most`; `size` is of a value, 1 for each by default, so that `most` counts them.
    """

    def __init__(self, most: int, size: Callable[[V], int] = lambda _: 1) -> None:
        self._most = most
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
        self._total = 0
        self._deleted: set[K] = set()  # some bytes for each that this process deletes: numbers never come again

    def get(self, key: K) -> V | None:
        """The value of a key, None if it is not remembered."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> None:
        """Remember a value that was read, unless its row was deleted meanwhile, or a later value is remembered."""
        with self._lock:
            before = self._values.get(key)
            if key in self._deleted or (before is not None and self._is_later(before, value)):
                return
            self._total += self._size(value) - (0 if before is None else self._size(before))
            self._values[key] = value
            self._values.move_to_end(key)
            while self._total > self._most and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def delete(self, key: K) -> None:
        """Forget a row that was deleted, for good: another thread may still read what was there before."""
        with self._lock:
            self._deleted.add(key)
            if key in self._values:
                self._drop(key)

    def is_deleted(self, key: K) -> bool:
        """True if `delete` was called for it."""
        with self._lock:
            return key in self._deleted

    def keep_only(self, keys: Iterable[K]) -> None:
        """Forget all others."""
        there = set(keys)
        self.forget_if(lambda key: key not in there)

    def forget_if(self, gone: Callable[[K], bool]) -> None:
        """Forget the values whose keys are gone."""
        with self._lock:
            for key in [key for key in self._values if gone(key)]:
                self._drop(key)

    def _is_later(self, before: V, value: V) -> bool:
        return False

    def _drop(self, key: K) -> None:
        self._total -= self._size(self._values.pop(key))


@dataclass(frozen=True, slots=True)
class Remembered:
    """A session as the transaction of a version has left it."""

    version: int
    session: Session


class Sessions(Recent[int, Remembered]):
    """Sessions by their numbers."""

    def __init__(self, max_trials: int = MAX_TRIALS) -> None:
        super().__init__(max_trials, lambda one: 1 + len(one.session.trials))

    def _is_later(self, before: Remembered, value: Remembered) -> bool:
        return before.version > value.version


class Pictures(Recent[tuple[str, int], bytes]):
    """Pictures by the id of their course and their own number."""

    def __init__(self, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        super().__init__(max_bytes, len)
