"""Heartbeats between the engine's process and its front-ends: each hears when the event loop of the other is silent."""

from __future__ import annotations

import time
from collections.abc import Callable

BEAT_S = 0.5
"""Between two beats."""
# Three seconds. A loop that has a share of a busy machine, however small, answers sooner.
_SILENT_BEATS = 6
# A minute: before a process answers for the first time, it imports what it needs.
_FIRST_BEATS = 120


class Heartbeat:
    """Says whether another process is silent: stopped, or hung. `heard` may be called from any thread.

    It counts beats of its own process, not seconds, and no beat that came late: a process that was itself stopped,
    suspended with the machine, or kept from the processor, cannot say that another one was silent meanwhile.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s = clock()
        self._unheard = 0
        self._patience = _FIRST_BEATS

    def heard(self) -> None:
        """Note that the other process has answered."""
        self._unheard = 0
        self._patience = _SILENT_BEATS

    def beat(self) -> bool:
        """Note a beat of this process, `BEAT_S` after the one before; return whether the other one is silent."""
        now_s = self._clock()
        if now_s - self._last_s < 2 * BEAT_S:
            self._unheard += 1
        self._last_s = now_s
        return self._unheard > self._patience
