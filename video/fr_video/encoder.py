"""Runs the encoder: a process that makes a video file from pictures, and can do nothing else.

Only `fr_video.encoding` starts it. It imports PyAV, confines itself with `fr_core.imaging.confine`, and then takes one
picture for each request from shared memory. It cannot open its output: it tells its starter which bytes to write where.

The encoder is libvpx (BSD-3-Clause), never x264 or x265 (GPL-2.0-or-later), which PyAV's wheel also holds.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.subtitles.codeccontext  # here, because PyAV imports it later, when the process cannot open files
import av.subtitles.stream
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from fr_core.imaging.confine import READY, confine, die_with, limit_processor_s
from fr_video.messages import DONE, FINISH, MAX_WRITE_BYTES, MILLISECONDS, WITH_SOUND, WITHOUT_SOUND, WRITE

CODEC = "libvpx-vp9"
# Constant quality, near the source: https://trac.ffmpeg.org/wiki/Encode/VP9 recommends 15 to 35, less being better.
# A frame is written before the next is taken, so that memory stays bounded.
_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0", "lag-in-frames": "0", "auto-alt-ref": "0"}
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT


def main() -> None:
    """Serve until the last picture; the arguments are those that `fr_video.encoding` gives."""
    link, shared, sound, memory_mib, answer_s, parent = map(int, sys.argv[1:7])
    order = json.loads(sys.argv[7])
    av.logging.set_level(av.logging.PANIC)
    memory = mmap.mmap(shared, 0)
    os.close(shared)
    source = None if sound < 0 else os.fdopen(sound, "rb", buffering=0)
    try:
        die_with(parent)
        confine(memory_mib)
    except OSError as error:
        os.write(link, str(error).encode()[:MAX_WRITE_BYTES])
        raise
    os.write(link, READY)
    encoding = _Encoding(link, order, source)
    while asked := os.read(link, 64):
        limit_processor_s(answer_s)
        if asked[:1] == FINISH:
            encoding.finish()
            sounds = WITH_SOUND if encoding.has_sound else WITHOUT_SOUND
            os.write(
                link, DONE + sounds + f"PyAV {av.__version__}, libavcodec {_version('libavcodec')}, {CODEC}".encode()
            )
            return
        (milliseconds,) = struct.unpack(MILLISECONDS, asked[1:])
        encoding.add(memory, milliseconds)
        os.write(link, DONE)


def _version(library: str) -> str:
    return ".".join(map(str, av.library_versions[library]))


class _Output:
    """The file as FFmpeg writes it."""

    def __init__(self, link: int) -> None:
        self._link = link
        self._at = self._size = 0

    def write(self, data: bytes) -> int:
        for start in range(0, len(data), MAX_WRITE_BYTES):
            part = bytes(data[start : start + MAX_WRITE_BYTES])
            os.write(self._link, WRITE + struct.pack("<Q", self._at + start) + part)
        self._at += len(data)
        self._size = max(self._size, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True


class _Encoding:
    def __init__(self, link: int, order: Any, source: Any) -> None:
        self._width, self._height = order["size"]
        # Bit-exact: no version, no random id, no date.
        self._container = av.open(_Output(link), "w", format=order["container"], options={"fflags": "+bitexact"})
        stream: Any = self._container.add_stream(CODEC, rate=Fraction(*order["rate"]))
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.options = _OPTIONS
        context = stream.codec_context
        context.time_base, context.thread_count = Fraction(1, 1000), 1
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        context.sample_aspect_ratio = Fraction(*order["aspect"])
        self._stream = stream
        self._sound = None if source is None else self._opened_sound(source, order)
        self._to_yuv = VideoReformatter()
        self.has_sound = False

    def add(self, memory: mmap.mmap, milliseconds: int) -> None:
        shape = self._height, self._width, 3
        pixels = np.frombuffer(memory, np.uint8, self._height * self._width * 3).reshape(shape)
        frame = self._to_yuv.reformat(
            av.VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
            threads=1,
        )
        frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self._add_sound(Fraction(milliseconds, 1000))

    def finish(self) -> None:
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._add_sound(None)
        self._container.close()

    def _opened_sound(self, source: Any, order: Any) -> Iterator[tuple[Fraction, Any]]:
        """Copy the sound of the original; nothing of it is decoded."""
        options = {"protocol_whitelist": "", "codec_whitelist": "none"}
        original = av.open(source, "r", format=order["demuxer"], metadata_errors="replace", container_options=options)
        streams = {one.index: self._container.add_stream_from_template(one) for one in original.streams.audio}
        start = Fraction(*order["start"])

        def packets() -> Iterator[tuple[Fraction, Any]]:
            try:
                for packet in original.demux(*original.streams.audio) if streams else ():
                    if packet.dts is None or packet.pts is None or not packet.time_base:
                        continue
                    shift = int(start / packet.time_base)
                    packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                    if packet.dts >= 0:
                        packet.stream = streams[packet.stream.index]
                        yield packet.pts * packet.time_base, packet
            except FFmpegError:
                return  # the original is damaged from here on

        self._waiting: tuple[Fraction, Any] | None = None
        return packets()

    def _add_sound(self, until: Fraction | None) -> None:
        """Write the sound up to a time; None = to its end."""
        if self._sound is None:
            return
        while True:
            self._waiting = self._waiting or next(self._sound, None)
            if self._waiting is None or (until is not None and self._waiting[0] > until):
                return
            self._container.mux(self._waiting[1])
            self.has_sound = True
            self._waiting = None
