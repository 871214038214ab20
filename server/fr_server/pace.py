"""How quickly photos are done, and so whether one that comes now can be done in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fr_core.errors import Overloaded

# Weight of the newest gap in the mean: some tens of photos are remembered.
_NEWEST = 0.05

# Share of the time left that the expected wait may take. Photos differ, and an answer that comes a moment too late has
# cost as much as one in time: at five times what a server can do, 0.7 kept all but 2 % of the calls in time.
_SURE = 0.7


class Pace:
    """Measures the gap between the ends of photos while more of them wait than can be in work.

    Without it, a server that is asked for more than it can do works for the oldest calls, which are about to pass their
    deadline, and answers none in time. For one event loop; it is not guarded against threads.

    Args:
        at_once: photos that can be in work.
        clock: seconds, monotonic.
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._clock = clock
        self._photos = 0
        self._gap_s: float | None = None
        self._last_end: float | None = None

    @property
    def wait_s(self) -> float:
        """Expected seconds until a photo that comes now is done; 0 where it would not wait, or nothing is known."""
        waits = self._photos >= self._at_once and self._gap_s is not None
        return (self._photos + 1) * self._gap_s if waits and self._gap_s is not None else 0.0

    @contextmanager
    def photo(self, left_s: float) -> Iterator[None]:
        """Surround the work on a photo, its time in the queue included.

        Args:
            left_s: until its call's deadline, in seconds; infinite without one.

        Raises:
            Overloaded: it would not be done in time.
        """
        wait_s = self.wait_s
        if wait_s > _SURE * left_s:
            raise Overloaded(f"A photo waits for about {wait_s:.1f} s; the call has less.", wait_s=f"{wait_s:.1f}")
        self._photos += 1
        try:
            yield
        finally:
            self._ended()

    def _ended(self) -> None:
        now = self._clock()
        if self._photos > self._at_once and self._last_end is not None:
            gap_s = now - self._last_end
            self._gap_s = gap_s if self._gap_s is None else self._gap_s + _NEWEST * (gap_s - self._gap_s)
        self._photos -= 1
        # Only gaps in which something waited all the time tell of the machine rather than of its callers.
        self._last_end = now if self._photos > self._at_once else None
