"""Estimates how fast photos are processed, and so whether a new photo can be done in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fr_core.errors import Overloaded

# Weight of the newest gap in the mean: some tens of photos are remembered.
_NEWEST = 0.05
# Weight of a photo that was done without waiting and tells of a quicker pace: slow photos are soon forgotten.
_QUICKER = 0.2

# Share of the time left that the expected wait may take: photos differ, and an answer that comes a moment too late has
# cost as much as one in time. `make overload` shows how many of the admitted calls were late.
_SURE = 0.7


class Pace:
    """Measures the gap between photos that are done one after the other, and tells how long a new one would take.

    Without it, a server that is asked for more than it can do works for the oldest calls, which are about to pass their
    deadline, and answers none in time. Only photos that were done tell of the pace; those that were refused, cancelled
    or late do not. For one event loop; it is not guarded against threads.
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._clock = clock
        self._photos: Counter[str] = Counter()
        self._gap_s: float | None = None
        self._last_done: float | None = None

    def wait_s(self, caller: str) -> float:
        """Return the expected seconds until a new photo is done; 0 if it would not wait, or nothing is known.

        Callers take turns: of each other caller, at most as many photos go first as this caller has, plus one.
        """
        if self._gap_s is None or self._photos.total() < self._at_once:
            return 0.0
        own = self._photos[caller]
        before = sum(min(photos, own + 1) for other, photos in self._photos.items() if other != caller)
        return (before + own + 1) * self._gap_s

    @contextmanager
    def photo(self, left_s: float, caller: str) -> Iterator[None]:
        """Surround the work on a photo, its time in the queue included.

        Args:
            left_s: until its call's deadline, in seconds; infinite without one.

        Raises:
            Overloaded: it would hardly be done in time.
        """
        wait_s = self.wait_s(caller)
        if wait_s > _SURE * left_s:
            raise Overloaded(f"A photo waits for about {wait_s:.1f} s; the call has less.", wait_s=f"{wait_s:.1f}")
        began = self._clock()
        self._photos[caller] += 1
        try:
            yield
            self._done(self._clock(), began)
        finally:
            self._photos[caller] -= 1
            if not self._photos[caller]:
                del self._photos[caller]
            if self._photos.total() < self._at_once:
                self._last_done = None  # a gap in which nothing waited tells of the callers, not of the machine

    def _done(self, now: float, began: float) -> None:
        photos = self._photos.total()
        if photos > self._at_once:
            if self._last_done is not None:
                self._learn(now - self._last_done, _NEWEST)
            self._last_done = now
        elif self._gap_s is not None and (now - began) / photos < self._gap_s:
            self._learn((now - began) / photos, _QUICKER)

    def _learn(self, gap_s: float, weight: float) -> None:
        self._gap_s = gap_s if self._gap_s is None else self._gap_s + weight * (gap_s - self._gap_s)
