"""The front door of a server: listens on the network, and joins whoever may come in to the gRPC server behind it."""

from __future__ import annotations

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

from fr_core.errors import AddressUnavailable
from fr_server.clock import wall_ms
from fr_server.config import LimitsConfig
from fr_server.gateway.address import address_of
from fr_server.gateway.connection import Connection, Peer, network_of
from fr_server.gateway.listener import DoorListener, NullDoorListener, Refusal
from fr_server.gateway.relay import CHUNK_BYTES
from fr_server.gateway.tls import TlsFiles, revocations, server_context

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
        limits: of connections. The same limit applies to open connections and to those that have not sent their first
            bytes; one more of the latter closes the oldest of them, so that silent sockets do not shut others out.
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
        limits: LimitsConfig | None = None,
        listener: DoorListener | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._host = host
        self.port = port
        self._reuse_port = reuse_port
        self.backend = backend
        self._tls = tls
        self.limits = limits or LimitsConfig()
        self.listener = listener or NullDoorListener()
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

    # What other threads call.

    def start(self) -> None:
        """Listen; `port` is then the port that is listened on. A door is started once.

        Raises:
            AddressUnavailable: the address cannot be listened on, or the folder of the backend has too long a name.
            TlsUnusable: as `check_tls`.
        """
        if len(os.fsencode(self.backend.parent)) > _LONGEST_FOLDER:
            raise AddressUnavailable(
                f"The folder of the server's own socket has a path of more than {_LONGEST_FOLDER} bytes; "
                "set TMPDIR to a folder with a shorter path."
            )
        if self._tls is not None:
            self.context = server_context(self._tls, self._now_ms())
        self._listening = self._bound()
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._thread.start()

    def reload(self) -> None:
        """Read the TLS files again, for new connections, and close connections whose certificate is now revoked.

        Raises:
            TlsUnusable: as `check_tls`; new connections get what earlier ones got.
        """
        if self._tls is not None:
            self.context = server_context(self._tls, self._now_ms())
            lists = revocations(self._tls, self._now_ms())
            with suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(self._end_revoked, lists)

    def peer_of(self, path: str) -> Peer | None:
        """Return who is at the other end of a connection that is open; None = there is no such connection (any more).

        Args:
            path: of the near end, also as gRPC's `context.peer()` writes it: `unix:PATH`, percent-encoded.
        """
        own = path.removeprefix(_SCHEME)
        return self._peers.get(path if own == path else unquote(own))

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
        """Return how many clients are at the door, those included that have not greeted."""
        return self._of_network.total()

    @property
    def half_open(self) -> int:
        """Return how many clients have not greeted."""
        return len(self._half_open)

    @property
    def kept_bytes(self) -> int:
        """Number of bytes that the door keeps for clients, and for the server, until they read."""
        return sum(one.kept_bytes for one in list(self._open))

    # What connections call, within the door's thread.

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
                for family, host in _addresses(self._host, self.port):
                    one = socket.create_server(
                        (host, self.port), family=family, backlog=_BACKLOG, reuse_port=self._reuse_port
                    )
                    made.append(held.enter_context(one))
                    one.setblocking(False)
                    self.port = one.getsockname()[1]
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
        """Return why the door refuses connections from an address now, or None."""
        if len(self._open) >= self.limits.connections:
            return Refusal.TOO_MANY
        if self._of_network[network_of(address)] >= self.limits.connections_per_address:
            return Refusal.TOO_MANY_OF_ADDRESS
        return None

    def _prepare(self, client: socket.socket) -> None:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        # For a client whose machine is gone. Twice the time, so that who does not read is closed by us, and counted.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(self.limits.stall_s * 2000)))

    def _check(self) -> None:
        limits = self.limits
        # First, so that no limit ends for good with a defect that one connection meets.
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


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
