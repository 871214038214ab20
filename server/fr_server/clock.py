"""The time of a running server, which does not jump where somebody sets the clock of the machine."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

log = logging.getLogger("fr_server.clock")

# The system corrects a clock that is near the truth by less than this, and it is followed. What is more is a jump.
_FOLLOWED_MS = 2_000


def wall_ms() -> int:
    """Milliseconds since 1970, UTC, as the machine tells them now."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Milliseconds since the machine was started, those included in which it slept; nobody can set them."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class SteadyClock:
    """Tells the time that it was at the start, and what has passed since; for several threads.

    Sessions, limits and keys go on rightly where the clock of the machine jumps by an hour or a day, either way. The
    jump is told in the log: where the clock is right only since then, a restart makes the server go by it. `wall` gives
    milliseconds since 1970, UTC, of a clock that may be set, `passed` milliseconds of one that cannot.
    """

    def __init__(self, wall: Callable[[], int] = wall_ms, passed: Callable[[], int] = boot_ms) -> None:
        self._wall = wall
        self._passed = passed
        self._lock = threading.Lock()
        self._ahead_ms = wall() - passed()
        self._jumped = False

    def __call__(self) -> int:
        """Milliseconds since 1970, UTC."""
        with self._lock:
            passed = self._passed()
            differs_ms = self._wall() - passed - self._ahead_ms
            if abs(differs_ms) <= _FOLLOWED_MS:
                self._ahead_ms += differs_ms
                self._jumped = False
            elif not self._jumped:
                self._jumped = True
                log.warning(
                    "The clock of the machine jumped by %d s; the server goes on by its own", differs_ms // 1000
                )
            return passed + self._ahead_ms

    def moment(self) -> datetime:
        """The time, UTC."""
        return datetime.fromtimestamp(self() / 1000, UTC)
