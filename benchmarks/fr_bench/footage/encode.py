"""Encodes made footage. Nothing else in FR Core loads FFmpeg outside a sandbox."""

import struct
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from fr_core.types import U8


def encode(
    path: Path,
    pictures: Iterable[tuple[Fraction, U8]],
    *,
    codec: str = "libx264",
    rate: Fraction = Fraction(25),
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container: str | None = None,
    time_base: Fraction = Fraction(1, 90_000),
) -> Path:
    """Write (time in seconds, u8[H, W, 3] RGB) to a video file; by default H.264 of good quality."""
    with av.open(str(path), "w", format=container) as output:
        stream: Any = None
        for time, picture in pictures:
            if stream is None:
                stream = output.add_stream(codec, rate=rate)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pixel_format
                stream.options = dict(options if options is not None else {"crf": "20", "preset": "veryfast"})
                stream.codec_context.time_base = time_base
                stream.thread_count = 1
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base, frame.pts = time_base, int(time / time_base)
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    return path


_QUARTER_TURN_CLOCKWISE = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
_UPRIGHT = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def turned(path: Path) -> Path:
    """Mark an MP4 as one to be turned by 90 degrees clockwise, as a phone does that is held upright."""
    data = path.read_bytes()
    at = data.index(_UPRIGHT, data.index(b"tkhd"))
    path.write_bytes(data[:at] + _QUARTER_TURN_CLOCKWISE + data[at + len(_UPRIGHT) :])
    return path
