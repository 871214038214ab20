"""One connection at the door: it shakes hands, greets, is joined to the server behind, and is closed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fr_server.door.flow import CHUNK_BYTES, RECORD_BYTES, WOULD_BLOCK, Flow
from fr_server.door.greeting import Greeting, greeting
from fr_server.door.limits import DoorLimits
from fr_server.door.listener import HandshakeFailure, Parting, Refusal
from fr_server.door.tls import ALPN, HANDSHAKE_RECORD, explain

# A client whose last bytes are still on their way must not be reset: it would lose what was said to it last.
_LINGER_S = 1.0
# The other side has closed its way to the server, and the server's last answers may still come.
_LAST_ANSWERS_S = 5.0
# The queue of the server's socket is full.
_KNOCK_AGAIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection.

    Attributes:
        address: IP address.
        certificate_sha256: 64 hexadecimal digits of the client's certificate in DER; "" = it has shown none.
    """

    address: str
    certificate_sha256: str


class Hall(Protocol):
    """What a connection needs of the door; all within the door's thread."""

    loop: asyncio.AbstractEventLoop
    limits: DoorLimits
    room: memoryview
    backend: Path

    def context(self) -> ssl.SSLContext | None:
        """Return the context of a new handshake; None = the connection is in plaintext."""
        ...

    def name_for(self, peer: Peer) -> Path:
        """Return a path for the near end of a connection to the server, by which the peer can be asked for."""
        ...

    def forget(self, name: Path) -> None:
        """Forget whose path it is."""
        ...

    def handshake_failed(self, one: Connection, why: HandshakeFailure) -> None:
        """Tell the listener."""
        ...

    def refused(self, one: Connection, why: Refusal) -> None:
        """Tell the listener."""
        ...

    def may_open(self, one: Connection) -> bool:
        """Count a connection that has greeted, or return False: there are too many of them."""
        ...

    def connected(self, one: Connection) -> None:
        """Tell the listener."""
        ...

    def closed(self, one: Connection, was_connected: bool, why: Parting) -> None:
        """Count a connection no more."""
        ...


