"""The time that keys expire by: that of a wall clock, but neither set back nor set forwards by mistake for long.

A key whose time is over must not become valid again where somebody sets the clock back, and must not stay invalid for
ever where the clock was ahead for a while. So the store keeps the time that was surely reached, and goes by the latest
of that, the wall clock and the sure time.

The sure time is the wall clock when the process starts, and from then on follows the monotonic clock, which nobody
sets. Where the wall clock departs from it by more than a minute, it is taken over only once it has kept its distance
for an hour. So:

* set back: nothing that is over becomes valid again, also not after a restart;
* set forwards: keys are over early, for as long as it lasts; when it lasts less than an hour, nothing stays of it;
* longer, or when a process starts under such a clock: the store has kept a time of the future, and keys are over early
  until that time has come. The way back is `AccessStore.forget_time_seen`, for the owner of the key of the store.
"""

import threading
from collections.abc import Callable

MARK_EVERY_MS = 60_000  # so far may the time that is kept lag behind the sure one
TRUST_AFTER_MS = 3_600_000  # for so long must a clock that was set keep its distance

_SLACK_MS = 60_000


class SureTime:
    """The sure time of one process; for several threads.

    Args:
        clock_ms: milliseconds since 1970, UTC, of a clock that may be set.
        monotonic_s: seconds of a clock that is never set.
    """

    def __init__(self, clock_ms: Callable[[], int], monotonic_s: Callable[[], float]) -> None:
        self._clock_ms = clock_ms
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._ahead_ms = clock_ms() - self._monotonic_ms()
        self._other_ms: int | None = None
        self._other_since_ms = 0

    def sure_ms(self) -> int:
        """Return the time that was surely reached, milliseconds since 1970, UTC."""
        return self._look()[1]

    def now_ms(self, kept_ms: int) -> int:
        """Return the time that keys expire by; `kept_ms` is what the store has kept."""
        return self.now_and_sure_ms(kept_ms)[0]

    def now_and_sure_ms(self, kept_ms: int) -> tuple[int, int]:
        """Return what `now_ms` and `sure_ms` return at one moment."""
        clock_ms, sure_ms = self._look()
        return max(kept_ms, clock_ms, sure_ms), sure_ms

    def _look(self) -> tuple[int, int]:
        with self._lock:
            clock_ms, monotonic_ms = self._clock_ms(), self._monotonic_ms()
            ahead_ms = clock_ms - monotonic_ms
            if abs(ahead_ms - self._ahead_ms) <= _SLACK_MS:
                self._ahead_ms = max(ahead_ms, self._ahead_ms)
                self._other_ms = None
            elif self._other_ms is None or abs(ahead_ms - self._other_ms) > _SLACK_MS:
                self._other_ms, self._other_since_ms = ahead_ms, monotonic_ms
            elif monotonic_ms - self._other_since_ms >= TRUST_AFTER_MS:
                self._ahead_ms, self._other_ms = ahead_ms, None
            return clock_ms, monotonic_ms + self._ahead_ms

    def _monotonic_ms(self) -> int:
        return int(self._monotonic_s() * 1000)
