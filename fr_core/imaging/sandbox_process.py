"""Imaging, one process of the sandbox as its parent sees it: started, asked, disbelieved, ended."""

import contextlib
import fcntl
import importlib.util
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL

import fr_locales
from fr_core.errors import FrError, ImageTooCostly, InternalError, Undecodable, message
from fr_core.imaging.decode import ImageLimits
from fr_core.imaging.sandbox_messages import MAX_MESSAGE_BYTES, READY, Nonsense, pack_request, read_answer
from fr_core.types import U8, frozen_array

# Without `site`, which would run code of other folders: the folders of the packages are given by name.
BOOT = (
    "import sys; sys.path += sys.argv.pop(1).split(chr(0x0A)); from fr_core.imaging.sandbox_worker import main; main()"
)
"""The program of a worker."""

# Python, NumPy and Pillow are imported in a tenth of a second; on a machine that is full, in much more.
_START_S = 60.0
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
        try:
            self._start(boot)
        except OSError as error:
            raise InternalError(message("error.imaging.decoder_photos_could_not_started")) from error
        self._wait_until_ready()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

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
        return "it spoke unasked" if said else f"ended with {_name_of(self._ended())} while it waited"

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
        self._process.kill()
        self._process.wait()
        self._link.close()
        self._memory.close()

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
        code = self._ended()
        if code == -signal.SIGXCPU:
            return Broken(self._too_slow(), "out of processor time")
        if code == -signal.SIGKILL:
            # Ours, an operator's, or the kernel's, for want of memory.
            return Broken(ImageTooCostly(message("error.imaging.photo_decoder_killed_want")), "killed")
        return Broken(Undecodable(message("error.imaging.photo_broke_decoder")), f"ended with {_name_of(code)}")

    def _ended(self) -> int:
        self._process.kill()  # a hostile one may hang up and live on
        return self._process.wait()

    def _too_slow(self) -> ImageTooCostly:
        return ImageTooCostly(message("error.imaging.decoding_takes_ms", ms=self._time_ms), limit_ms=str(self._time_ms))

    def _start(self, boot: str) -> None:
        with contextlib.ExitStack() as undone, contextlib.ExitStack() as theirs:
            self._link, link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undone.callback(self._link.close)
            theirs.callback(link.close)
            shared = sealed_memory(self._photo_at + self._photo_bytes)
            theirs.callback(os.close, shared)
            self._memory = undone.enter_context(mmap.mmap(shared, 0))
            numbers = link.fileno(), shared, self._photo_at, self._memory_mib, -(-self._time_ms // 1000), os.getpid()
            self._process = start_confined(boot, numbers, (link.fileno(), shared), "pillow_heif", "simplejpeg")
            undone.pop_all()

    def _wait_until_ready(self) -> None:
        self._link.settimeout(_START_S)
        try:
            said = self._link.recv(MAX_MESSAGE_BYTES)
        except OSError:
            said = b""
        if said != READY:
            self.close()
            why = said.decode(errors="replace") or f"it ended with code {self._process.returncode}"
            raise InternalError(message("error.imaging.decoder_photos_could_not")) from OSError(why)


def _is_stopped(pid: int) -> bool:
    """Return whether a child process is stopped, as after SIGSTOP; it would not decode a photo in time."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] in "tT"


def _name_of(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def start_confined(
    boot: str, arguments: Sequence[int | str], descriptors: Sequence[int], *packages: str
) -> subprocess.Popen[bytes]:
    """Start a Python that has nothing but a program, its arguments, open descriptors and some packages.

    It ends with the thread that calls this, once it has called `confine.die_with`.

    `packages`: that it may import besides NumPy, Pillow, `fr_core` and `fr_locales`; one that is absent is left out.
    """
    # To the whole group of processes, they are for others: they stay blocked in the worker from its first step to its
    # last, so that photos in work are still answered.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-P", "-c", boot, _folders(packages), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Otherwise NumPy starts threads on import, and each thread takes address space.
            env={"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
            pass_fds=tuple(descriptors),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _folders(packages: Sequence[str]) -> str:
    # Found, not imported: libheif is never loaded into this process, which may hold keys.
    specs = filter(None, map(importlib.util.find_spec, packages))
    others = (fr_locales.__file__, PIL.__file__, np.__file__, *(spec.origin for spec in specs if spec.origin))
    roots = (__file__, 3), *((file, 2) for file in others)
    return "\n".join(dict.fromkeys(str(Path(file).resolve().parents[up - 1]) for file, up in roots))


def sealed_memory(size_bytes: int) -> int:
    """A descriptor of memory whose size nobody can change: a reader of what was cut off would be killed by SIGBUS."""
    shared = os.memfd_create("photo", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(shared, size_bytes)
    fcntl.fcntl(shared, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return shared
