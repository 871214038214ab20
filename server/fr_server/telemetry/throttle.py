"""Limits floods of events: passes a few of each kind, and counts the rest."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_PER_WINDOW = 10  # limit for one kind in a window of time

MOST_PER_GROUP = 30  # limit for all kinds of one group in a window of time

# Only the most recent kinds are kept; the counts of older ones are lost.
_MAX_KINDS = 10_000


class _Kind(Generic[T]):
    """The events of one kind: those passed in the current window, and those withheld since the last one passed."""

    __slots__ = ("began_s", "held_back", "last", "let_through")

    def __init__(self, last: T) -> None:
        self.began_s = -math.inf
        self.let_through = 0
        self.held_back = 0
        self.last = last


class Throttle(Generic[T]):
    """Lets through at most `MOST_PER_WINDOW` of each kind in a window of time, and counts the rest; thread-safe."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._kinds: OrderedDict[Hashable, _Kind[T]] = OrderedDict()
        self._lock = threading.Lock()

    def held_back(self, kind: Hashable, what: T, window_s: float = 1.0, group: Hashable = None) -> int | None:
        """Ask to pass an event; return the number of events of its kind withheld since the last one passed.

        Returns None if the event does not pass; it then counts as withheld. Events of the same kind share a limit, in a
        window of `window_s` seconds. `group` is a group of kinds that lets through `MOST_PER_GROUP` in the window, and
        differs from every kind; None = the kind is in no group.
        """
        with self._lock:
            paced = self._paced(kind, what)
            limits = [(paced, MOST_PER_WINDOW)]
            if group is not None:
                limits.append((self._paced(group, what), MOST_PER_GROUP))
            now_s = self._monotonic_s()
            for one, _ in limits:
                if now_s - one.began_s >= window_s:
                    one.began_s, one.let_through = now_s, 0
            if any(one.let_through >= most for one, most in limits):
                paced.held_back, paced.last = paced.held_back + 1, what
                return None
            for one, _ in limits:
                one.let_through += 1
            held_back, paced.held_back = paced.held_back, 0
            return held_back

    def put_back(self, kind: Hashable, what: T, count: int) -> None:
        """Count as withheld an event that passed but could not be reported, with those that it should have reported."""
        with self._lock:
            paced = self._paced(kind, what)
            paced.held_back, paced.last = paced.held_back + count, what

    def left(self) -> list[tuple[T, int]]:
        """Return the last withheld event of each kind with its count, and reset the counts."""
        with self._lock:
            found = [(paced.last, paced.held_back) for paced in self._kinds.values() if paced.held_back]
            for paced in self._kinds.values():
                paced.held_back = 0
            return found

    def _paced(self, kind: Hashable, what: T) -> _Kind[T]:
        paced = self._kinds.setdefault(kind, _Kind(what))
        self._kinds.move_to_end(kind)
        if len(self._kinds) > _MAX_KINDS:
            self._kinds.popitem(last=False)
        return paced
