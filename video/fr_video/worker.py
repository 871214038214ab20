"""Runs the decoder: a process that reads one video file and can do nothing else.

Only `fr_video.reading` starts it. It imports PyAV, confines itself with `fr_core.imaging.confine`, opens the file by a
descriptor that it was given, then gives a frame for each request until its reader hangs up. FFmpeg uses one thread.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.subtitles.codeccontext  # here, because PyAV imports it later, when the process cannot open files
import av.subtitles.stream
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Interpolation, VideoReformatter

from fr_core.imaging.confine import READY, confine, die_with, limit_processor_s
from fr_video import messages
from fr_video.containers import CODECS
from fr_video.messages import EndHead, FrameHead
from fr_video.order import Order, Sampler
from fr_video.values import Ended, StreamFacts

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from fr_core.types import U8

# The same file gives the same pixels on any processor: no shortcuts of its own in turning luma and chroma into RGB.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
# FFmpeg's names of formats of 8 bits whose first plane is the luma.
_PLANAR = frozenset(f"yuv{kind}{chroma}p" for kind in ("", "j") for chroma in ("420", "422", "444")) | {"nv12", "gray"}
# Packets that could not be decoded; a file with more is read no further.
_MOST_DAMAGED = 1_000
_BYTES_OF_FRAME = 8  # for each pixel: a frame of 10 bits with its chroma, and what FFmpeg keeps beside it
_AV1 = "libdav1d"  # FFmpeg's decoder of AV1; all others are called as their codecs
_EARLY_S = 1  # as `Ended.EARLY` has it


class _Refused(Exception):
    """The file is refused; the argument is a word of `messages`."""


def main() -> None:
    """Serve until the reader hangs up; the arguments are those that `fr_video.reading` gives."""
    link, shared, file, memory_mib, answer_s, parent = map(int, sys.argv[1:7])
    order = Order.from_json(sys.argv[7])
    av.logging.set_level(av.logging.PANIC)
    memory = mmap.mmap(shared, 0)
    os.close(shared)
    source = os.fdopen(file, "rb", buffering=0)
    try:
        die_with(parent)
        confine(memory_mib)
    except OSError as error:
        os.write(link, str(error).encode()[: messages.MAX_MESSAGE_BYTES])
        raise
    os.write(link, READY)
    answers = _answers(source, order, memory)
    while os.read(link, 1):
        limit_processor_s(answer_s)
        os.write(link, next(answers))


def _answers(source: Any, order: Order, memory: mmap.mmap) -> Iterator[bytes]:
    try:
        yield from _Decoding(source, order, memory).answers()
    except _Refused as refused:
        yield messages.REFUSED + str(refused).encode()
    except MemoryError:
        yield messages.OUT_OF_MEMORY


class _Decoding:
    def __init__(self, source: Any, order: Order, memory: mmap.mmap) -> None:
        self._order = order
        self._memory = memory
        self._container = _opened(source, order.demuxer)
        self._stream = _video_of(self._container)
        self._facts = _facts(self._container, self._stream)
        self._require_pixels(self._facts.width, self._facts.height)
        self._wanted = None if order.wanted is None else frozenset(order.wanted)
        self._sampler = Sampler(order.sampling, self._facts.time_base)
        self._to_rgb, self._to_luma = VideoReformatter(), VideoReformatter()
        self._decoded = self._untimed = 0
        self._first: int | None = None
        self._last: int | None = None
        self._damaged = False  # since the last frame

    def answers(self) -> Iterator[bytes]:
        yield messages.pack_facts(self._facts)
        frames, unanswered, why = self._frames(), 0, Ended.WHOLE
        while why is Ended.WHOLE:
            try:
                frame = next(frames, None)
            except MemoryError:  # which may be one of FFmpeg, too
                raise
            except FFmpegError:
                why = Ended.DAMAGED
                break
            if frame is None:
                why = self._at_end()
                break
            before = self._last
            taken = self._take(frame)
            if self._damaged and self._last != before:
                self._damaged = False
                yield from self._gap(before)
            why = self._limit()
            unanswered += 1
            if taken is not None or unanswered == messages.STEP_FRAMES:
                yield messages.STEP if taken is None else taken
                unanswered = 0
        if self._decoded == 0 and why is not Ended.MAX_FRAMES:
            raise _Refused(messages.UNREADABLE)
        yield messages.pack_ending(EndHead(why, self._decoded, self._untimed, self._last or 0))

    def _frames(self) -> Iterator[VideoFrame]:
        """Yield the sound frames in the order of presentation; after damage, from the next key frame on.

        Raises `FFmpegError`: the container is damaged, or there is too much damage.
        """
        damaged = 0
        for packet in self._container.demux(self._stream):
            if self._damaged and packet.size and not packet.is_keyframe:
                continue
            try:
                frames = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise av.error.InvalidDataError(1, "marked as damaged")
            except MemoryError:
                raise
            except FFmpegError:
                self._require_memory()
                damaged += 1
                if damaged > _MOST_DAMAGED:
                    raise
                self._damaged = True
                self._stream.codec_context.flush_buffers()
                continue
            yield from frames

    def _require_memory(self) -> None:
        """Raise `MemoryError` where a frame would find no room: FFmpeg then reports damage, too."""
        bytearray(self._facts.width * self._facts.height * _BYTES_OF_FRAME)

    def _gap(self, before: int | None) -> Iterator[bytes]:
        """Tell what damage left out before the last frame; `before`: the time of the frame before it."""
        begin = self._facts.start_pts if before is None else before
        if self._last is not None:
            if begin is None or begin >= self._last:
                begin = self._last - 1  # the file does not say since when
            yield messages.pack_gap(begin, self._last)

    def _take(self, frame: VideoFrame) -> bytes | None:
        """Count a frame; returns the answer where it is taken."""
        number, pts = self._decoded, _ticks(frame, self._facts.time_base)
        self._decoded += 1
        if pts is None or (self._last is not None and pts <= self._last):
            self._untimed += 1
            return None
        self._last = pts
        if self._first is None:
            self._first = pts
        if not self._wants(frame, pts):
            return None
        self._require_pixels(frame.width, frame.height)
        rotation = round(frame.rotation / 90) * 90 % 360
        pixels = np.rot90(self._converted(self._to_rgb, frame, "rgb24"), rotation // 90)
        high, wide, _ = pixels.shape
        np.copyto(np.frombuffer(self._memory, np.uint8, pixels.size).reshape(pixels.shape), pixels)
        return messages.pack_frame(FrameHead(number, pts, wide, high, rotation, self._untimed))

    def _wants(self, frame: VideoFrame, pts: int) -> bool:
        if self._wanted is not None:
            return pts in self._wanted
        if not self._sampler.may_take(pts):
            return False
        return self._sampler.takes(pts, self._luma(frame))

    def _luma(self, frame: VideoFrame) -> U8:
        """Return the luma, u8[H, W]: as the frame has it where that is a plane of bytes, which costs nothing."""
        if frame.format.name not in _PLANAR:
            return self._converted(self._to_luma, frame, "gray")
        plane = frame.planes[0]
        # A plane is a buffer, which its stubs do not say.
        rows: U8 = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
        return rows[: frame.height, : frame.width]

    def _converted(self, reformatter: VideoReformatter, frame: VideoFrame, form: str) -> U8:
        return reformatter.reformat(frame, format=form, interpolation=_EXACT, threads=1).to_ndarray().view(np.uint8)

    def _limit(self) -> Ended:
        if self._decoded >= self._order.max_frames:
            return Ended.MAX_FRAMES
        if self._last is not None and self._first is not None:
            seconds = (self._last - self._first) * self._facts.time_base
            if seconds >= self._order.max_seconds:
                return Ended.MAX_SECONDS
            if self._wanted and self._last >= max(self._wanted):
                return Ended.MAX_FRAMES  # no further frame is wanted
        return Ended.WHOLE

    def _at_end(self) -> Ended:
        if self._damaged:
            return Ended.DAMAGED
        ticks, start = self._facts.duration_ticks, self._facts.start_pts or 0
        if ticks is None or self._last is None:
            return Ended.WHOLE
        missing = (start + ticks - self._last) * self._facts.time_base
        return Ended.EARLY if missing > _EARLY_S + 2 / (self._facts.average_rate or 1) else Ended.WHOLE

    def _require_pixels(self, width: int, height: int) -> None:
        if width * height > self._order.max_pixels:
            raise _Refused(messages.TOO_MANY_PIXELS)


def _opened(source: Any, demuxer: str) -> InputContainer:
    # Nothing else is opened, and no other decoder is tried, such as one for sound.
    options = {"protocol_whitelist": "", "codec_whitelist": ",".join((*CODECS, _AV1))}
    try:
        container: InputContainer = av.open(
            source, "r", format=demuxer, metadata_errors="replace", container_options=options
        )
        return container
    except MemoryError:
        raise
    except FFmpegError as error:
        raise _Refused(messages.UNREADABLE) from error


def _video_of(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise _Refused(messages.UNSUPPORTED)
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None or context.name not in (*CODECS, _AV1):  # type: ignore[redundant-expr] # FFmpeg lacks a decoder
        raise _Refused(messages.UNSUPPORTED)
    context.thread_type, context.thread_count = "NONE", 1
    # A decoder that conceals damage would show a face that the camera never saw.
    context.options = {"err_detect": "explode"}
    return stream


def _facts(container: InputContainer, stream: VideoStream) -> StreamFacts:
    context, ticks = stream.codec_context, stream.duration
    if not stream.time_base or context.width < 1 or context.height < 1:
        raise _Refused(messages.UNREADABLE)
    if ticks is None and container.duration is not None:
        ticks = int(Fraction(container.duration, av.time_base) / stream.time_base)
    versions = (f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavcodec", "libswscale"))
    return StreamFacts(
        container=container.format.name,
        codec=stream.codec.canonical_name,
        width=context.width,
        height=context.height,
        pixel_format=context.pix_fmt or "unknown",
        time_base=stream.time_base,
        start_pts=stream.start_time,
        duration_ticks=ticks,
        average_rate=stream.average_rate or None,
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        decoder=f"PyAV {av.__version__}, {', '.join(versions)}",
    )


def _ticks(frame: VideoFrame, time_base: Fraction) -> int | None:
    """Return the presentation time of a frame in ticks of the stream."""
    if frame.pts is None or frame.time_base is None or frame.time_base == time_base:
        return frame.pts
    return int(frame.pts * frame.time_base / time_base)
