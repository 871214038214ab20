"""Makes a video file from pictures, with an encoder in a process that can do nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np

from fr_core.errors import InternalError, message
from fr_core.imaging.confined import Confined
from fr_core.types import U8
from fr_video import messages
from fr_video.errors import EncodingFailed
from fr_video.values import VideoLimits

BOOT = "import sys; sys.path += sys.argv.pop(1).split(chr(0x0A)); from fr_video.encoder import main; main()"
"""The program of an encoder."""

_HEAD_BYTES = 9


@dataclass(frozen=True, slots=True)
class Sound:
    """The original whose sound is copied."""

    file: int  # descriptor, open for reading
    demuxer: str  # of `DEMUXERS`
    start: Fraction  # seconds at which its first picture is


class Encoder:
    """Writes pictures to an open file as VP9 in WebM or Matroska. A context manager that ends the encoder.

    Args:
        output: descriptor of the file, open for writing.
        container: "webm", or "matroska", which holds sound of any codec.
        size: width and height of every picture, pixels.
        rate: frames for each second, for players; each picture has its own time.
        aspect: width of a pixel by its height.
        limits: of memory, time for each picture, and bytes of the file.
        sound: copied from an original; None = no sound.

    Raises `InternalError`: the encoder could not be started. Every method raises `EncodingFailed`: the encoder crashed,
    took more than the limits, or wrote beyond them.
    """

    def __init__(
        self,
        output: int,
        container: str,
        size: tuple[int, int],
        rate: Fraction,
        aspect: Fraction,
        limits: VideoLimits,
        sound: Sound | None = None,
        boot: str = BOOT,
    ) -> None:
        self._output = output
        self._limits = limits
        self._size = size
        order: dict[str, Any] = {
            "container": container,
            "size": size,
            "rate": messages.fraction_json(rate),
            "aspect": messages.fraction_json(aspect),
        }
        if sound is not None:
            order |= {"demuxer": sound.demuxer, "start": messages.fraction_json(sound.start)}
        numbers = limits.memory_mib, -(-limits.answer_ms // 1000), os.getpid()
        file, absent = (None, (-1,)) if sound is None else (sound.file, ())
        try:
            self._worker = Confined(
                boot,
                size[0] * size[1] * 3,
                (*absent, *numbers, json.dumps(order)),
                ("av", "fr_video"),
                file,
            )
        except OSError as error:
            raise InternalError(message("error.video.encoder_not_started")) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, milliseconds: int, pixels: U8) -> None:
        """Add a picture, u8[H, W, 3] RGB, of `size`, at a time after that of the one before."""
        width, height = self._size
        if pixels.shape != (height, width, 3):
            raise EncodingFailed(message("error.video.size_changes"))
        np.copyto(np.frombuffer(self._worker.memory, np.uint8, pixels.size).reshape(pixels.shape), pixels)
        self._ask(messages.PICTURE + struct.pack(messages.MILLISECONDS, milliseconds))

    def finish(self) -> tuple[str, bool]:
        """Write what is left; returns the version of the encoder, and whether sound was copied."""
        said = self._ask(messages.FINISH)
        return said[1:].decode("ascii", "replace"), said[:1] == messages.WITH_SOUND

    def close(self) -> None:
        """End the encoder at once; harmless when done twice."""
        self._worker.close()

    def _ask(self, what: bytes) -> bytes:
        """Ask for a step, and write what the encoder answers; returns the end of its answer."""
        self._worker.link.settimeout(self._limits.answer_ms / 1000)
        with contextlib.suppress(OSError):  # it has ended: `_received` finds that out
            self._worker.link.send(what)
        while True:
            said = self._received()
            match said[:1]:
                case messages.DONE:
                    return said[1:]
                case messages.WRITE if len(said) > _HEAD_BYTES:
                    (at,) = struct.unpack("<Q", said[1:_HEAD_BYTES])
                    if at + len(said) > self._limits.max_bytes:
                        raise EncodingFailed(message("error.video.encoder_broke"))
                    self._write(said[_HEAD_BYTES:], at)
                case _:
                    raise EncodingFailed(message("error.video.encoder_broke"))

    def _received(self) -> bytes:
        try:
            return self._worker.link.recv(_HEAD_BYTES + messages.MAX_WRITE_BYTES)
        except OSError:
            return b""

    def _write(self, data: bytes, at: int) -> None:
        while data:
            written = os.pwrite(self._output, data, at)
            data, at = data[written:], at + written
