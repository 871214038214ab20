"""Imaging, one process of the sandbox as its parent sees it: started, asked, disbelieved, ended."""

import mmap
import os
import signal
import socket
from pathlib import Path

import numpy as np

from fr_core.errors import FrError, ImageTooCostly, InternalError, Undecodable, message
from fr_core.imaging.confined import Confined, NotConfined
from fr_core.imaging.decode import ImageLimits
from fr_core.imaging.sandbox_messages import MAX_MESSAGE_BYTES, Nonsense, pack_request, read_answer
from fr_core.types import U8, frozen_array

# Without `site`, which would run code of other folders: the folders of the packages are given by name.
BOOT = (
    "import sys; sys.path += sys.argv.pop(1).split(chr(0x0A)); from fr_core.imaging.sandbox_worker import main; main()"
)
"""The program of a worker."""

# Pages of larger photos are given back to the system, rather than kept for the next.
_KEPT_BYTES = 16 * 2**20
_PAGE = mmap.PAGESIZE


class Broken(Exception):
    """The worker cannot be used again.

    `told`: what its caller is to be told; `why`: for the log.
    """

    def __init__(self, told: FrError, why: str) -> None:
        super().__init__(why)
        self.told = told


class SandboxProcess:
    """A worker, for one thread at a time.

    Args:
        limits: of the photos; those of later calls may not be wider.
        memory_mib: that one photo may take.
        time_ms: that one photo may take.

    Raises `InternalError`: the process could not be started, or could not shut itself in.
    """

    def __init__(self, limits: ImageLimits, memory_mib: int, time_ms: int, boot: str = BOOT) -> None:
        self.photos = 0
        self._memory_mib = memory_mib
        self._time_ms = time_ms
        self._pixels_bytes = limits.max_pixels * 3
        self._photo_at = -(-self._pixels_bytes // _PAGE) * _PAGE
        self._photo_bytes = limits.max_bytes
        numbers = self._photo_at, memory_mib, -(-time_ms // 1000), os.getpid()
        try:
            self._worker = Confined(boot, self._photo_at + self._photo_bytes, numbers, ("pillow_heif", "simplejpeg"))
        except NotConfined as error:
            raise InternalError(message("error.imaging.decoder_photos_could_not")) from error
        except OSError as error:
            raise InternalError(message("error.imaging.decoder_photos_could_not_started")) from error
        self._link, self._memory = self._worker.link, self._worker.memory

    @property
    def pid(self) -> int:
        """Process id."""
        return self._worker.process.pid

    def fits(self, limits: ImageLimits) -> bool:
        """Return whether photos within `limits` find room."""
        return limits.max_pixels * 3 <= self._pixels_bytes and limits.max_bytes <= self._photo_bytes

    def idle_fault(self) -> str | None:
        """Say for the log what has become of it while it was asked nothing; None where it lives and is silent."""
        self._link.settimeout(0)
        try:
            said = self._link.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return "it was stopped while it waited" if _is_stopped(self.pid) else None
        except OSError:
            said = b""
        return "it spoke unasked" if said else f"ended with {_name_of(self._worker.end())} while it waited"

    def decode(self, data: bytes, limits: ImageLimits) -> U8:
        """The pixels of a photo, u8[H, W, 3], RGB, read-only, in memory that the worker cannot reach.

        `data`: of at most `limits.max_bytes`; `limits`: that `fits` allows.

        Raises `ImageTooManyPixels`, `SeveralFrames`, `Undecodable`, `UnsupportedFormat`: as `fr_core.imaging.decode`;
        `Broken`: the worker crashed, took too long or too much, or talks nonsense. It is to be closed.
        """
        self.photos += 1
        self._memory[self._photo_at : self._photo_at + len(data)] = data
        answer = self._ask(pack_request(len(data), limits))
        try:
            width, height = read_answer(answer, limits, self._memory_mib)
        except ImageTooCostly as costly:
            # Its heap is in pieces, and the next photo may be an innocent one.
            raise Broken(costly, "out of memory") from costly
        except Nonsense as nonsense:
            raise Broken(Undecodable(message("error.imaging.photo_broke_decoder")), str(nonsense)) from nonsense
        pixels = np.frombuffer(self._memory, np.uint8, width * height * 3).reshape(height, width, 3).copy()
        if pixels.size > _KEPT_BYTES:
            self._memory.madvise(mmap.MADV_REMOVE, 0, self._photo_at)
        return frozen_array(pixels)

    def close(self) -> None:
        """End it at once, whatever it does."""
        self._worker.close()

    def _ask(self, request: bytes) -> bytes:
        self._link.settimeout(self._time_ms / 1000)
        try:
            self._link.send(request)
            answer = self._link.recv(MAX_MESSAGE_BYTES)
        except TimeoutError as error:
            raise Broken(self._too_slow(), f"no answer within {self._time_ms} ms") from error
        except OSError:  # it hung up while it was written to
            answer = b""
        if not answer:
            raise self._post_mortem()
        return answer

    def _post_mortem(self) -> Broken:
        code = self._worker.end()
        if code == -signal.SIGXCPU:
            return Broken(self._too_slow(), "out of processor time")
        if code == -signal.SIGKILL:
            # Ours, an operator's, or the kernel's, for want of memory.
            return Broken(ImageTooCostly(message("error.imaging.photo_decoder_killed_want")), "killed")
        return Broken(Undecodable(message("error.imaging.photo_broke_decoder")), f"ended with {_name_of(code)}")

    def _too_slow(self) -> ImageTooCostly:
        return ImageTooCostly(message("error.imaging.decoding_takes_ms", ms=self._time_ms), limit_ms=str(self._time_ms))


def _is_stopped(pid: int) -> bool:
    """Return whether a child process is stopped, as after SIGSTOP; it would not decode a photo in time."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] in "tT"


def _name_of(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"code {code}"
