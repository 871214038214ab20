"""The front door of a server: listens on the network, and joins whoever may come in to the gRPC server behind it."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import unquote

from fr_core.errors import AddressUnavailable
from fr_server.address import address_of
from fr_server.door.connection import Connection, Peer
from fr_server.door.crowd import Crowd, plain_address
from fr_server.door.flow import CHUNK_BYTES
from fr_server.door.limits import DoorLimits
from fr_server.door.listener import DoorListener, HandshakeFailure, NullDoorListener, Parting, Refusal
from fr_server.door.tls import TlsFiles, server_context

_BACKLOG = 1024
# Accepted in one step, so that a flood of connections does not keep those waiting who are in.
_ACCEPTED_AT_ONCE = 32
# The machine is out of file descriptors or memory: others have to close some first.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_AGAIN_S = 0.2
# Time limits are kept to this, or to a tenth of the shortest of them.
_CHECK_S = 0.25
# Of what the kernel keeps for a client that does not read; Linux lets it grow to 4 MiB otherwise.
_UNSENT_BYTES = 128 * 1024
# sun_path of Linux has 108 bytes, with the zero at its end; a name of ours has at most 14 ("c" and 13 digits).
_LONGEST_FOLDER = 108 - 1 - 1 - 14
_SCHEME = "unix:"


class Door:
    """Listens, with an event loop in a thread of its own, in front of a gRPC server on a unix socket.

    Args:
        host: a name or an address to listen on, as in the configuration.
        port: 0 for any free one.
        reuse_port: whether other processes of the same server listen on the port as well.
        backend: the unix socket of the server. Its folder is to be private (mode 0700), for whoever can open the socket
            goes around the door; the door puts sockets of its own there, each for a moment.
        tls: files of TLS; None = plaintext.
        limits: of connections.
        listener: is told what happens.
        now_ms: milliseconds since 1970, UTC.
    """

    def __init__(
        self,
        host: str,
        port: int,
        reuse_port: bool,
        backend: Path,
        tls: TlsFiles | None = None,
        limits: DoorLimits | None = None,
        listener: DoorListener | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._host = host
        self.port = port
        self._reuse_port = reuse_port
        self.backend = backend
        self._tls = tls
        self.limits = limits or DoorLimits()
        self._listener = listener or NullDoorListener()
        self._now_ms = now_ms
        self.room = memoryview(bytearray(CHUNK_BYTES))
        self._context: ssl.SSLContext | None = None
        self._crowd: Crowd[Connection] = Crowd(self.limits)
        self._peers: dict[str, Peer] = {}
        self._numbers = itertools.count()
        self._listening: list[socket.socket] = []
        self._stopping = False
        self.loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None

    # What other threads call.

    def start(self) -> None:
        """Listen; `port` is then the port that is listened on. A door is started once.

        Raises:
            AddressUnavailable: the address cannot be listened on, or the folder of the backend has too long a name.
            TlsUnusable: as `check_tls`.
        """
        if len(os.fsencode(self.backend.parent)) > _LONGEST_FOLDER:
            raise AddressUnavailable(
                f"The folder of the server's own socket has a path of more than {_LONGEST_FOLDER} bytes."
            )
        if self._tls is not None:
            self._context = server_context(self._tls, self._now_ms())
        self._listening = self._bound()
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._thread.start()

    def reload(self) -> None:
        """Read the files of TLS again; connections that come from now on get what they hold.

        Raises:
            TlsUnusable: as `check_tls`; new connections get what earlier ones got.
        """
        if self._tls is not None:
            self._context = server_context(self._tls, self._now_ms())

    def peer_of(self, path: str) -> Peer | None:
        """Return who is at the other end of a connection that is open; None = there is no such connection (any more).

        Args:
            path: of the near end, also as gRPC's `context.peer()` writes it: `unix:PATH`, percent-encoded.
        """
        if path.startswith(_SCHEME):
            path = unquote(path.removeprefix(_SCHEME))
        return self._peers.get(path)

    def stop(self, grace_s: float) -> None:
        """Listen no more; wait until all connections are closed, or close them after a time. It may be called twice.

        Args:
            grace_s: that connections have to end; the server behind is to close them, else they last as long.
        """
        if self._thread is not None:
            with suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(self._begin_stop, grace_s)
            self._thread.join()

    @property
    def connections(self) -> int:
        """How many clients are at the door, those included that have not greeted."""
        return len(self._crowd)

    @property
    def half_open(self) -> int:
        """How many clients have not greeted."""
        return self._crowd.half_open

    @property
    def kept_bytes(self) -> int:
        """How many bytes the door keeps for clients, and for the server, that do not read; asked within its thread."""
        return sum(one.kept_bytes for one in self._crowd)

    # What connections call, within the door's thread.

    def context(self) -> ssl.SSLContext | None:
        """As `Hall.context`."""
        return self._context

    def name_for(self, peer: Peer) -> Path:
        """As `Hall.name_for`."""
        name = self.backend.parent / f"c{next(self._numbers)}"
        self._peers[str(name)] = peer
        return name

    def forget(self, name: Path) -> None:
        """As `Hall.forget`."""
        del self._peers[str(name)]

    def handshake_failed(self, one: Connection, why: HandshakeFailure) -> None:
        """As `Hall.handshake_failed`."""
        self._listener.handshake_failed(one.address, why)

    def refused(self, one: Connection, why: Refusal) -> None:
        """As `Hall.refused`."""
        self._listener.connection_refused(one.address, why)

    def may_open(self, one: Connection) -> bool:
        """As `Hall.may_open`."""
        return self._crowd.greeted(one)

    def connected(self, one: Connection) -> None:
        """As `Hall.connected`."""
        self._listener.connected(one.address)

    def closed(self, one: Connection, was_connected: bool, why: Parting) -> None:
        """As `Hall.closed`."""
        self._crowd.leave(one)
        if was_connected:
            self._listener.disconnected(one.address, why)
        if self._stopping and not self._crowd:
            self.loop.stop()

    # The thread.

    def _bound(self) -> list[socket.socket]:
        address = address_of(self._host, self.port)
        try:
            with ExitStack() as held:
                made: list[socket.socket] = []
                for family, host in _addresses(self._host, self.port):
                    one = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if self._reuse_port:
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    if family == socket.AF_INET6:
                        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    one.bind((host, self.port))
                    one.listen(_BACKLOG)
                    one.setblocking(False)
                    self.port = one.getsockname()[1]
                    made.append(one)
                held.pop_all()
                return made
        except (OSError, UnicodeError) as error:
            raise AddressUnavailable(f"The server cannot listen on {address}.", address=address) from error

    def _run(self) -> None:
        try:
            for one in self._listening:
                self.loop.add_reader(one, self._accept, one)
            self._check()
            self.loop.run_forever()
        finally:
            for one in self._listening:
                one.close()
            self.loop.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, address = listening.accept()
            except OSError as error:
                # Else nobody waits, or whoever did has gone: accept(2) tells of the failed networks of clients too.
                if error.errno in _EXHAUSTED:
                    self.loop.remove_reader(listening)
                    self.loop.call_later(_ACCEPT_AGAIN_S, self._accept_again, listening)
                return
            self._welcome(client, plain_address(str(address[0])))

    def _accept_again(self, listening: socket.socket) -> None:
        if not self._stopping:
            self.loop.add_reader(listening, self._accept, listening)

    def _welcome(self, client: socket.socket, address: str) -> None:
        why = self._crowd.refusal(address)
        if why is None:
            try:
                self._prepare(client)
            except OSError:  # it has gone already
                client.close()
                return
            oldest = self._crowd.oldest_beyond()
            if oldest is not None:
                oldest.crowd_out()
            one = Connection(self, client, address)
            self._crowd.enter(one, address)
            one.start()
        else:
            client.close()
            self._listener.connection_refused(address, why)

    def _prepare(self, client: socket.socket) -> None:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        # For a client whose machine is gone. Twice the time, so that who does not read is closed by us, and counted.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(self.limits.stall_s * 2000)))

    def _check(self) -> None:
        limits = self.limits
        shortest_s = min(limits.handshake_s, limits.first_bytes_s, limits.stall_s, limits.idle_s or limits.stall_s)
        # First, so that no limit ends for good with a defect that one connection meets.
        self.loop.call_later(min(_CHECK_S, shortest_s / 10), self._check)
        now_s = self.loop.time()
        for one in self._crowd:
            one.check(now_s)

    def _begin_stop(self, grace_s: float) -> None:
        if not self._stopping:
            self._stopping = True
            for one in self._listening:
                self.loop.remove_reader(one)
                one.close()
        for waiting in self._crowd:
            waiting.give_up()
        if not self._crowd:
            self.loop.stop()
        self.loop.call_later(grace_s, self._abort_all)

    def _abort_all(self) -> None:
        for one in self._crowd:
            one.abort(Parting.STOPPED)


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
