"""The gateway in front of a real server: which connections it admits, and what it records of the others."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_core.errors import AddressUnavailable, TlsUnusable
from fr_server.config import LimitsConfig
from fr_server.gateway.authority import Issued, write_revocations
from fr_server.gateway.connection import network_of
from fr_server.gateway.gateway import Gateway
from fr_server.gateway.relay import CHUNK_BYTES, RECORD_BYTES, Relay
from fr_server.gateway.tls import ClientCertificates, TlsFiles, server_context
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal
from support.faults import until
from support.gateways import (
    DAY_MS,
    PREFACE,
    Overheard,
    Papers,
    asking,
    begin,
    call,
    channel,
    ended,
    flood,
    frame,
    house,
    knock,
    now_ms,
)

REQUIRED = ClientCertificates.REQUIRED
STEPS = 20
"""Of the door's event loop, more than a handshake takes."""


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"), now_ms() - 800 * DAY_MS)


@pytest.fixture(scope="module")
def server(papers: Papers) -> Issued:
    return papers.server()


@pytest.fixture(scope="module")
def client(papers: Papers) -> Issued:
    return papers.client("client")


def test_calls_of_all_sizes_come_through(papers: Papers, server: Issued, tmp_path: Path) -> None:
    with house(tmp_path / "d", papers.tls(server)) as at, channel(at.address, papers.credentials()) as made:
        for size in (0, 1, 16384, 1_000_003, 9 * 2**20):
            sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            assert call(made, "echo", sent) == sent
        whole = sum(len(chunk) for chunk in flood(made))
        assert whole == 64 * 1024 * 4000


def test_plaintext_comes_through_where_no_tls_is_asked_for(tmp_path: Path) -> None:
    with house(tmp_path / "d") as at, channel(at.address) as made:
        assert call(made, "echo", b"x" * 300_000) == b"x" * 300_000
        peer = at.gateway.peer_of(call(made, "who").decode())
        assert peer is not None
        assert (peer.address, peer.certificate_sha256) == ("127.0.0.1", "")


@pytest.mark.parametrize("shows", [True, False])
def test_the_door_says_who_calls(papers: Papers, server: Issued, client: Issued, tmp_path: Path, shows: bool) -> None:
    der = ssl.PEM_cert_to_DER_cert(client.certificate.read_text())
    credentials = papers.credentials(client if shows else None)
    with house(tmp_path / "d", papers.tls(server, ClientCertificates.OPTIONAL)) as at:
        with channel(at.address, credentials) as made:
            path = call(made, "who").decode()
            peer = at.gateway.peer_of(path)
            assert peer == at.gateway.peer_of(path.removeprefix("unix:"))
            assert peer is not None
            assert peer.address == "127.0.0.1"
            assert peer.certificate_sha256 == (hashlib.sha256(der).hexdigest() if shows else "")
            assert at.overheard.joined == 1
            assert at.gateway.connections == 1
        at.until(lambda: at.gateway.peer_of(path) is None)
        at.until(lambda: bool(at.overheard.partings))
        assert at.overheard.partings[0] in (Parting.CLIENT, Parting.LOST)  # lost: it closed with a ping unread
        assert sorted(one.name for one in (tmp_path / "d").iterdir()) == ["grpc"]


def test_two_connections_are_two_peers(papers: Papers, server: Issued, client: Issued, tmp_path: Path) -> None:
    other = papers.client(f"other-{tmp_path.name}")
    with (
        house(tmp_path / "d", papers.tls(server, REQUIRED)) as at,
        channel(at.address, papers.credentials(client)) as one,
        channel(at.address, papers.credentials(other)) as two,
    ):
        peers = [at.gateway.peer_of(call(made, "who").decode()) for made in (one, two, one)]
        assert peers[0] == peers[2]
        assert peers[0] != peers[1]


