"""Handles one connection at the gateway: handshake, first bytes, both directions to the server, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509

from fr_server.gateway.relay import CHUNK_BYTES, RECORD_BYTES, Relay
from fr_server.gateway.tls import ALPN, HANDSHAKE_RECORD, explain
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal

if TYPE_CHECKING:
    from fr_server.gateway.gateway import Gateway

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes of an HTTP/2 client (RFC 9113, section 3.4). gRPC itself limits the time for its settings."""

# Do not reset a client whose last bytes are still on their way: it would lose its last answers.
_LINGER_S = 1.0
# The client has closed its sending side; the server's last answers may still come.
_LAST_ANSWERS_S = 5.0
# The queue of the server's socket is full.
_KNOCK_AGAIN_S = 0.01

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    address: str
    certificate_sha256: str  # sha256 of the client's certificate (DER), 64 hexadecimal digits; "" if it sent none


def network_of(address: str) -> str:
    """Return the unit that a limit applies to: the IPv4 address itself, or the 64-bit network of an IPv6 address."""
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if ":" in address else address


class Connection:
    """Connects a client to the server, and closes its non-blocking socket; runs only in the gateway's thread."""

    def __init__(self, gateway: Gateway, client: socket.socket, address: str) -> None:
        self.address = address
        self._gateway = gateway
        self._client = client
        self._server: socket.socket | None = None
        self._name: Path | None = None
        self._first = b""
        self._certificate: x509.Certificate | None = None
        self._relays: tuple[Relay, Relay] | None = None
        self._turned_away = False
        self._connected = False
        self._client_gone = False
        self._why: asyncio.Future[Parting] = gateway.loop.create_future()
        self._task = gateway.loop.create_task(self._serve())
        self._task.add_done_callback(self._close)

    def check(self, now_s: float) -> None:
        """End the connection if its client wastes it; called regularly."""
        if self._relays is not None:
            up, down = self._relays
            limits = self._gateway.limits
            if down.kept_bytes and now_s - down.moved_s >= limits.stall_s:
                self._part(Parting.STALLED)
            elif limits.idle_s and now_s - max(up.moved_s, down.moved_s) >= limits.idle_s:
                self._part(Parting.IDLE)

    def end_if_revoked(self) -> None:
        """End the connection if its client's certificate is now revoked."""
        if (shown := self._certificate) is not None:
            for one in self._gateway.revoked:
                if one.issuer == shown.issuer and one.get_revoked_certificate_by_serial_number(shown.serial_number):
                    self._part(Parting.REVOKED)

    def crowd_out(self) -> None:
        """Close a connection that waits for its client's first bytes, to make room for another."""
        if not self._turned_away:
            self._turned_away = True
            self._gateway.listener.connection_refused(self.address, Refusal.CROWDED_OUT)
        self._task.cancel()

    def stop(self, *, at_once: bool) -> None:
        """Close the connection, unless it is connected to the server and still has time to end."""
        if at_once or self._relays is None:
            self._part(Parting.STOPPED)
            self._task.cancel()

    @property
    def kept_bytes(self) -> int:
        """Return the number of bytes that wait for either side."""
        return sum(relay.kept_bytes for relay in self._relays or ())

    async def _serve(self) -> None:
        gateway = self._gateway
        if failure := await self._shake():
            self._turned_away = True
            gateway.listener.handshake_failed(self.address, failure)
        elif refusal := await self._greet() or await self._reach():
            self._turned_away = True
            gateway.listener.connection_refused(self.address, refusal)
        else:
            self._connected = True
            gateway.listener.connected(self.address)
            await self._carry()
        await self._linger()

    def _close(self, _: asyncio.Task[None]) -> None:
        """Close everything, at any stage: a cancelled task may not even have begun."""
        self._leave_server()
        self._client.close()
        self._gateway.left(self)
        if self._connected:
            why = self._why.result() if self._why.done() else Parting.STOPPED
            self._gateway.listener.disconnected(self.address, why)

    async def _ready(self, attempt: Callable[[], Done]) -> Done:
        while True:
            loop, add, remove = self._gateway.loop, self._gateway.loop.add_reader, self._gateway.loop.remove_reader
            try:
                return attempt()
            except ssl.SSLWantWriteError:
                add, remove = loop.add_writer, loop.remove_writer
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                pass
            ready = asyncio.Event()
            add(self._client, ready.set)
            try:
                await ready.wait()
            finally:
                remove(self._client)

    async def _shake(self) -> HandshakeFailure | None:
        context = self._gateway.context
        if context is None:
            return None
        try:
            async with asyncio.timeout(self._gateway.limits.handshake_s):
                # Only the first byte, before a client costs the memory of a TLS session.
                first = await self._ready(lambda: self._client.recv(1, socket.MSG_PEEK))
                if not first:
                    return HandshakeFailure.WENT_AWAY
                if first[0] != HANDSHAKE_RECORD:
                    return HandshakeFailure.NOT_TLS
                self._client = client = context.wrap_socket(
                    self._client, server_side=True, do_handshake_on_connect=False
                )
                await self._ready(client.do_handshake)
        except OSError as error:
            return explain(error)
        return None if client.selected_alpn_protocol() == ALPN else HandshakeFailure.NO_H2

    async def _greet(self) -> Refusal | None:
        try:
            async with asyncio.timeout(self._gateway.limits.handshake_s):
                while PREFACE.startswith(self._first) and self._first != PREFACE:
                    # A whole record: a selector does not report bytes that OpenSSL still holds.
                    got = await self._ready(lambda: self._client.recv(RECORD_BYTES))
                    if not got:
                        return Refusal.NO_FIRST_BYTES
                    self._first += got
        except OSError:
            return Refusal.NO_FIRST_BYTES
        if not self._first.startswith(PREFACE):
            return Refusal.NOT_HTTP2
        return None if self._gateway.greeted(self) else Refusal.TOO_MANY

    async def _reach(self) -> Refusal | None:
        """Connect to the server from our own path, which gRPC reports as the peer; return the reason if it fails."""
        shown = self._client.getpeercert(binary_form=True) if isinstance(self._client, ssl.SSLSocket) else None
        peer = Peer(self.address, hashlib.sha256(shown).hexdigest() if shown else "")
        self._certificate = x509.load_der_x509_certificate(shown) if shown else None
        self._name = self._gateway.name_for(peer)
        try:
            self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._server.setblocking(False)
            self._server.bind(os.fspath(self._name))
            async with asyncio.timeout(self._gateway.limits.handshake_s):
                while True:
                    try:
                        self._server.connect(os.fspath(self._gateway.backend))
                    except BlockingIOError:
                        await asyncio.sleep(_KNOCK_AGAIN_S)
                    else:
                        return None
        except OSError:
            return Refusal.NO_BACKEND
        finally:
            self._name.unlink(missing_ok=True)

    async def _carry(self) -> None:
        assert self._server is not None
        loop, room, client, server = self._gateway.loop, self._gateway.room, self._client, self._server
        up = Relay(loop, room, client, server, self._client_ended, self._up_failed)
        down = Relay(loop, room, server, client, self._server_ended, self._down_failed)
        self._relays = up, down
        self.end_if_revoked()  # the certificate may have been revoked since the handshake
        if not self._why.done():
            down.start()
            up.start(self._first)
        await self._why

    def _part(self, why: Parting) -> None:
        """End the connection; only the first reason counts."""
        if not self._why.done():
            self._why.set_result(why)

    def _client_ended(self) -> None:
        """Tell the server that the client has finished sending; the server may still answer."""
        self._client_gone = True
        if self._server is not None:
            with contextlib.suppress(OSError):  # it has gone too, and its own end will be read
                self._server.shutdown(socket.SHUT_WR)
        self._gateway.loop.call_later(_LAST_ANSWERS_S, self._part, Parting.CLIENT)

    def _server_ended(self) -> None:
        self._part(Parting.CLIENT if self._client_gone else Parting.SERVER)

    def _up_failed(self, which: socket.socket) -> None:
        if which is self._client:
            self._part(Parting.LOST)
        elif self._relays is not None:
            # The server has closed its socket. Our socket still delivers its last bytes and then the end.
            self._relays[0].stop()

    def _down_failed(self, which: socket.socket) -> None:
        lost = which is self._client and not self._client_gone
        self._part(Parting.LOST) if lost else self._server_ended()

    async def _linger(self) -> None:
        """Shut down TLS, and let the client read its last answers before the socket closes."""
        self._leave_server()
        if self._why.done() and self._why.result() in (Parting.LOST, Parting.STALLED):
            return
        with contextlib.suppress(OSError, ValueError):  # only a courtesy: the client may have gone
            if isinstance(self._client, ssl.SSLSocket):
                with contextlib.suppress(OSError, ValueError):
                    self._client.unwrap()
            self._client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LINGER_S):
                while await self._ready(lambda: self._client.recv_into(self._gateway.room[:CHUNK_BYTES])):
                    pass

    def _leave_server(self) -> None:
        for relay in self._relays or ():
            relay.stop()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._name is not None:
            self._gateway.forget(self._name)
            self._name = None
