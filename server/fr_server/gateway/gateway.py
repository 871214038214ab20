"""Listens on the network in front of a server, and connects admitted clients to the gRPC server behind it."""

import asyncio
import errno
import itertools
import os
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from cryptography.x509 import CertificateRevocationList

from fr_core.errors import AddressUnavailable, message
from fr_server.clock import wall_ms
from fr_server.config import LimitsConfig
from fr_server.gateway.address import address_of, addresses_of, unavailable
from fr_server.gateway.connection import Connection, Peer, network_of
from fr_server.gateway.relay import CHUNK_BYTES
from fr_server.gateway.tls import TlsFiles, revocations, server_context
from fr_server.telemetry.trust import Refusal, Trust

_BACKLOG = 1024
# Accepted in one step, so that a flood of new connections does not delay the existing ones.
_ACCEPTED_AT_ONCE = 32
# The machine is out of file descriptors or memory: wait until some are free.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_AGAIN_S = 0.2
# The interval for checking time limits, unless a tenth of the shortest limit is less.
_CHECK_S = 0.25
# The kernel's buffer for a client that does not read; by default, Linux lets it grow to 4 MiB.
_UNSENT_BYTES = 128 * 1024
# Linux's sun_path has 108 bytes, including the final zero. Our names have at most 14 ("c" and 13 digits).
_LONGEST_FOLDER = 108 - 1 - 1 - 14
_SCHEME = "unix:"