STRANGERS: dict[str, tuple[Callable[[Papers, Papers, str], Issued | None], HandshakeFailure]] = {
    "none": (lambda ours, theirs, name: None, HandshakeFailure.NO_CERTIFICATE),
    "expired": (
        lambda ours, theirs, name: ours.client(name, now_ms() - 500 * DAY_MS),
        HandshakeFailure.CERTIFICATE_EXPIRED,
    ),
    "too early": (
        lambda ours, theirs, name: ours.client(name, now_ms() + 5 * DAY_MS),
        HandshakeFailure.CERTIFICATE_NOT_YET_VALID,
    ),
    "another authority": (lambda ours, theirs, name: theirs.client(name), HandshakeFailure.UNKNOWN_AUTHORITY),
    "signed by itself": (lambda ours, theirs, name: theirs.authority, HandshakeFailure.UNKNOWN_AUTHORITY),
    # A server's certificate is for servers.
    "another purpose": (lambda ours, theirs, name: ours.server(name), HandshakeFailure.OTHER),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_clients_without_a_good_certificate(papers: Papers, server: Issued, tmp_path: Path, who: str) -> None:
    issued, why = STRANGERS[who]
    shown = issued(papers, Papers(tmp_path / "elsewhere"), f"stranger-{tmp_path.name}")
    with house(tmp_path / "d", papers.tls(server, REQUIRED)) as at:
        with knock(at.gateway.port) as raw:
            made = papers.context(shown).wrap_socket(raw, server_hostname="localhost")
            with contextlib.suppress(ConnectionError):
                made.sendall(asking("echo"))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                made.recv(1)  # in TLS 1.3 a client hears of its certificate with the first answer
            made.close()
        at.until(lambda: bool(at.overheard.failures))
        at.until(lambda: at.overheard.failures == [why])
        if who == "signed by itself":
            return  # gRPC's client refuses to show it
        with channel(at.address, papers.credentials(shown)) as grpc_made, pytest.raises(grpc.RpcError) as refused:
            call(grpc_made, "echo")
        at.until(lambda: len(at.overheard.failures) > 1)
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        at.until(lambda: set(at.overheard.failures) == {why})
        assert at.overheard.joined == 0


def test_an_optional_certificate_must_be_good(papers: Papers, server: Issued, tmp_path: Path) -> None:
    stranger = Papers(tmp_path / "elsewhere").client("stranger")
    with house(tmp_path / "d", papers.tls(server, ClientCertificates.OPTIONAL)) as at:
        with channel(at.address, papers.credentials(stranger)) as made, pytest.raises(grpc.RpcError):
            call(made, "echo")
        at.until(lambda: set(at.overheard.failures) == {HandshakeFailure.UNKNOWN_AUTHORITY})


def test_revoked_certificates(papers: Papers, server: Issued, client: Issued, tmp_path: Path) -> None:
    bad = papers.client(f"revoked-{tmp_path.name}")
    path = tmp_path / "revoked.pem"
    write_revocations(papers.authority, path, [bad.certificate], now_ms())
    with house(tmp_path / "d", papers.tls(server, REQUIRED, revoked=path)) as at:
        with channel(at.address, papers.credentials(client)) as made:
            assert call(made, "echo", b"good") == b"good"
        with channel(at.address, papers.credentials(bad)) as made, pytest.raises(grpc.RpcError):
            call(made, "echo")
        at.until(lambda: set(at.overheard.failures) == {HandshakeFailure.CERTIFICATE_REVOKED})
        # Of an authority whose list is missing nothing is known.
        other = Papers(tmp_path / "other")
        both = tmp_path / "both.pem"
        both.write_bytes(papers.root() + other.root())
        at.overheard.failures.clear()
        at.gateway._tls = papers.tls(server, REQUIRED, both, path)
        at.gateway.reload()
        with channel(at.address, papers.credentials(other.client("o"))) as made, pytest.raises(grpc.RpcError):
            call(made, "echo")
        at.until(lambda: set(at.overheard.failures) == {HandshakeFailure.REVOCATION_UNKNOWN})


def test_revocation_ends_open_connections(papers: Papers, server: Issued, client: Issued, tmp_path: Path) -> None:
    bad, path = papers.client(f"revoked-{tmp_path.name}"), tmp_path / "revoked.pem"
    write_revocations(papers.authority, path, [], now_ms())
    with (
        house(tmp_path / "d", papers.tls(server, REQUIRED, revoked=path)) as at,
        channel(at.address, papers.credentials(client)) as good,
        channel(at.address, papers.credentials(bad)) as lost,
    ):
        assert [call(good, "echo", b"x"), call(lost, "echo", b"x")] == [b"x", b"x"]
        waiting = [begin(good, "wait", b"1"), begin(lost, "wait", b"1")]
        at.until(lambda: at.behind.handlers.waiting == 2)
        write_revocations(papers.authority, path, [bad.certificate], now_ms())
        at.gateway.reload()
        at.until(lambda: at.overheard.partings == [Parting.REVOKED])
        assert waiting[1].code() is grpc.StatusCode.UNAVAILABLE
        assert waiting[0].result() == b"1"
        with pytest.raises(grpc.RpcError):
            call(lost, "echo", b"again")
        at.until(lambda: set(at.overheard.failures) == {HandshakeFailure.CERTIFICATE_REVOKED})
        assert call(good, "echo", b"still") == b"still"


def test_no_byte_of_a_revoked_client_reaches_the_server(papers: Papers, server: Issued, tmp_path: Path) -> None:
    bad, path, folder = papers.client(f"revoked-{tmp_path.name}"), tmp_path / "revoked.pem", tmp_path / "d"
    write_revocations(papers.authority, path, [], now_ms())
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as behind:
        behind.bind(str(folder / "grpc"))
        behind.listen()
        behind.settimeout(5)
        overheard, tls = Overheard(), papers.tls(server, REQUIRED, revoked=path)
        gateway = Gateway("127.0.0.1", 0, False, folder / "grpc", tls, None, overheard)
        gateway.start()
        try:
            with knock(gateway.port) as raw, papers.context(bad).wrap_socket(raw, server_hostname="localhost") as made:
                made.sendall(PREFACE[:5])
                until(lambda: gateway.half_open == 1)
                for _ in range(
                    STEPS
                ):  # all that the client has sent is there: so is the server's side of the handshake
                    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), gateway.loop).result(10)
                write_revocations(papers.authority, path, [bad.certificate], now_ms())
                gateway.reload()
                made.sendall(asking("echo")[5:])
                assert ended(made) < 20
            until(lambda: overheard.partings == [Parting.REVOKED])
            near, _ = behind.accept()
            with near:
                near.settimeout(5)
                assert near.recv(65536) == b""
        finally:
            gateway.stop(0.0)


