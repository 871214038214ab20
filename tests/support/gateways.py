"""A gRPC server behind a gateway, certificates for both sides, and clients that speak TLS and HTTP/2 by hand."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from fr_server.config import LimitsConfig
from fr_server.gateway.authority import Issued, make_authority, make_client_certificate, make_server_certificate
from fr_server.gateway.gateway import Gateway
from fr_server.gateway.listening import channel_limits
from fr_server.gateway.tls import ClientCertificates, TlsFiles
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal, Trust
from support.hostile import PREFACE as PREFACE
from support.hostile import call_headers
from support.hostile import frame as frame

FLOOD_CHUNK_BYTES, FLOOD_CHUNKS = 64 * 1024, 4000
DAY_MS = 86_400_000
BEHIND_HANDSHAKE_S = 2.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Overheard(Trust):
    failures: list[HandshakeFailure] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    partings: list[Parting] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    joined: int = 0

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        self.addresses.add(address)
        self.failures.append(why)

    def connection_refused(self, address: str, why: Refusal) -> None:
        self.addresses.add(address)
        self.refusals.append(why)

    def connected(self, address: str) -> None:
        self.addresses.add(address)
        self.joined += 1

    def disconnected(self, address: str, why: Parting) -> None:
        self.partings.append(why)


class Papers:
    def __init__(self, folder: Path, made_ms: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.made_ms = now_ms() if made_ms is None else made_ms
        self.authority = Issued(folder / "ca.pem", folder / "ca.key")
        make_authority(self.authority, "Test authority", self.made_ms)

    def server(self, name: str = "server", at_ms: int | None = None) -> Issued:
        into = Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        make_server_certificate(self.authority, into, ["localhost"], ["127.0.0.1"], at_ms or now_ms())
        return into

    def client(self, name: str, at_ms: int | None = None) -> Issued:
        into = Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        make_client_certificate(self.authority, into, name, at_ms or now_ms())
        return into

    def tls(
        self,
        server: Issued,
        clients: ClientCertificates = ClientCertificates.OFF,
        client_ca: Path | None = None,
        revoked: Path | None = None,
    ) -> TlsFiles:
        return TlsFiles(server.certificate, server.key, clients, client_ca or self.authority.certificate, revoked)

    def section(self, server: Issued, clients: str) -> dict[str, str]:
        """Return the section `tls` of a configuration."""
        paths = {"certificate": server.certificate, "key": server.key, "client_ca": self.authority.certificate}
        return {**{name: str(path) for name, path in paths.items()}, "client_certificates": clients}

    def root(self) -> bytes:
        return self.authority.certificate.read_bytes()

    def credentials(self, client: Issued | None = None) -> grpc.ChannelCredentials:
        if client is None:
            return grpc.ssl_channel_credentials(self.root())
        return grpc.ssl_channel_credentials(self.root(), client.key.read_bytes(), client.certificate.read_bytes())

    def context(self, client: Issued | None = None, alpn: tuple[str, ...] = ("h2",)) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context


class Handlers(grpc.GenericRpcHandler):
    waiting = 0  # calls that have come to it and wait

    def service(self, details: Any) -> Any:
        if details.method == "/door/flood":
            return grpc.unary_stream_rpc_method_handler(self._flood)
        calls = {"/door/echo": self._echo, "/door/who": self._who, "/door/wait": self._wait}
        return grpc.unary_unary_rpc_method_handler(calls[details.method])

    async def _echo(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return request

    async def _who(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return str(context.peer()).encode()

    async def _wait(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.waiting += 1
        await asyncio.sleep(float(request))
        return request

    async def _flood(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        for _ in range(FLOOD_CHUNKS):
            yield b"\0" * FLOOD_CHUNK_BYTES


class Behind:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.handlers = Handlers()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._stop: asyncio.Event
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        options = (
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            *channel_limits(handshake_s=BEHIND_HANDSHAKE_S),
        )
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self.handlers,))
        server.add_insecure_port(f"unix:{self._path}")
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop(0.5)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()


@dataclass
class House:
    gateway: Gateway
    overheard: Overheard
    behind: Behind

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.gateway.port}"

    def until(self, true: Callable[[], bool], within_s: float = 20.0) -> None:
        ends = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < ends, self.overheard
            time.sleep(0.005)


@contextlib.contextmanager
def house(
    folder: Path, tls: TlsFiles | None = None, limits: LimitsConfig | None = None, host: str = "127.0.0.1"
) -> Iterator[House]:
    folder.mkdir(mode=0o700, exist_ok=True)
    overheard = Overheard()
    behind = Behind(folder / "grpc")
    gateway = Gateway(host, 0, False, folder / "grpc", tls, limits, overheard)
    try:
        gateway.start()
        yield House(gateway, overheard, behind)
    finally:
        behind.stop()
        gateway.stop(2.0)


def channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    )
    if credentials is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, credentials, options)


def call(made: grpc.Channel, method: str, request: bytes = b"", timeout_s: float = 10.0) -> bytes:
    one: grpc.UnaryUnaryMultiCallable[bytes, bytes] = made.unary_unary(f"/door/{method}")
    return one(request, timeout=timeout_s)


def begin(made: grpc.Channel, method: str, request: bytes = b"", timeout_s: float = 10.0) -> Any:
    one: grpc.UnaryUnaryMultiCallable[bytes, bytes] = made.unary_unary(f"/door/{method}")
    return one.future(request, timeout=timeout_s)


def flood(made: grpc.Channel, timeout_s: float = 20.0) -> Iterator[bytes]:
    one: grpc.UnaryStreamMultiCallable[bytes, bytes] = made.unary_stream("/door/flood")
    return iter(one(b"", timeout=timeout_s))


def knock(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))


def asking(method: str, window: int = 2**31 - 1) -> bytes:
    """All that an HTTP/2 client sends to make a call, with windows that never close."""
    settings = frame(4, 0, 0, (4).to_bytes(2, "big") + window.to_bytes(4, "big"))
    more = frame(8, 0, 0, (window - 65535).to_bytes(4, "big"))
    block = call_headers(**{":path": f"/door/{method}".encode()})
    return PREFACE + settings + more + frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5))


def ended(one: socket.socket, within_s: float = 20.0) -> float:
    """Read until the other side closes; return how many seconds that took."""
    begun = time.monotonic()
    one.settimeout(within_s)
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while one.recv(65536):
            pass
    return time.monotonic() - begun
