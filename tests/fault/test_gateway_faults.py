"""The gateway closes clients that waste its connections, and other callers hardly notice."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fr_server.config import LimitsConfig
from fr_server.gateway.relay import CHUNK_BYTES
from fr_server.gateway.tls import TlsFiles
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal
from support.gateways import (
    BEHIND_HANDSHAKE_S,
    FLOOD_CHUNK_BYTES,
    FLOOD_CHUNKS,
    House,
    Papers,
    asking,
    call,
    channel,
    ended,
    house,
    knock,
)
from support.hostile import PREFACE, frame

GREETED = PREFACE + frame(4, 0, 0, b"")


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def tls(papers: Papers) -> TlsFiles:
    return papers.tls(papers.server())


@contextlib.contextmanager
def knocking(at: House, number: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as held:
        yield [held.enter_context(knock(at.gateway.port)) for _ in range(number)]


def _p99_s(made: grpc.Channel, calls: int) -> float:
    took = []
    for _ in range(calls):
        begun = time.perf_counter()
        call(made, "echo", b"x")
        took.append(time.perf_counter() - begun)
    return sorted(took)[int(calls * 0.99)]


def test_silent_sockets_are_closed_and_others_served(papers: Papers, tls: TlsFiles, tmp_path: Path) -> None:
    limits = LimitsConfig(handshake_s=1.0, connections_per_address=1000)
    with house(tmp_path / "d", tls, limits) as at, channel(at.address, papers.credentials()) as made:
        call(made, "echo")
        quiet_s = _p99_s(made, 200)
        begun = time.monotonic()
        with knocking(at, 400) as sockets:
            for one in sockets[::2]:
                one.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
            at.until(lambda: at.gateway.half_open == 400)
            assert min(_p99_s(made, 200) for _ in range(3)) < max(0.25, 2 * quiet_s)
            with channel(at.address, papers.credentials()) as late:
                assert call(late, "echo", b"new") == b"new"
            at.until(lambda: at.overheard.failures.count(HandshakeFailure.TIMED_OUT) == 400)
            assert time.monotonic() - begun >= 1.0
            assert all(ended(one) < 20 for one in sockets)
        at.until(lambda: at.gateway.connections <= 1)
        assert call(made, "echo", b"old") == b"old"


def test_a_defect_of_one_check_does_not_end_the_limits(tls: TlsFiles, tmp_path: Path) -> None:
    with house(tmp_path / "d", tls, LimitsConfig(handshake_s=0.3)) as at:
        hear = at.overheard.handshake_failed
        heard: list[str] = []

        def defective_once(address: str, why: HandshakeFailure) -> None:
            heard.append(address)
            if len(heard) == 1:
                raise ZeroDivisionError
            hear(address, why)

        at.overheard.handshake_failed = defective_once  # type: ignore[method-assign]
        with knock(at.gateway.port):
            at.until(lambda: len(heard) == 1)
        with knock(at.gateway.port) as late:
            assert ended(late) < 20
        assert HandshakeFailure.TIMED_OUT in at.overheard.failures


def test_control_without_limits_silent_sockets_shut_others_out(papers: Papers, tls: TlsFiles, tmp_path: Path) -> None:
    never = LimitsConfig(handshake_s=3600.0, connections=50, connections_per_address=50)
    with house(tmp_path / "d", tls, never) as at, knocking(at, 50) as sockets:
        at.until(lambda: at.gateway.half_open == 50)
        time.sleep(1.5)
        assert at.gateway.half_open == 50
        assert at.overheard.failures == []
        with channel(at.address, papers.credentials()) as made, pytest.raises(grpc.RpcError):
            call(made, "echo", b"in")
        assert len(sockets) == 50


def test_silent_sockets_do_not_shut_others_out(papers: Papers, tls: TlsFiles, tmp_path: Path) -> None:
    limits = LimitsConfig(handshake_s=30.0, connections=20)
    with house(tmp_path / "d", tls, limits) as at, knocking(at, 50) as sockets:
        at.until(lambda: at.overheard.refusals == [Refusal.CROWDED_OUT] * 30)
        assert all(ended(one) < 20 for one in sockets[:30])
        with channel(at.address, papers.credentials()) as made:
            assert call(made, "echo", b"in") == b"in"
        assert at.gateway.half_open <= 20


SHORT = LimitsConfig(handshake_s=0.3)


@pytest.mark.parametrize(
    ("first", "limits", "told"),
    [
        (b"", SHORT, [Refusal.NO_FIRST_BYTES]),
        (PREFACE[:10], SHORT, [Refusal.NO_FIRST_BYTES]),
        (PREFACE[:-1], SHORT, [Refusal.NO_FIRST_BYTES]),
        (b"GET / HTTP/1.1\r\n\r\n", None, [Refusal.NOT_HTTP2]),
        (PREFACE, None, [Parting.SERVER]),  # gRPC closes who stops before its settings
        (GREETED[:-1], None, [Parting.SERVER]),
    ],
)
def test_who_does_not_greet_as_http2_does_is_closed(
    papers: Papers, tls: TlsFiles, tmp_path: Path, first: bytes, limits: LimitsConfig | None, told: list[object]
) -> None:
    with house(tmp_path / "d", tls, limits) as at, knock(at.gateway.port) as raw:
        with papers.context().wrap_socket(raw, server_hostname="localhost") as made:
            made.sendall(first)
            within_s = 20 + 2 * BEHIND_HANDSHAKE_S
            assert (0.1 if limits else 0.0) <= ended(made, within_s) < within_s
        at.until(lambda: [*at.overheard.refusals, *at.overheard.partings] == told)
        assert at.overheard.joined == (told == [Parting.SERVER])


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_slow_reader_is_aborted_cheaply(papers: Papers, tls: TlsFiles, tmp_path: Path, encrypted: bool) -> None:
    limits = LimitsConfig(stall_s=1.0)
    with house(tmp_path / "d", tls if encrypted else None, limits) as at, knock(at.gateway.port) as raw:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        made = papers.context().wrap_socket(raw, server_hostname="localhost") if encrypted else raw
        made.sendall(asking("flood"))
        at.until(lambda: at.overheard.joined == 1)
        most = 0
        ends = time.monotonic() + 5
        while not at.overheard.partings and time.monotonic() < ends:
            most = max(most, at.gateway.kept_bytes)
            time.sleep(0.01)
        at.until(lambda: at.overheard.partings == [Parting.STALLED])
        assert 0 < most <= CHUNK_BYTES
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * 1024
        assert grown < FLOOD_CHUNKS * FLOOD_CHUNK_BYTES / 4
        made.close()


def test_a_reader_that_is_merely_slow_is_kept(tmp_path: Path) -> None:
    with house(tmp_path / "d", None, LimitsConfig(stall_s=0.5)) as at, knock(at.gateway.port) as raw:
        raw.sendall(asking("flood"))
        read, ends = 0, time.monotonic() + 1.5
        while time.monotonic() < ends:
            read += len(raw.recv(2**20))
            time.sleep(0.02)
        assert at.overheard.partings == []
        assert read > 2**20


def test_who_is_idle_is_closed(papers: Papers, tls: TlsFiles, tmp_path: Path) -> None:
    with house(tmp_path / "d", tls, LimitsConfig(idle_s=1.0)) as at, channel(at.address, papers.credentials()) as made:
        for _ in range(8):  # who calls now and then is not
            call(made, "wait", b"0.1")
        assert at.overheard.partings == []
        at.until(lambda: at.overheard.partings == [Parting.IDLE])
        assert call(made, "echo", b"again") == b"again"  # the client connects once more


def test_one_address_cannot_take_all_the_room(tmp_path: Path) -> None:
    limits = LimitsConfig(connections_per_address=3, connections=5)
    with house(tmp_path / "d", None, limits) as at, contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(knock(at.gateway.port, "127.0.0.2")).sendall(GREETED)
        at.until(lambda: at.overheard.joined == 3)
        assert ended(held.enter_context(knock(at.gateway.port, "127.0.0.2"))) < 20
        at.until(lambda: at.overheard.refusals == [Refusal.TOO_MANY_OF_ADDRESS])
        others = [held.enter_context(knock(at.gateway.port)) for _ in range(2)]
        for one in others:
            one.sendall(GREETED)
        at.until(lambda: at.overheard.joined == 5)
        assert ended(held.enter_context(knock(at.gateway.port, "127.0.0.3"))) < 20
        at.until(lambda: at.overheard.refusals == [Refusal.TOO_MANY_OF_ADDRESS, Refusal.TOO_MANY])
        assert at.overheard.addresses == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
        others[0].close()  # and then there is room again
        at.until(lambda: at.gateway.connections == 4)
        held.enter_context(knock(at.gateway.port, "127.0.0.3")).sendall(GREETED)
        at.until(lambda: at.overheard.joined == 6)


def test_who_greets_when_the_last_place_is_taken(tmp_path: Path) -> None:
    with house(tmp_path / "d", None, LimitsConfig(connections=2)) as at, knocking(at, 1) as (one,):
        one.sendall(GREETED)
        at.until(lambda: at.overheard.joined == 1)
        with knocking(at, 2) as (two, three):
            at.until(lambda: at.gateway.half_open == 2)
            two.sendall(GREETED)
            at.until(lambda: at.overheard.joined == 2)
            three.sendall(GREETED)
            assert ended(three) < 20
            at.until(lambda: at.overheard.refusals == [Refusal.TOO_MANY])


def test_a_client_that_vanishes_ends_its_call(papers: Papers, tls: TlsFiles, tmp_path: Path) -> None:
    with house(tmp_path / "d", tls) as at:
        for _ in range(20):
            with knock(at.gateway.port) as raw:
                made = papers.context().wrap_socket(raw, server_hostname="localhost")
                made.sendall(asking("flood"))
                made.recv(1000)
                made.close()  # with unread bytes: the kernel resets
        at.until(lambda: at.gateway.connections == 0)
        assert len(at.overheard.partings) == 20
        assert at.gateway._peers == {}
        assert sorted(one.name for one in (tmp_path / "d").iterdir()) == ["grpc"]