@pytest.mark.parametrize("kind", ["grpc", "http", "zeros"])
def test_plaintext_is_no_tls(papers: Papers, server: Issued, tmp_path: Path, kind: str) -> None:
    with house(tmp_path / "d", papers.tls(server)) as at:
        if kind == "grpc":
            with channel(at.address) as made, pytest.raises(grpc.RpcError):
                call(made, "echo")
        else:
            with knock(at.gateway.port) as raw:
                raw.sendall(b"GET / HTTP/1.1\r\n\r\n" if kind == "http" else bytes(100))
                assert ended(raw) < 20
        at.until(lambda: set(at.overheard.failures) == {HandshakeFailure.NOT_TLS})


def test_tls_1_2_is_too_old(papers: Papers, server: Issued, tmp_path: Path) -> None:
    context = papers.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with house(tmp_path / "d", papers.tls(server)) as at:
        with knock(at.gateway.port) as raw, pytest.raises(ssl.SSLError) as refused:
            context.wrap_socket(raw, server_hostname="localhost")
        assert "PROTOCOL_VERSION" in (refused.value.reason or "")  # the client is told why
        at.until(lambda: at.overheard.failures == [HandshakeFailure.OLD_TLS])
    with house(tmp_path / "e", papers.tls(server)) as at, knock(at.gateway.port) as raw:
        made = papers.context().wrap_socket(raw, server_hostname="localhost")
        assert (made.version(), made.selected_alpn_protocol()) == ("TLSv1.3", "h2")
        made.close()


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
def test_a_client_without_http_2(papers: Papers, server: Issued, tmp_path: Path, alpn: tuple[str, ...]) -> None:
    with house(tmp_path / "d", papers.tls(server)) as at, knock(at.gateway.port) as raw:
        with papers.context(alpn=alpn).wrap_socket(raw, server_hostname="localhost") as made:
            assert ended(made) < 20
        at.until(lambda: at.overheard.failures == [HandshakeFailure.NO_H2])


def test_a_client_that_does_not_trust_the_server(papers: Papers, server: Issued, tmp_path: Path) -> None:
    elsewhere = Papers(tmp_path / "elsewhere")
    with house(tmp_path / "d", papers.tls(server)) as at:
        with knock(at.gateway.port) as raw, pytest.raises(ssl.SSLCertVerificationError):
            elsewhere.context().wrap_socket(raw, server_hostname="localhost")
        at.until(lambda: at.overheard.failures == [HandshakeFailure.SERVER_NOT_TRUSTED])
        with channel(at.address, elsewhere.credentials()) as made, pytest.raises(grpc.RpcError):
            call(made, "echo")
        at.until(lambda: HandshakeFailure.WENT_AWAY in at.overheard.failures)  # gRPC's client does not say why


