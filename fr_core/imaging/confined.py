"""Starts a process that is to be confined, with shared memory and a socket to it."""

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
from fr_core.imaging.confine import READY

# Python, NumPy and Pillow are imported in a tenth of a second, PyAV in half a second; on a machine that is full, in
# much more.
_START_S = 60.0
_WHY_BYTES = 4096  # of what it says where it cannot shut itself in


class NotConfined(OSError):
    """The process did not shut itself in; the text says why."""


class Confined:
    """A process that has shut itself in, as `READY` says. It has a socket, memory, and a file of this process.

    Args:
        boot: its program; the arguments are the descriptors of the socket, the memory and the file, then `arguments`.
        memory_bytes: that both processes can read and write.
        packages: as in `_started`.
        file: an open file, for which it gets a descriptor with a position of its own; None = it gets no file.

    Attributes:
        link: this end of the socket.
        memory: that is shared.

    Raises `NotConfined`, and `OSError`: it could not be started.
    """

    def __init__(
        self,
        boot: str,
        memory_bytes: int,
        arguments: Sequence[int | str],
        packages: Sequence[str],
        file: int | None = None,
    ) -> None:
        with contextlib.ExitStack() as undone, contextlib.ExitStack() as theirs:
            self.link, link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undone.callback(self.link.close)
            theirs.callback(link.close)
            shared = _sealed_memory(memory_bytes)
            theirs.callback(os.close, shared)
            self.memory = undone.enter_context(mmap.mmap(shared, 0))
            descriptors = [link.fileno(), shared]
            if file is not None:
                own = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
                theirs.callback(os.close, own)
                descriptors.append(own)
            self.process = _started(boot, (*descriptors, *arguments), descriptors, *packages)
            undone.pop_all()
        self._wait_until_ready()

    def end(self) -> int:
        """End it at once, also where it has hung up and lives on; return its exit code, a signal as a negative one."""
        self.process.kill()
        return self.process.wait()

    def close(self) -> None:
        """End it, and give back the socket and the memory; harmless when done twice."""
        self.end()
        self.link.close()
        self.memory.close()

    def _wait_until_ready(self) -> None:
        self.link.settimeout(_START_S)
        try:
            said = self.link.recv(_WHY_BYTES)
        except OSError:
            said = b""
        if said != READY:
            self.close()
            raise NotConfined(said.decode(errors="replace") or f"it ended with code {self.process.returncode}")


def _started(
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


def _sealed_memory(size_bytes: int) -> int:
    """A descriptor of memory of fixed size: if it could shrink, SIGBUS would kill a reader."""
    shared = os.memfd_create("photo", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(shared, size_bytes)
    fcntl.fcntl(shared, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return shared