class Connection:
    """A client, and the way from it to the server; in the door's thread alone.

    Args:
        hall: the door it is at.
        client: non-blocking; it is closed with the connection.
        address: of the client.
    """

    def __init__(self, hall: Hall, client: socket.socket, address: str) -> None:
        self.address = address
        self._hall = hall
        self._loop = hall.loop
        self._client = client
        self._server: socket.socket | None = None
        self._name: Path | None = None
        self._first = b""
        self._up: Flow | None = None
        self._down: Flow | None = None
        self._shaking = hall.context() is not None
        self._lingering = False
        self._connected = False
        self._closed = False
        self._why = Parting.CLIENT
        limits = hall.limits
        self._deadline_s: float | None = self._loop.time() + (
            limits.handshake_s if self._shaking else limits.first_bytes_s
        )

    def start(self) -> None:
        """Begin with what the client says first."""
        self._loop.add_reader(self._client, self._look if self._shaking else self._greet)

    def check(self, now_s: float) -> None:
        """Close the connection if it has wasted its time; called every now and then."""
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._overdue()
        elif self._up is not None and self._down is not None:
            limits = self._hall.limits
            stuck_s = self._down.stuck_since_s
            if stuck_s is not None and now_s - stuck_s >= limits.stall_s:
                self.abort(Parting.STALLED)
            elif limits.idle_s and now_s - max(self._up.moved_s, self._down.moved_s) >= limits.idle_s:
                self._linger(Parting.IDLE)

    def crowd_out(self) -> None:
        """Close a connection that has not greeted, for another has come."""
        if not self._lingering:
            self._hall.refused(self, Refusal.CROWDED_OUT)
        self.abort(Parting.CLIENT)

    def give_up(self) -> None:
        """Close a connection that has not been joined to the server."""
        if not self._connected and not self._lingering:
            self.abort(Parting.STOPPED)

    def abort(self, why: Parting) -> None:
        """Close everything at once."""
        if self._closed:
            return
        self._closed = True
        self._part_from_server()
        self._deaf()
        self._client.close()
        self._hall.closed(self, self._connected, self._why if self._lingering else why)

    @property
    def kept_bytes(self) -> int:
        """How many bytes wait for either side."""
        return sum(flow.kept_bytes for flow in (self._up, self._down) if flow is not None)

    def _overdue(self) -> None:
        if self._lingering:
            self.abort(self._why)
        elif self._shaking:
            self._fail(HandshakeFailure.TIMED_OUT)
        elif self._connected:
            self._linger(Parting.CLIENT)
        else:
            self._refuse(Refusal.NO_FIRST_BYTES if self._server is None else Refusal.NO_BACKEND)

    def _fail(self, why: HandshakeFailure) -> None:
        self._hall.handshake_failed(self, why)
        self._linger(Parting.CLIENT)

    def _refuse(self, why: Refusal) -> None:
        self._hall.refused(self, why)
        self._linger(Parting.CLIENT)

    # The handshake.

    def _look(self) -> None:
        """Look at the first byte, before a client costs the memory of a TLS session."""
        context = self._hall.context()
        try:
            first = self._client.recv(1, socket.MSG_PEEK)
            if not first or context is None:
                self._fail(HandshakeFailure.WENT_AWAY)
            elif first[0] != HANDSHAKE_RECORD:
                self._fail(HandshakeFailure.NOT_TLS)
            else:
                self._loop.remove_reader(self._client)
                self._client = context.wrap_socket(self._client, server_side=True, do_handshake_on_connect=False)
                self._loop.add_reader(self._client, self._shake)
                self._shake()
        except WOULD_BLOCK:
            return
        except OSError as error:
            self._fail(explain(error))

    def _shake(self) -> None:
        assert isinstance(self._client, ssl.SSLSocket)
        self._loop.remove_writer(self._client)
        try:
            self._client.do_handshake()
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._client, self._shake)
        except WOULD_BLOCK:
            return
        except OSError as error:
            self._fail(explain(error))
        else:
            self._shaking = False
            if self._client.selected_alpn_protocol() != ALPN:
                self._fail(HandshakeFailure.NO_H2)
                return
            self._deadline_s = self._loop.time() + self._hall.limits.first_bytes_s
            self._loop.add_reader(self._client, self._greet)
            self._greet()

    # The greeting.

    def _greet(self) -> None:
        try:
            # A whole record: what OpenSSL would keep of it no selector tells of.
            got = self._client.recv(RECORD_BYTES)
        except WOULD_BLOCK:
            return
        except OSError:
            got = b""
        self._first += got
        state = greeting(self._first)
        if not got:
            self._refuse(Refusal.NO_FIRST_BYTES)
        elif state is Greeting.WRONG:
            self._refuse(Refusal.NOT_HTTP2)
        elif state is Greeting.WHOLE:
            self._loop.remove_reader(self._client)
            if self._hall.may_open(self):
                self._open()
            else:
                self._refuse(Refusal.TOO_MANY)

    def _open(self) -> None:
        shown = self._client.getpeercert(binary_form=True) if isinstance(self._client, ssl.SSLSocket) else None
        peer = Peer(self.address, hashlib.sha256(shown).hexdigest() if shown else "")
        self._name = self._hall.name_for(peer)
        try:
            self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._server.setblocking(False)
            self._server.bind(os.fspath(self._name))
        except OSError:
            self._refuse(Refusal.NO_BACKEND)
        else:
            self._knock()

    def _knock(self) -> None:
        if self._closed or self._lingering or self._server is None or self._name is None:
            return
        try:
            self._server.connect(os.fspath(self._hall.backend))
        except BlockingIOError:
            self._loop.call_later(_KNOCK_AGAIN_S, self._knock)
            return
        except OSError:
            self._refuse(Refusal.NO_BACKEND)
            return
        self._name.unlink(missing_ok=True)
        self._join(self._server)

    def _join(self, server: socket.socket) -> None:
        self._deadline_s = None
        self._connected = True
        self._hall.connected(self)
        hall = self._hall
        self._up = Flow(self._loop, hall.room, self._client, server, self._client_ended, self._up_failed)
        self._down = Flow(self._loop, hall.room, server, self._client, self._server_ended, self._down_failed)
        first, self._first = self._first, b""
        self._down.start()
        self._up.start(first)

    # The end.

    def _client_ended(self) -> None:
        """The client will say no more: the server is told, and may still answer."""
        self._deadline_s = self._loop.time() + _LAST_ANSWERS_S
        if self._server is not None:
            with contextlib.suppress(OSError):  # it has gone too, and its own end will be read
                self._server.shutdown(socket.SHUT_WR)

    def _server_ended(self) -> None:
        self._linger(Parting.CLIENT if self._deadline_s is not None else Parting.SERVER)

    def _up_failed(self, which: socket.socket) -> None:
        if which is self._client:
            self.abort(Parting.LOST)
        elif self._up is not None:
            # The server has closed its socket. What it said last can still be read from ours, and its end after it.
            self._up.stop()

    def _down_failed(self, which: socket.socket) -> None:
        if which is self._client:
            self.abort(Parting.LOST if self._deadline_s is None else Parting.CLIENT)
        else:
            self._linger(Parting.SERVER)

    def _linger(self, why: Parting) -> None:
        """Say farewell, and let the client take what it was told before its socket is closed."""
        if self._closed or self._lingering:
            return
        self._lingering = True
        self._why = why
        self._deadline_s = self._loop.time() + _LINGER_S
        self._part_from_server()
        self._deaf()
        with contextlib.suppress(OSError, ValueError):  # no more than a courtesy: the client may have gone
            if isinstance(self._client, ssl.SSLSocket) and not self._shaking:
                self._client.unwrap()
        try:
            self._client.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort(why)
        else:
            self._loop.add_reader(self._client, self._discard)

    def _discard(self) -> None:
        try:
            over = self._client.recv_into(self._hall.room[:CHUNK_BYTES]) == 0
        except WOULD_BLOCK:
            return
        except OSError:
            over = True
        if over:
            self.abort(self._why)

    def _deaf(self) -> None:
        if self._client.fileno() != -1:  # a socket that could not be wrapped for TLS is closed already
            self._loop.remove_reader(self._client)
            self._loop.remove_writer(self._client)

    def _part_from_server(self) -> None:
        for flow in (self._up, self._down):
            if flow is not None:
                flow.stop()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._name is not None:
            self._name.unlink(missing_ok=True)
            self._hall.forget(self._name)
            self._name = None