@pytest.mark.parametrize("reset", [False, True])
def test_a_probe_of_the_port(papers: Papers, server: Issued, tmp_path: Path, reset: bool) -> None:
    with house(tmp_path / "d", papers.tls(server)) as at:
        with knock(at.gateway.port) as raw:
            if reset:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Who resets at once may be gone before there is anything to tell of.
        if not reset:
            at.until(lambda: at.overheard.failures == [HandshakeFailure.WENT_AWAY])
        at.until(lambda: at.gateway.connections == 0)


def test_no_session_is_resumed(papers: Papers, server: Issued, client: Issued, tmp_path: Path) -> None:
    context = papers.context(client)
    with (
        house(tmp_path / "d", papers.tls(server, REQUIRED)) as at,
        knock(at.gateway.port) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as made,
    ):
        made.sendall(asking("echo"))
        assert made.recv(1)
        assert made.session is None or not made.session.has_ticket


def test_new_connections_get_new_files_and_old_ones_go_on(papers: Papers, tmp_path: Path) -> None:
    first, second = papers.server(f"first-{tmp_path.name}"), papers.server(f"second-{tmp_path.name}")
    files = TlsFiles(tmp_path / "now.pem", tmp_path / "now.key")

    def put(issued: Issued) -> None:
        files.key.write_bytes(issued.key.read_bytes())
        files.key.chmod(0o600)
        files.certificate.write_bytes(issued.certificate.read_bytes())

    def shown(port: int) -> bytes:
        with knock(port) as raw, papers.context().wrap_socket(raw, server_hostname="localhost") as made:
            return made.getpeercert(binary_form=True) or b""

    put(first)
    with house(tmp_path / "d", files) as at, channel(at.address, papers.credentials()) as made:
        assert shown(at.gateway.port) == ssl.PEM_cert_to_DER_cert(first.certificate.read_text())
        waiting = begin(made, "wait", b"0.3")
        at.until(lambda: at.behind.handlers.waiting == 1)
        put(second)
        at.gateway.reload()
        assert shown(at.gateway.port) == ssl.PEM_cert_to_DER_cert(second.certificate.read_text())
        files.certificate.write_bytes(first.certificate.read_bytes())  # the key is the other's
        with pytest.raises(TlsUnusable):
            at.gateway.reload()
        assert shown(at.gateway.port) == ssl.PEM_cert_to_DER_cert(second.certificate.read_text())
        assert waiting.result() == b"0.3"
        assert call(made, "echo", b"still") == b"still"
        assert at.overheard.joined == 1


def test_no_door_opens_with_unusable_files(papers: Papers, server: Issued, tmp_path: Path) -> None:
    gateway = Gateway("127.0.0.1", 0, False, tmp_path / "grpc", TlsFiles(server.certificate, tmp_path / "missing"))
    with pytest.raises(TlsUnusable):
        gateway.start()
    gateway.stop(0)


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with house(tmp_path / "d") as at:
        with pytest.raises(AddressUnavailable):
            Gateway("127.0.0.1", at.gateway.port, False, tmp_path / "grpc").start()
        with pytest.raises(AddressUnavailable):
            Gateway("no.such.name.invalid", 0, False, tmp_path / "grpc").start()
        with pytest.raises(AddressUnavailable):
            Gateway("127.0.0.1", 0, False, Path("/" + "x" * 100) / "grpc").start()


def test_doors_of_one_server_share_a_port(tmp_path: Path) -> None:
    one = Gateway("127.0.0.1", 0, True, tmp_path / "grpc")
    one.start()
    two = Gateway("127.0.0.1", one.port, True, tmp_path / "grpc")
    two.start()
    assert one.port == two.port
    one.stop(0)
    two.stop(0)


def test_stopping_lets_calls_end(tmp_path: Path) -> None:
    with house(tmp_path / "d") as at, channel(at.address) as made:
        waiting = begin(made, "wait", b"0.3")
        at.until(lambda: at.behind.handlers.waiting == 1)
        at.behind.stop()  # says goodbye after the last answer, and closes
        at.gateway.stop(5.0)
        assert waiting.result() == b"0.3"
        at.until(lambda: at.overheard.partings == [Parting.SERVER])
        with pytest.raises(ConnectionError):
            knock(at.gateway.port)


