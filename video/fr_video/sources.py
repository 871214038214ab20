"""Opens a live stream outside the sandbox, and pumps its bytes into a pipe for the decoder inside."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from fr_core.errors import message
from fr_video.errors import StreamUnreadable
from fr_video.rtsp import PORT, RtspSession

CONNECT_S = 10.0
SILENT_S = 10.0
"""Seconds without a byte after which a stream counts as lost."""

_BLOCK_BYTES = 65_536
_POLL_S = 0.5


def require_address(address: str) -> None:
    """Raise `StreamUnreadable` unless an address is of a supported kind.

    Kinds are rtsp://, tcp:// for an MPEG transport stream, and file:// for one in a named pipe.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
        # As the system takes them: a name of a host in labels of at most 63 characters, a path of bytes without 0.
        (parts.hostname or "").encode("idna")
        if b"\0" in os.fsencode(unquote(address)):
            raise ValueError("a zero byte")
    except ValueError as error:
        raise StreamUnreadable(message("error.video.stream_address")) from error
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return
    if parts.hostname and (parts.scheme == "rtsp" or (parts.scheme == "tcp" and port)):
        return
    raise StreamUnreadable(message("error.video.stream_address"))


class Feed:
    """A connected stream; `file` is a pipe that delivers its bytes, as an MPEG transport stream.

    A thread pumps, as fast as the pipe is read, until the stream ends or is silent for `SILENT_S`.

    Raises:
        OSError: there is nothing at the address, or it is silent.
        StreamUnreadable: as `require_address` and `RtspSession`.
    """

    def __init__(self, address: str) -> None:
        require_address(address)
        self._ended = threading.Event()
        self._hanging_up = contextlib.ExitStack()
        with contextlib.ExitStack() as undone:
            chunks = self._opened(address, undone)
            self.file, self._into = os.pipe2(os.O_CLOEXEC)
            self._opened_things = undone.pop_all()
        self._thread = threading.Thread(target=self._pump, args=(chunks,), name="stream", daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """End the stream, and with it the pipe."""
        self._ended.set()
        self._hanging_up.close()

    def close(self) -> None:
        """Disconnect, and close `file`, which must not be in use any more."""
        self.hang_up()
        os.close(self.file)
        self._thread.join()
        self._opened_things.close()

    def _pump(self, chunks: Iterator[bytes]) -> None:
        # The end of a stream, whatever its reason, is the end of the pipe.
        try:
            with contextlib.suppress(OSError, StreamUnreadable):
                for chunk in chunks:
                    rest = memoryview(chunk)
                    while rest and not self._ended.is_set():
                        rest = rest[os.write(self._into, rest) :]
                    if self._ended.is_set():
                        break
        finally:
            os.close(self._into)

    def _opened(self, address: str, undone: contextlib.ExitStack) -> Iterator[bytes]:
        parts = urlsplit(address)
        if parts.scheme == "file":
            file = os.open(unquote(parts.path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            undone.callback(os.close, file)
            kind = os.fstat(file).st_mode
            if stat.S_ISREG(kind):
                raise StreamUnreadable(message("error.video.stream_recorded"))
            if not stat.S_ISFIFO(kind):
                raise StreamUnreadable(message("error.video.stream_address"))
            return self._read(file)
        connection = socket.create_connection((parts.hostname or "", parts.port or PORT), CONNECT_S)
        undone.callback(connection.close)
        self._hanging_up.callback(_hang_up, connection)
        connection.settimeout(SILENT_S)
        if parts.scheme == "tcp":
            return iter(lambda: connection.recv(_BLOCK_BYTES), b"")
        session = RtspSession(connection, address, time.monotonic)
        self._hanging_up.callback(session.close)
        return session.chunks()

    def _read(self, file: int) -> Iterator[bytes]:
        silent_s, ready = 0.0, select.poll()  # select(2) takes no descriptor from 1,024 on
        ready.register(file, select.POLLIN)
        while not self._ended.is_set() and silent_s < SILENT_S:
            if not ready.poll(_POLL_S * 1000):
                silent_s += _POLL_S
                continue
            if not (data := os.read(file, _BLOCK_BYTES)):
                return
            silent_s = 0.0
            yield data


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
