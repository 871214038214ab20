"""Decodes a live stream in a thread, and holds its newest frames for a reader that may be too slow for all of them."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Self

from fr_core.errors import FrError
from fr_video.order import Order
from fr_video.reading import Reading
from fr_video.sources import Feed
from fr_video.values import Ended, Frame, Sampling, VideoLimits

_HELD = 4  # frames that wait for the reader
_ENDLESS = 2**40
# The time of a transport stream has 33 bits of 90 kHz, 26.5 hours; a longer session is renewed.
_LONGEST_S = 86_400
_BROKE = (Ended.BROKE_DECODER, Ended.TOO_COSTLY)
_MISSING_S = 1  # seconds beyond the interval of the sampling from which frames are missing


class Why(StrEnum):
    """The reason for a gap."""

    LOST = "LOST"  # the connection broke, was silent, or there was none
    DAMAGED = "DAMAGED"  # frames were damaged, and left out
    MISSING = "MISSING"  # the stream went on without frames
    UNREADABLE = "UNREADABLE"  # the stream, or its decoder, ended with an error
    RENEWED = "RENEWED"  # the session had lasted for a day


@dataclass(frozen=True, slots=True)
class Hole:
    """A part of a session without frames, in seconds of the stream."""

    begin: Fraction
    end: Fraction
    why: Why


class Live:
    """A session of a live stream, which it disconnects at its end. A context manager.

    `take` gives the frames that `sampling` takes, the oldest first. If the reader is slower, the oldest that wait are
    dropped, and counted. `why` says why the session ended.
    """

    def __init__(self, feed: Feed, sampling: Sampling, limits: VideoLimits) -> None:
        self.error: FrError | None = None  # that ended the session
        self.why = Why.LOST
        self._feed = feed
        self._sampling, self._limits = sampling, limits
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._holes: deque[Hole] = deque(maxlen=1_000)
        self._dropped = 0
        self._ended = self._closing = False
        self._last: Fraction | None = None
        self._reading: Reading | None = None
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._reading is not None:
                self._reading.kill()
        self._feed.hang_up()
        self._thread.join()
        self._feed.close()

    def take(self, timeout_s: float) -> Frame | None:
        """Return the next frame; None if there is none within the time, or the session has ended (`is_over`)."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended, timeout_s)
            return self._frames.popleft() if self._frames else None

    def holes(self) -> list[Hole]:
        """Return the parts without frames that were noticed since the last call."""
        with self._changed:
            found = list(self._holes)
            self._holes.clear()
            return found

    def take_dropped(self) -> int:
        """Return how many frames the reader did not get since the last call."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    @property
    def is_over(self) -> bool:
        """Return whether the session has ended and all its frames were taken."""
        with self._changed:
            return self._ended and not self._frames

    def _run(self) -> None:
        try:
            # In this thread, with which the decoder ends.
            order = Order("mpegts", self._limits.max_pixels, _ENDLESS, _ENDLESS, self._sampling)
            with Reading(self._feed.file, order, self._limits) as reading:
                with self._changed:
                    self._reading = reading
                for frame in reading:
                    if not self._hold(frame, reading):
                        break
                with self._changed:
                    self._reading = None
                    broke = reading.ending is not None and reading.ending.why in _BROKE
                    if broke and not self._closing:
                        self.why = Why.UNREADABLE
        except FrError as error:
            self.error, self.why = error, Why.UNREADABLE
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hold(self, frame: Frame, reading: Reading) -> bool:
        """Hold a frame; returns whether the session goes on."""
        damaged = [Hole(begin, end, Why.DAMAGED) for begin, end in reading.take_gaps()]
        with self._changed:
            if self._closing:
                return False
            before = damaged[-1].end if damaged else self._last
            self._holes.extend(damaged)
            if before is not None and frame.time - before > self._sampling.interval + _MISSING_S:
                self._holes.append(Hole(before, frame.time, Why.MISSING))
            self._last = frame.time
            if len(self._frames) == _HELD:
                self._frames.popleft()
                self._dropped += 1
            self._frames.append(frame)
            self._changed.notify_all()
        if frame.time > _LONGEST_S:
            self.why = Why.RENEWED
        return frame.time <= _LONGEST_S
