"""Detects a silent event loop by heartbeats between the engine's process and its front-ends."""

import time
from collections.abc import Callable

BEAT_S = 0.5  # seconds between two beats
# Three seconds. Even on a busy machine an idle loop answers sooner.
_SILENT_BEATS = 6
# A minute, because a process imports its modules before it answers for the first time. A flood of calls, or the end of
# its connections, can also keep a process busy for several seconds in one step.
_FIRST_BEATS = _BUSY_BEATS = 120
# A process is busy if it uses this much processor time between two beats. A stopped one uses none.
_BUSY_S = BEAT_S / 5


class Heartbeat:
    """Detects whether another process is silent (stopped or hung). Any thread may call `heard`.

    It counts beats of its own process, not seconds, and ignores late beats: a process that was itself stopped,
    suspended with the machine, or got no processor time, cannot say that another one was silent. A process that is
    busy has more time to answer than one that does nothing.
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
        """Note a beat, `BEAT_S` after the last, and the processor seconds (0 = unknown) of the other; is it silent?"""
        now_s = self._clock()
        if now_s - self._last_s < 2 * BEAT_S:
            self._unheard += 1
            self._idle = 0 if processor_s - self._processor_s >= _BUSY_S else self._idle + 1
        self._last_s, self._processor_s = now_s, processor_s
        return self._idle > self._patience or self._unheard > _BUSY_BEATS
