"""Passes bytes in one direction of a connection, and reads no faster than the other side takes them."""

import asyncio
import socket
import ssl
from collections.abc import Callable

# Bytes read at once, and the most that a connection keeps in each direction when the other side does not read.
CHUNK_BYTES = 128 * 1024
# The longest plaintext of a TLS record (RFC 8446, section 5.1): a read never returns more.
RECORD_BYTES = 16 * 1024
# After a shorter read there is rarely more; the event loop says when there is.
_SHORT_BYTES = RECORD_BYTES // 2
# A client that asks for new keys and does not read the answer cannot be waited for like other readers.
_AGAIN_S = 0.05

WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Relay:
    """Passes bytes from `source` to `sink`, both non-blocking; only in the gateway's thread.

    It keeps at most `CHUNK_BYTES` that the sink does not take at once, and reads nothing until they are gone. `room` is
    u8[CHUNK_BYTES], shared by all relays of the thread: each uses it within one step. It calls `ended` once, when the
    source has ended and the sink has all its bytes, and `failed` with the socket that failed. `moved_s` is the loop's
    time of the last write.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        room: memoryview,
        source: socket.socket,
        sink: socket.socket,
        ended: Callable[[], None],
        failed: Callable[[socket.socket], None],
    ) -> None:
        self._loop, self._room, self._source, self._sink = loop, room, source, sink
        self._ended, self._failed = ended, failed
        self._kept: memoryview | None = None
        self._over = False  # the source has ended
        self._stopped = False
        self.moved_s = loop.time()

    def start(self, first: bytes = b"") -> None:
        """Begin, with bytes that are already read."""
        self._resume()
        if first:
            self._pass_on(memoryview(first))

    def stop(self) -> None:
        """Stop reading and writing, and drop the kept bytes."""
        if not self._stopped:
            self._stopped = True
            self._loop.remove_reader(self._source)
            self._loop.remove_writer(self._sink)
            self._kept = None

    @property
    def kept_bytes(self) -> int:
        """The number of bytes that wait for the sink."""
        return 0 if self._kept is None else len(self._kept)

    def _resume(self) -> None:
        if not self._stopped and self._kept is None:
            if self._over:
                self._ended()
            else:
                self._loop.add_reader(self._source, self._pull)

    def _pull(self) -> None:
        read = 0
        try:
            while read <= CHUNK_BYTES - RECORD_BYTES:
                got = self._source.recv_into(self._room[read:])
                read += got
                self._over = not got
                if got < _SHORT_BYTES:
                    break
        except ssl.SSLWantWriteError:
            self._loop.remove_reader(self._source)
            self._loop.call_later(_AGAIN_S, self._resume)
        except WOULD_BLOCK:
            pass
        except OSError:
            if not read:  # otherwise the next read fails again
                self._failed(self._source)
        if read:
            self._pass_on(self._room[:read])
        if self._over and not self._stopped:
            self._loop.remove_reader(self._source)
            self._resume()

    def _pass_on(self, data: memoryview) -> None:
        left = self._write(data)
        if left and not self._stopped:
            self._kept = memoryview(bytes(left))
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._push)

    def _push(self) -> None:
        if self._kept is not None:
            left = self._write(self._kept)
            if not self._stopped:
                self._kept = left or None
                if self._kept is None:
                    self._loop.remove_writer(self._sink)
                    self._resume()

    def _write(self, data: memoryview) -> memoryview:
        try:
            while data:
                data = data[self._sink.send(data) :]
                self.moved_s = self._loop.time()
        except WOULD_BLOCK:
            pass
        except OSError:
            self._failed(self._sink)
        return data
