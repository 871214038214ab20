"""Listens for HTTP: counts connections, from the handshake on, and closes those that waste resources."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from fr_web.room import network_of

log = logging.getLogger("fr_web")

_HEAD_BYTES = 32 * 1024  # keys are short, tokens of a provider a few KiB
_CHECK_S = 0.25
# The machine is out of file descriptors or memory: wait until some are free.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_AGAIN_S = 0.2
_PLAIN_REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
    b"This port speaks HTTPS: begin the address with https://.\n"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most connections, in all and of one address (of IPv6, of a 64-bit network), and how slow they may be."""

    connections: int = 1024
    of_address: int = 256
    handshake_s: float = 5.0  # as `limits.handshake_s` of a server
    head_s: float = 5.0  # for the head of a request, from its first byte on
    stall_s: float = 30.0  # without the caller taking the answer, as `limits.stall_s`
    idle_s: float = 75.0  # until the next request: browsers keep connections for a minute or more


class Listener:
    """Serves an application on listening sockets, which it closes; `context` is that of TLS, None for none.

    At the limit, a connection on which no request is at work gives way to a new one, then one whose request has not
    come whole: the oldest first.
    """

    def __init__(
        self, app: ASGIApp, sockets: Sequence[socket.socket], context: ssl.SSLContext | None, limits: Limits
    ) -> None:
        self.context = context
        self.limits = limits
        self.state = ServerState()
        self.config = Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # the address of a caller is that of the connection
            server_header=False,
            timeout_keep_alive=math.ceil(limits.idle_s),
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        self.config.load()
        # It would log each bad request, and defects with what a caller sent: the application logs its own.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        self._sockets = sockets
        self._open: dict[_Connection, None] = {}  # oldest first
        self._of_network: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Accept connections from now on, within the running event loop."""
        for one in self._sockets:
            one.setblocking(False)
            self._tasks.append(asyncio.create_task(self._accept(one)))
        self._tasks.append(asyncio.create_task(self._check()))

    async def stop(self, grace_s: float) -> None:
        """Accept no more, let requests at work end within so many seconds, and close all connections."""
        for task in self._tasks:
            task.cancel()
        for one in self._sockets:
            one.close()
        for connection in list(self._open):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._open:  # noqa: ASYNC110 - each connection ends by itself
                    await asyncio.sleep(0.02)
        for connection in list(self._open):
            connection.cut()

    def left(self, connection: _Connection) -> None:
        """Stop counting a connection; may be called twice."""
        if connection in self._open:
            del self._open[connection]
            self._of_network[connection.network] -= 1
            if not self._of_network[connection.network]:
                del self._of_network[connection.network]

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listening)
            except OSError as error:  # accept(2) also reports failed networks of clients
                await asyncio.sleep(_ACCEPT_AGAIN_S if error.errno in _EXHAUSTED else 0)
                continue
            network = network_of(str(address[0]))
            if self._of_network[network] >= self.limits.of_address or not self._has_room():
                client.close()
                continue
            with suppress(OSError):  # the client has already gone
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2000 * self.limits.stall_s))
            connection = _Connection(self, network)
            self._open[connection] = None
            self._of_network[network] += 1
            connection.begin(client)
            await asyncio.sleep(0)  # a flood of new connections does not delay the others

    def _has_room(self) -> bool:
        """Return whether one more connection may open, once the oldest that waits for its caller has given way."""
        if len(self._open) < self.limits.connections:
            return True
        idle = (one for one in self._open if not one.works)
        waiting = next(idle, None) or next((one for one in self._open if one.cycle.more_body), None)
        if waiting is not None:
            waiting.cut()
            self.left(waiting)
        return waiting is not None

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_CHECK_S)
            for one in list(self._open):
                if one.wastes(loop.time()):
                    one.cut()


class _Connection(H11Protocol):
    """Adds to uvicorn's protocol what it does without: limits of time, and of requests that come ahead of answers.

    It exists from the first moment, when there is only a socket of the unit `network`.
    """

    def __init__(self, listener: Listener, network: str) -> None:
        super().__init__(listener.config, listener.state, {})
        self.network = network
        self._listener = listener
        self._limits = listener.limits
        self._handshake: asyncio.Task[None] | None = None
        self._stalled_s: float | None = None
        self._wait(self._limits.head_s)

    def begin(self, client: socket.socket) -> None:
        """Do the handshake, in a task of its own."""
        self._handshake = asyncio.create_task(self._shake(client))
        self._handshake.add_done_callback(lambda _: self._shaken(client))  # also if the task never began

    @property
    def works(self) -> bool:
        """Return whether a request is at work."""
        cycle: Any = self.cycle  # None before the first
        return not (cycle is None or cycle.response_complete)

    def wastes(self, now_s: float) -> bool:
        """Return whether the caller is too slow to ask, or to take the answer."""
        if self._stalled_s is not None:
            return now_s - self._stalled_s >= self._limits.stall_s
        return not self.works and now_s - self._since_s >= self._limit_s

    def cut(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    def shutdown(self) -> None:
        """Close once no request is at work."""
        if self.transport is None:
            self.cut()
        else:
            super().shutdown()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        self._wait(self._limits.head_s)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        super().connection_lost(exc)
        self._listener.left(self)

    def data_received(self, data: bytes) -> None:
        """Take one request at a time: a caller that sends the next before the answer must connect anew.

        uvicorn would read more with each answer than the next request takes, and keep it.
        """
        if self.works and not self.cycle.more_body:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if not self.works and self._idle:
            self._wait(self._limits.head_s)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait(self._limits.idle_s, idle=True)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note that the caller does not take the answer."""
        self._stalled_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the caller takes it."""
        self._stalled_s = None
        super().resume_writing()

    def _wait(self, limit_s: float, *, idle: bool = False) -> None:
        self._since_s, self._limit_s, self._idle = self.loop.time(), limit_s, idle

    async def _shake(self, client: socket.socket) -> None:
        context = self._listener.context
        with suppress(OSError):  # the handshake failed, or took too long
            if context is None:
                await self.loop.connect_accepted_socket(lambda: self, client)
                return
            times = {"ssl_handshake_timeout": self._limits.handshake_s, "ssl_shutdown_timeout": 1.0}
            with client.dup() as plain:  # a failed handshake closes the other
                try:
                    await self.loop.connect_accepted_socket(lambda: self, client, ssl=context, **times)
                except ssl.SSLError as error:
                    if error.reason == "HTTP_REQUEST":
                        plain.send(_PLAIN_REFUSED)
                    raise

    def _shaken(self, client: socket.socket) -> None:
        if self.transport is None:
            client.close()
            self._listener.left(self)


def quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error of the event loop by its type: its words may hold what a caller sent."""
    error = context.get("exception")
    log.error("The event loop failed: %s", "no exception" if error is None else type(error).__name__)
