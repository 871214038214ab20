"""Makes a video file from pictures, with an encoder in a process that can do nothing else."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np

from fr_core.errors import InternalError, message
from fr_core.imaging.sandbox_process import sealed_memory, start_confined
from fr_core.types import U8
from fr_video.errors import EncodingFailed
from fr_video.messages import FINISH, MAX_WRITE_BYTES, MILLISECONDS, PICTURE, READY, fraction_json
from fr_video.values import VideoLimits

BOOT = "import sys; sys.path += sys.argv.pop(1).split(chr(0x0A)); from fr_video.encoder import main; main()"
"""The program of an encoder."""

_START_S = 60.0
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
            "rate": fraction_json(rate),
            "aspect": fraction_json(aspect),
        }
        if sound is not None:
            order |= {"demuxer": sound.demuxer, "start": fraction_json(sound.start)}
        try:
            self._start(json.dumps(order), None if sound is None else sound.file, boot)
        except OSError as error:
            raise InternalError(message("error.video.encoder_not_started")) from error
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, milliseconds: int, pixels: U8) -> None:
        """Add a picture, u8[H, W, 3] RGB, of `size`, at a time after that of the one before."""
        width, height = self._size
        if pixels.shape != (height, width, 3):
            raise EncodingFailed(message("error.video.size_changes"))
        np.copyto(np.frombuffer(self._memory, np.uint8, pixels.size).reshape(pixels.shape), pixels)
        self._ask(PICTURE + struct.pack(MILLISECONDS, milliseconds))

    def finish(self) -> str:
        """Write what is left; returns the version of the encoder."""
        return self._ask(FINISH).decode("ascii", "replace")

    def close(self) -> None:
        """End the encoder at once; harmless when done twice."""
        self._process.kill()
        self._process.wait()
        self._link.close()
        self._memory.close()

    def _start(self, order: str, sound: int | None, boot: str) -> None:
        with contextlib.ExitStack() as undone, contextlib.ExitStack() as theirs:
            self._link, link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undone.callback(self._link.close)
            theirs.callback(link.close)
            shared = sealed_memory(self._size[0] * self._size[1] * 3)
            theirs.callback(os.close, shared)
            self._memory = undone.enter_context(mmap.mmap(shared, 0))
            descriptors = [link.fileno(), shared]
            if sound is not None:
                own = os.open(f"/proc/self/fd/{sound}", os.O_RDONLY | os.O_CLOEXEC)  # with a position of its own
                theirs.callback(os.close, own)
                descriptors.append(own)
            numbers = self._limits.memory_mib, -(-self._limits.answer_ms // 1000), os.getpid()
            files = (*descriptors, -1)[:3]
            self._process = start_confined(boot, (*files, *numbers, order), descriptors, "av", "fr_video")
            undone.pop_all()

    def _wait_until_ready(self) -> None:
        self._link.settimeout(_START_S)
        said = self._received()
        if said != READY:
            self._process.kill()
            why = said.decode(errors="replace") or f"it ended with code {self._process.wait()}"
            raise InternalError(message("error.video.encoder_not_started")) from OSError(why)

    def _ask(self, what: bytes) -> bytes:
        """Ask for a step, and write what the encoder answers; returns the end of its answer."""
        self._link.settimeout(self._limits.answer_ms / 1000)
        with contextlib.suppress(OSError):  # it has ended: `_received` finds that out
            self._link.send(what)
        while True:
            said = self._received()
            match said[:1]:
                case b"D":
                    return said[1:]
                case b"W" if len(said) > _HEAD_BYTES:
                    (at,) = struct.unpack("<Q", said[1:_HEAD_BYTES])
                    if at + len(said) > self._limits.max_bytes:
                        raise EncodingFailed(message("error.video.encoder_broke"))
                    self._write(said[_HEAD_BYTES:], at)
                case _:
                    raise EncodingFailed(message("error.video.encoder_broke"))

    def _received(self) -> bytes:
        try:
            return self._link.recv(_HEAD_BYTES + MAX_WRITE_BYTES)
        except OSError:
            return b""

    def _write(self, data: bytes, at: int) -> None:
        while data:
            written = os.pwrite(self._output, data, at)
            data, at = data[written:], at + written