def test_stopping_does_not_wait_for_ever(tmp_path: Path) -> None:
    with house(tmp_path / "d") as at, channel(at.address) as made:
        waiting = begin(made, "wait", b"30")
        at.until(lambda: at.behind.handlers.waiting == 1)
        at.gateway.stop(0.2)
        assert waiting.code() == grpc.StatusCode.UNAVAILABLE
        at.until(lambda: at.overheard.partings == [Parting.STOPPED])


def test_stopping_does_not_wait_for_who_has_not_greeted(tmp_path: Path) -> None:
    with house(tmp_path / "d") as at, knock(at.gateway.port):
        at.until(lambda: at.gateway.half_open == 1)
        begun = time.monotonic()
        at.gateway.stop(30.0)
        assert time.monotonic() - begun < 10


def test_a_server_that_is_slow_to_take_connections(tmp_path: Path) -> None:
    overheard = Overheard()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as busy:
        busy.bind(str(tmp_path / "s"))
        busy.listen(0)
        gateway = Gateway("127.0.0.1", 0, False, tmp_path / "s", None, LimitsConfig(handshake_s=1.5), overheard)
        gateway.start()
        with contextlib.ExitStack() as held:
            for _ in range(3):
                held.enter_context(knock(gateway.port)).sendall(GOOD)
            while not overheard.joined:
                time.sleep(0.01)
            time.sleep(0.1)
            assert overheard.joined == 1  # one waits in the queue, for which there is no more room
            taken = [held.enter_context(busy.accept()[0]) for _ in range(2)]
            assert [one.recv(len(GOOD)) for one in taken] == [GOOD, GOOD]
            time.sleep(2.0)
            assert overheard.refusals == []  # the third has come to the queue meanwhile
            held.enter_context(knock(gateway.port)).sendall(GOOD)
            until(lambda: overheard.refusals == [Refusal.NO_BACKEND])
        gateway.stop(0)


def test_an_end_is_passed_on_after_what_came_before_it(papers: Papers, server: Issued) -> None:
    """The client ends TLS and leaves its socket open: no selector tells of that a second time."""
    sent = b"x" * 5 * RECORD_BYTES
    (far, near), (sink, reader) = socket.socketpair(), socket.socketpair()
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    context = server_context(papers.tls(server), now_ms())
    with contextlib.closing(asyncio.SelectorEventLoop()) as loop, reader, far:
        shaking = threading.Thread(target=_send_and_end, args=(papers, far, sent))
        shaking.start()
        source = context.wrap_socket(near, server_side=True)
        shaking.join()
        source.setblocking(False)
        sink.setblocking(False)
        ended_with: list[int] = []
        room = memoryview(bytearray(CHUNK_BYTES))
        relay = Relay(loop, room, source, sink, lambda: ended_with.append(relay.kept_bytes), lambda _: None)
        relay.start()
        loop.run_until_complete(asyncio.sleep(0.05))
        assert (relay.kept_bytes > 0, ended_with) == (True, [])
        got = b""
        while len(got) < len(sent):
            got += reader.recv(2**20)
            loop.run_until_complete(asyncio.sleep(0.001))
        assert (got, ended_with) == (sent, [0])
        relay.stop()
        source.close()
        sink.close()


def _send_and_end(papers: Papers, far: socket.socket, sent: bytes) -> None:
    made = papers.context().wrap_socket(far.dup(), server_hostname="localhost")
    made.sendall(sent)
    made.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        made.unwrap()
    made.detach()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with house(tmp_path / "d") as at:
        at.behind.stop()
        with channel(at.address) as made, pytest.raises(grpc.RpcError):
            call(made, "echo")
        at.until(lambda: set(at.overheard.refusals) == {Refusal.NO_BACKEND})
        at.until(lambda: at.gateway.connections == 0)


GOOD = PREFACE + frame(4, 0, 0, bytes(6))


def test_an_address_shares_its_limit_with_its_network() -> None:
    assert network_of("2001:db8:0:1::5") == network_of("2001:db8:0:1:ffff::9") != network_of("2001:db8:0:2::5")
    assert network_of("10.1.2.3") != network_of("10.1.2.4")
