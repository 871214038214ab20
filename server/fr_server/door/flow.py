"""One direction of a connection: bytes go from one socket to another, and no more are read than can be passed on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

# What is read at once, and so the most that a connection keeps of each direction when the other side does not read.
CHUNK_BYTES = 128 * 1024
# The longest plaintext of a TLS record (RFC 8446, section 5.1): a read never gives more.
RECORD_BYTES = 16 * 1024
# After a shorter read there is hardly more; the event loop tells of what there is without another call to the system.
_SHORT_BYTES = RECORD_BYTES // 2
# A client that asks for new keys and does not read the answer cannot be waited for as other readers are.
_AGAIN_S = 0.05

WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Flow:
    """Bytes on their way from `source` to `sink`, both non-blocking; in the door's thread alone.

    What the sink does not take at once is kept, at most `CHUNK_BYTES`, and until it is gone nothing is read.

    Args:
        loop: runs it.
        room: u8[CHUNK_BYTES], which all flows of the thread share: what is in it is used within one step alone.
        source, sink: where bytes come from, and go to.
        ended: is called once, when the source has ended and the sink has all of it.
        failed: is called with the socket that failed.

    Attributes:
        moved_s: when bytes were last taken from the source or by the sink, in the loop's time.
        stuck_since_s: since when the sink takes nothing of what is kept; None = nothing is kept.
    """

    __slots__ = (
        "_ended",
        "_failed",
        "_kept",
        "_loop",
        "_over",
        "_room",
        "_stopped",
        "moved_s",
        "sink",
        "source",
        "stuck_since_s",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        room: memoryview,
        source: socket.socket,
        sink: socket.socket,
        ended: Callable[[], None],
        failed: Callable[[socket.socket], None],
    ) -> None:
        self._loop = loop
        self._room = room
        self.source = source
        self.sink = sink
        self._ended = ended
        self._failed = failed
        self._kept: memoryview | None = None
        self._over = False  # the source has ended
        self._stopped = False
        self.moved_s = loop.time()
        self.stuck_since_s: float | None = None

    def start(self, first: bytes = b"") -> None:
        """Begin, with bytes that were read before."""
        self._loop.add_reader(self.source, self._pull)
        if first:
            self._pass_on(memoryview(first))

    def stop(self) -> None:
        """Read no more and write no more; what is kept is thrown away."""
        if not self._stopped:
            self._stopped = True
            self._loop.remove_reader(self.source)
            self._loop.remove_writer(self.sink)
            self._kept = None
            self.stuck_since_s = None

    @property
    def kept_bytes(self) -> int:
        """How many bytes wait for the sink."""
        return 0 if self._kept is None else len(self._kept)

    def _pull(self) -> None:
        read, ended = self._read()
        if read and not self._stopped:
            self._pass_on(self._room[:read])
        if ended and not self._stopped:
            self._over = True
            self._loop.remove_reader(self.source)
            if self._kept is None:
                self._ended()

    def _read(self) -> tuple[int, bool]:
        """Fill the room from the source; return how much of it, and whether the source has ended."""
        read = 0
        try:
            while read <= CHUNK_BYTES - RECORD_BYTES:
                got = self.source.recv_into(self._room[read:])
                if got == 0:
                    return read, True
                read += got
                if got < _SHORT_BYTES:
                    break
        except ssl.SSLWantWriteError:
            self._loop.remove_reader(self.source)
            self._loop.call_later(_AGAIN_S, self._read_again)
        except WOULD_BLOCK:
            pass
        except OSError:
            if read:
                return read, False  # it fails again when it is read again
            self._failed(self.source)
        return read, False

    def _read_again(self) -> None:
        if not self._stopped and self._kept is None:
            self._loop.add_reader(self.source, self._pull)
            self._pull()

    def _pass_on(self, data: memoryview) -> None:
        self.moved_s = self._loop.time()
        left = self._write(data)
        if left and not self._stopped:
            self._kept = memoryview(bytes(left))
            self.stuck_since_s = self.moved_s
            self._loop.remove_reader(self.source)
            self._loop.add_writer(self.sink, self._push)

    def _push(self) -> None:
        if self._kept is None:
            return
        left = self._write(self._kept)
        if self._stopped:
            return
        if len(left) < len(self._kept):
            self.moved_s = self._loop.time()
            self.stuck_since_s = self.moved_s
        if left:
            self._kept = left
            return
        self._kept = None
        self.stuck_since_s = None
        self._loop.remove_writer(self.sink)
        if self._over:
            self._ended()
        else:
            self._loop.add_reader(self.source, self._pull)

    def _write(self, data: memoryview) -> memoryview:
        """Return what the sink has not taken."""
        try:
            while data:
                data = data[self.sink.send(data) :]
        except WOULD_BLOCK:
            pass
        except OSError:
            self._failed(self.sink)
        return data