class Gateway:
    """Listens in front of a gRPC server on a unix socket, with an event loop in its own thread.

    `host` is a name or an address to listen on, as in the configuration. With `reuse_port`, other processes of the same
    server also listen on the port. `backend` is the unix socket of the server. Its folder must be private (mode 0700),
    because anyone who can open the socket bypasses the gateway. The gateway briefly creates its own sockets there.
    `tls` is None for plaintext. The same one of the `limits` applies separately to open connections and to those that
    have not sent their first bytes. One more of the latter closes the oldest of them, so that silent sockets do not
    lock others out.
    """

    def __init__(
        self,
        host: str,
        port: int,
        reuse_port: bool,
        backend: Path,
        tls: TlsFiles | None = None,
        limits: LimitsConfig | None = None,
        listener: Trust | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._host = host
        self.port = port
        self._reuse_port = reuse_port
        self.backend = backend
        self._tls = tls
        self.limits = limits or LimitsConfig()
        self.listener = listener or Trust()
        self._now_ms = now_ms
        self.room = memoryview(bytearray(CHUNK_BYTES))
        self.context: ssl.SSLContext | None = None
        self.revoked: list[CertificateRevocationList] = []  # since the last `reload`
        self._half_open: dict[Connection, None] = {}  # oldest first
        self._open: set[Connection] = set()
        self._of_network: Counter[str] = Counter()
        self._peers: dict[str, Peer] = {}
        self._numbers = itertools.count()
        self._listening: list[socket.socket] = []
        self._stopping = False
        self.loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None

    # Called by other threads.

    def start(self) -> None:
        """Listen once; `port` is then the actual port. Raises `AddressUnavailable`, or `TlsUnusable` as `check_tls`."""
        if len(os.fsencode(self.backend.parent)) > _LONGEST_FOLDER:
            raise AddressUnavailable(message("error.server.folder_server_own_socket", longest_folder=_LONGEST_FOLDER))
        if self._tls is not None:
            self.context = server_context(self._tls, self._now_ms())
        self._listening = self._bound()
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()

    def reload(self) -> None:
        """Read the TLS files anew and end revoked connections; raises `TlsUnusable`, and the old files stay in use."""
        if self._tls is not None:
            self.context = server_context(self._tls, self._now_ms())
            lists = revocations(self._tls, self._now_ms())
            with suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(self._end_revoked, lists)

    def peer_of(self, path: str) -> Peer | None:
        """Return the peer of an open connection by our path, or by `context.peer()`: `unix:PATH`, quoted."""
        own = path.removeprefix(_SCHEME)
        return self._peers.get(path if own == path else unquote(own))

    def stop(self, grace_s: float) -> None:
        """Stop listening, end all connections within `grace_s`, and wait for that. May be called twice."""
        if self._thread is not None:
            with suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(self._begin_stop, grace_s)
            self._thread.join()

    @property
    def connections(self) -> int:
        """Return the number of connected clients, including those that have not sent their first bytes."""
        return self._of_network.total()

    @property
    def half_open(self) -> int:
        """Return the number of clients that have not sent their first bytes."""
        return len(self._half_open)

    @property
    def kept_bytes(self) -> int:
        """The number of bytes that the gateway keeps for clients and for the server until they read."""
        return sum(one.kept_bytes for one in list(self._open))

    # Called by connections, in the gateway's thread.

    def name_for(self, peer: Peer) -> Path:
        """Return a path for our end of a connection to the server; it identifies the peer."""
        name = self.backend.parent / f"c{next(self._numbers)}"
        self._peers[str(name)] = peer
        return name

    def forget(self, name: Path) -> None:
        """Forget which peer a path belongs to."""
        del self._peers[str(name)]

    def greeted(self, one: Connection) -> bool:
        """Count a connection as open, or return False if there are too many."""
        if len(self._open) >= self.limits.connections:
            return False
        del self._half_open[one]
        self._open.add(one)
        return True

    def left(self, one: Connection) -> None:
        """Stop counting a connection."""
        self._half_open.pop(one, None)
        self._open.discard(one)
        network = network_of(one.address)
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]
        if self._stopping and not self.connections:
            self.loop.call_soon(self.loop.stop)  # after the task of the connection

    # The thread.

    def _bound(self) -> list[socket.socket]:
        address = address_of(self._host, self.port)
        try:
            with ExitStack() as held:
                made: list[socket.socket] = []
                for family, host in addresses_of(self._host, self.port):
                    one = socket.create_server(
                        (host, self.port), family=family, backlog=_BACKLOG, reuse_port=self._reuse_port
                    )
                    made.append(held.enter_context(one))
                    one.setblocking(False)
                    self.port = one.getsockname()[1]
                held.pop_all()
                return made
        except (OSError, UnicodeError) as error:
            raise unavailable(address) from error

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
                # Otherwise, no client waits, or it has gone; accept(2) also reports failed networks of clients.
                if error.errno in _EXHAUSTED:
                    self.loop.remove_reader(listening)
                    self.loop.call_later(_ACCEPT_AGAIN_S, self._accept_again, listening)
                return
            self._welcome(client, str(address[0]).partition("%")[0])  # without the zone of IPv6

    def _accept_again(self, listening: socket.socket) -> None:
        if not self._stopping:
            self.loop.add_reader(listening, self._accept, listening)

    def _welcome(self, client: socket.socket, address: str) -> None:
        if why := self._refusal(address):
            client.close()
            self.listener.connection_refused(address, why)
            return
        try:
            self._prepare(client)
        except OSError:  # the client has already gone
            client.close()
            return
        if len(self._half_open) >= self.limits.connections:
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            oldest.crowd_out()
        self._of_network[network_of(address)] += 1
        self._half_open[Connection(self, client, address)] = None

    def _refusal(self, address: str) -> Refusal | None:
        if len(self._open) >= self.limits.connections:
            return Refusal.TOO_MANY
        if self._of_network[network_of(address)] >= self.limits.connections_per_address:
            return Refusal.TOO_MANY_OF_ADDRESS
        return None

    def _prepare(self, client: socket.socket) -> None:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        # For a client whose machine is gone. Twice the time, so that we close and count a client that does not read.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(self.limits.stall_s * 2000)))

    def _check(self) -> None:
        limits = self.limits
        # Schedule the next check first, so that a defect in one connection does not end all checks.
        self.loop.call_later(min(_CHECK_S, limits.stall_s / 10, (limits.idle_s or limits.stall_s) / 10), self._check)
        now_s = self.loop.time()
        for one in self._open:
            one.check(now_s)

    def _end_revoked(self, lists: list[CertificateRevocationList]) -> None:
        self.revoked = lists
        for one in self._open:
            one.end_if_revoked()

    def _begin_stop(self, grace_s: float) -> None:
        if not self._stopping:
            self._stopping = True
            for one in self._listening:
                self.loop.remove_reader(one)
                one.close()
        self._stop_all(at_once=False)
        if not self.connections:
            self.loop.stop()
        self.loop.call_later(grace_s, partial(self._stop_all, at_once=True))

    def _stop_all(self, *, at_once: bool) -> None:
        for one in [*self._half_open, *self._open]:
            one.stop(at_once=at_once)
