"""Reads a video file: hashes it, and takes frames from a decoder that it does not trust."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from fr_core.errors import ConfigInvalid, InternalError, message
from fr_core.imaging.confine import unavailable
from fr_core.imaging.confined import Confined
from fr_core.types import frozen_array
from fr_video import messages
from fr_video.containers import HEAD_BYTES, sniff
from fr_video.errors import VideoChanged, VideoTooCostly, VideoTooLarge, VideoUnreadable, VideoUnsupported
from fr_video.order import Order
from fr_video.values import EVERY_FRAME, Ended, Ending, Frame, Sampling, StreamFacts, VideoLimits

BOOT = "import sys; sys.path += sys.argv.pop(1).split(chr(0x0A)); from fr_video.worker import main; main()"
"""The program of a decoder."""

_BLOCK_BYTES = 2**20
_MOST_WANTED = 4_000  # times that go to the decoder; of more, every frame is decoded to pixels
_MOST_GAPS = 1_000  # as many packets as the decoder lets be damaged


class VideoFile:
    """An open video file, hashed once. A context manager.

    Args:
        path: a regular file.
        limits: of the file; None = the defaults.
        boot: the program of the decoder.

    Raises:
        OSError: the file cannot be read.
        VideoTooLarge: more bytes than `limits.max_bytes`.
        VideoUnreadable: empty, no regular file, or of no known container.
        ConfigInvalid: this system has no sandbox for the decoder.
        ModuleNotFoundError: PyAV is not installed.
    """

    def __init__(self, path: Path, limits: VideoLimits | None = None, boot: str = BOOT) -> None:
        if (why := unavailable()) is not None:
            raise ConfigInvalid(message("error.video.no_sandbox", why=why), key="video")
        if importlib.util.find_spec("av") is None:  # which only the decoder imports
            raise ModuleNotFoundError("PyAV is not installed", name="av")
        self.limits = limits or VideoLimits()
        self._boot = boot
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would be waited for
        try:
            self._state = self._state_now()
            self.size_bytes = self._require_size()
            demuxer = sniff(os.pread(self._file, HEAD_BYTES, 0))
            if demuxer is None:
                raise VideoUnreadable(message("error.video.no_container"))
            self.demuxer = demuxer
            self.sha256 = self._hash()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file

    def sampled(self, sampling: Sampling) -> Reading:
        """Begin to read the frames that a sampling takes; raises what `Reading` raises."""
        return self._read(sampling, None)

    def frames_at(self, wanted: Sequence[int]) -> Reading:
        """Begin to read the frames at these times, in ticks, and perhaps others; raises what `Reading` raises."""
        return self._read(EVERY_FRAME, tuple(wanted) if len(wanted) <= _MOST_WANTED else None)

    def require_unchanged(self) -> None:
        """Raise `VideoChanged` if the file was written to since it was opened."""
        if self._state_now() != self._state:
            raise VideoChanged(message("error.video.changed"))

    def _read(self, sampling: Sampling, wanted: tuple[int, ...] | None) -> Reading:
        limits = self.limits
        order = Order(self.demuxer, limits.max_pixels, limits.max_frames, limits.max_seconds, sampling, wanted)
        return Reading(self._file, order, limits, self._boot)

    def _state_now(self) -> tuple[int, int, int]:
        now = os.fstat(self._file)
        return now.st_mode, now.st_size, now.st_mtime_ns

    def _require_size(self) -> int:
        mode, size, _ = self._state
        if not stat.S_ISREG(mode) or not size:
            raise VideoUnreadable(message("error.video.no_file"))
        if size > self.limits.max_bytes:
            most = self.limits.max_bytes
            raise VideoTooLarge(message("error.video.too_many_bytes", size=size, most=most), limit=str(most))
        return size

    def _hash(self) -> str:
        digest, at = hashlib.sha256(), 0
        while block := os.pread(self._file, _BLOCK_BYTES, at):
            digest.update(block)
            at += len(block)
        return digest.hexdigest()


class Reading:
    """One pass through a video file or a pipe: an iterator of frames, and a context manager that ends the decoder.

    `ending` says how far the file was read, once the frames are exhausted. A decoder that crashes, or takes more than
    the limits after a frame, ends the pass; the frames before that stay valid. The decoder works ahead by one frame,
    and is killed when the thread that began the pass ends.

    Raises:
        VideoUnreadable: damaged before the first frame, or crashed the decoder there.
        VideoUnsupported: no picture, or of another codec.
        VideoTooLarge: frames of more pixels than the limit.
        VideoTooCostly: more time or memory than the limit, before the first frame.
        InternalError: the decoder could not be started.
    """

    def __init__(self, file: int, order: Order, limits: VideoLimits, boot: str = BOOT) -> None:
        self.ending: Ending | None = None
        self._limits = limits
        self._last: Fraction | None = None
        self._decoded = self._untimed = 0
        self._gaps: list[tuple[Fraction, Fraction]] = []
        self._taken = 0  # of these
        numbers = limits.memory_mib, -(-limits.answer_ms // 1000), os.getpid()
        arguments = (*numbers, order.to_json())
        try:
            self._worker = Confined(boot, limits.max_pixels * 3, arguments, ("av", "fr_video"), file)
        except OSError as error:
            raise InternalError(message("error.video.decoder_not_started")) from error
        try:
            self._ask()
            self.facts = self._opened()
        except BaseException:
            self.close()
            raise
        self._frames = self._run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    @property
    def pid(self) -> int:
        """Process id of the decoder."""
        return self._worker.process.pid

    def kill(self) -> None:
        """End the decoder at once, from any thread; the pass ends with it."""
        self._worker.process.kill()

    def take_gaps(self) -> list[tuple[Fraction, Fraction]]:
        """Return the gaps since the last call, and forget all but the last."""
        taken, self._gaps, self._taken = self._gaps[self._taken :], self._gaps[-1:], len(self._gaps[-1:])
        return taken

    def close(self) -> None:
        """End the decoder at once, whatever it does; harmless when done twice."""
        self._worker.close()

    def _opened(self) -> StreamFacts:
        why, answer = self._answer()
        if why is None:
            kind, rest = answer[:1], answer[1:]
            if kind == messages.FACTS:
                with contextlib.suppress(messages.Nonsense):
                    facts = messages.read_facts(rest)
                    if facts.width * facts.height <= self._limits.max_pixels:
                        self._ask()
                        return facts
            self._require_accepted(answer)
            why = Ended.BROKE_DECODER
        raise self._refusal(why)

    def _run(self) -> Iterator[Frame]:
        while self.ending is None:
            why, answer = self._answer()
            kind, rest = answer[:1], answer[1:]
            if why is None:
                try:
                    if kind == messages.FRAME:
                        frame = self._frame(messages.read_frame(rest, self._limits.max_pixels))
                        self._ask()
                        yield frame
                        continue
                    if kind in (messages.STEP, messages.GAP):
                        if kind == messages.GAP:
                            self._note_gap(messages.read_gap(rest))
                        self._ask()
                        continue
                    self._require_accepted(answer)
                    self.ending = self._ended(messages.read_ending(rest if kind == messages.ENDING else b""))
                    return
                except messages.Nonsense:
                    why = Ended.BROKE_DECODER
            if self._last is None:
                raise self._refusal(why)
            self.ending = Ending(why, self._decoded, self._last, tuple(self._gaps), self._untimed)

    def _ended(self, head: messages.EndHead) -> Ending:
        read_until = self._time_of(head.last_pts) if head.decoded > head.untimed else None
        return Ending(head.why, head.decoded, read_until, tuple(self._gaps), head.untimed)

    def _note_gap(self, gap: tuple[int, int]) -> None:
        begin, end = map(self._time_of, gap)
        if len(self._gaps) == _MOST_GAPS or (self._gaps and begin < self._gaps[-1][1]):
            raise messages.Nonsense("gaps out of order")
        self._gaps.append((begin, end))

    def _time_of(self, pts: int) -> Fraction:
        return (pts - (self.facts.start_pts or 0)) * self.facts.time_base

    def _frame(self, head: messages.FrameHead) -> Frame:
        time = self._time_of(head.pts)
        if self._last is not None and time <= self._last:
            raise messages.Nonsense("a frame that is not after the one before")
        shape = head.height, head.width, 3
        pixels = np.frombuffer(self._worker.memory, np.uint8, head.width * head.height * 3).reshape(shape).copy()
        self._last, self._decoded, self._untimed = time, head.number + 1, head.untimed
        digest = hashlib.sha256(pixels.data).hexdigest()
        return Frame(head.number, head.pts, time, head.rotation, frozen_array(pixels), digest)

    def _require_accepted(self, answer: bytes) -> None:
        """Raise the refusal of a file, and do nothing for another answer."""
        most = self._limits.max_pixels
        match answer[:1], answer[1:].decode("ascii", "replace"):
            case messages.REFUSED, messages.UNREADABLE:
                raise VideoUnreadable(message("error.video.damaged_first"))
            case messages.REFUSED, messages.UNSUPPORTED:
                raise VideoUnsupported(message("error.video.codec"))
            case messages.REFUSED, messages.TOO_MANY_PIXELS:
                raise VideoTooLarge(message("error.video.too_many_pixels", most=most), limit=str(most))

    def _refusal(self, why: Ended) -> VideoUnreadable | VideoTooCostly:
        if why is Ended.TOO_COSTLY:
            return VideoTooCostly(message("error.video.too_costly"))
        return VideoUnreadable(message("error.video.broke_decoder"))

    def _ask(self) -> None:
        with contextlib.suppress(OSError):  # it has ended: `_answer` finds that out
            self._worker.link.send(messages.ASK)

    def _answer(self) -> tuple[Ended | None, bytes]:
        """Return the next answer; or why there is none, and nothing."""
        self._worker.link.settimeout(self._limits.answer_ms / 1000)
        try:
            answer = self._worker.link.recv(messages.MAX_MESSAGE_BYTES)
        except TimeoutError:
            return Ended.TOO_COSTLY, b""
        except OSError:
            answer = b""
        if answer[:1] == messages.OUT_OF_MEMORY:
            return Ended.TOO_COSTLY, b""
        if answer:
            return None, answer
        ended = self._worker.end()
        # SIGKILL is ours, an operator's, or the kernel's for want of memory.
        costly = -ended in (signal.SIGXCPU, signal.SIGKILL)
        return (Ended.TOO_COSTLY if costly else Ended.BROKE_DECODER), b""
