"""Heartbeats between the engine's process and its front-ends: each hears when the event loop of the other is silent."""

from __future__ import annotations

import time
from collections.abc import Callable

BEAT_S = 0.5
"""Between two beats."""
# Three seconds. A loop that has a share of a busy machine, however small, answers sooner.
_SILENT_BEATS = 6
# A minute: before a process answers for the first time, it imports what it needs. A flood of calls, or the end of the
# connections that bring it, can keep a process busy for several seconds in one step, and it goes on after that.
_FIRST_BEATS = _BUSY_BEATS = 120
# A process that does so much between two beats is busy: one that is stopped, or whose threads wait, does less.
_BUSY_S = BEAT_S / 5


class Heartbeat:
    """Says whether another process is silent: stopped, or hung. `heard` may be called from any thread.

    It counts beats of its own process, not seconds, and no beat that came late: a process that was itself stopped,
    suspended with the machine, or kept from the processor, cannot say that another one was silent meanwhile. A process
    that does not answer because it is busy has more time to answer than one that does nothing.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s = clock()
        self._unheard = self._idle = 0
        self._patience = _FIRST_BEATS
        self._processor_s = 0.0

    def heard(self) -> None:
        """Note that the other process has answered."""
        self._unheard = self._idle = 0
        self._patience = _SILENT_BEATS

    def beat(self, processor_s: float = 0.0) -> bool:
        """Note a beat of this process, `BEAT_S` after the one before; return whether the other one is silent.

        Args:
            processor_s: seconds of processor time that the other process has used so far; 0 = not known.
        """
        now_s = self._clock()
        if now_s - self._last_s < 2 * BEAT_S:
            self._unheard += 1
            self._idle = 0 if processor_s - self._processor_s >= _BUSY_S else self._idle + 1
        self._last_s, self._processor_s = now_s, processor_s
        return self._idle > self._patience or self._unheard > _BUSY_BEATS
