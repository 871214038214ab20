"""A crowd of clients: hundreds of sockets that never greet, a thousand idle streams, and other callers beside them.

Run as a script, this file is the crowd: `python test_crowd.py ADDRESS TOKEN HALF_OPEN STREAMS REFUSED CLOSED` comes
when it reads a line, and waits until so many streams were refused; at the next line it waits until so many sockets were
closed, says what came of it, and goes.
"""

import contextlib
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import grpc
import pytest

from support.commands import Script, script
from support.counts import SLOWER, alone_at_night, count
from support.faults import until
from support.hostile import ACK, END_HEADERS, HEADERS, PREFACE, SETTINGS, call_headers, frame
from support.secured import HOST, SOON_S, Made, Others, figure, made, started_secured

WINDOWS = count("CROWD_WINDOWS")
# Others may use this machine, and make a window worse, never better: it is measured again, at most so often.
MOST_WINDOWS, WINDOW_S = 10 * WINDOWS, 1.0
HALF_OPEN, STREAMS, BEYOND = 400, 1_000, 60
PER_CONNECTION = 200
HANDSHAKE_S = 1.5
RUN_S = 0.005  # seconds of the model for a batch: a call is work, and not only the way to the server

STREAM = b"/fr_api.v1.GalleryService/StreamSearch"
# Half-open sockets come from addresses of their own, as those of a botnet would: each address has its limit.
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@dataclass
class Crowd:
    """Sockets that never greet, and come again when they are closed (after `longest_s` at most), and silent streams."""

    address: tuple[str, int]
    token: str
    silent: dict[int, tuple[socket.socket, float]] = field(default_factory=dict)
    streams: list[ssl.SSLSocket] = field(default_factory=list)
    closed: int = 0
    longest_s: float = 0.0
    refused: int = 0

    def come(self, half_open: int, streams: int, refused: int) -> None:
        while streams > 0:
            self._open_streams(min(streams, PER_CONNECTION))
            streams -= PER_CONNECTION
        self._until(lambda: self.refused >= refused)
        for number in range(half_open):  # spread, so that they go on being closed all the while
            self._knock(number)
            self._turn_to(self.silent_sockets, HANDSHAKE_S / HALF_OPEN)

    @property
    def silent_sockets(self) -> list[socket.socket]:
        return [one for one, _ in self.silent.values()]

    def stay(self, line: IO[str], closed: int) -> None:
        while not self._turn_to([*self.silent_sockets, *self.streams, line], SOON_S):
            pass
        line.readline()
        self._until(lambda: self.closed >= closed)

    def _until(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + SOON_S
        while not condition() and time.monotonic() < ends:
            self._turn_to([*self.silent_sockets, *self.streams], 0.1)

    def _turn_to(self, among: Sequence[Any], seconds: float) -> bool:
        """Wait for something to read, and read it; return whether it was none of the crowd's own."""
        readable, _, _ = select.select(among, [], [], seconds)
        for one in readable:
            if isinstance(one, ssl.SSLSocket):
                self._read(one)
            elif isinstance(one, socket.socket):
                self._closed(one)
            else:
                return True
        return False

    def go(self) -> None:
        for one in (*self.streams, *self.silent_sockets):
            one.close()

    def _knock(self, number: int) -> None:
        source = (ADDRESSES[number % len(ADDRESSES)], 0)
        one = socket.create_connection(self.address, SOON_S, source)
        self.silent[one.fileno()] = (one, time.monotonic())

    def _closed(self, one: socket.socket) -> None:
        _, since_s = self.silent.pop(one.fileno())
        self.closed += 1
        self.longest_s = max(self.longest_s, time.monotonic() - since_s)
        one.close()
        self._knock(self.closed)

    def _open_streams(self, number: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        one = context.wrap_socket(socket.create_connection(self.address, SOON_S, ("127.0.0.5", 0)))
        block = call_headers(**{":path": STREAM, "authorization": f"Bearer {self.token}".encode()})
        calls = (frame(HEADERS, END_HEADERS, 2 * at + 1, block) for at in range(number))
        one.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0) + b"".join(calls))
        one.setblocking(False)
        self.streams.append(one)

    def _read(self, one: ssl.SSLSocket) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            # With every refusal; the bare grpc-status is spelt out once a connection only (HPACK).
            self.refused += one.recv(2**20).count(b"grpc-status-details-bin")


def main(address: str, token: str, *numbers: str) -> None:
    host, port = address.rsplit(":", 1)
    half_open, streams, refused, closed = map(int, numbers)
    while sys.stdin.readline():
        crowd = Crowd((host, int(port)), token)
        crowd.come(half_open, streams, refused)
        print("here", flush=True)  # noqa: T201 - the answer
        crowd.stay(sys.stdin, closed)
        crowd.go()
        told = {"closed": crowd.closed, "longest_s": crowd.longest_s, "refused": crowd.refused}
        print(json.dumps(told), flush=True)  # noqa: T201 - the answer


def come(crowd: Script) -> None:
    crowd.tell()
    assert crowd.line() == "here"


def go(crowd: Script) -> dict[str, Any]:
    crowd.tell()
    told: dict[str, Any] = json.loads(crowd.line())
    return told


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("crowd") / "srv")


def settings(streams: int, handshake_s: float, of_one: int) -> tuple[str, ...]:
    """Room for so many streams of one caller, who has three quarters of all streams, as these are of all calls."""
    return (
        f"server.max_in_flight={streams * 16 // 9 + 8}",
        f"limits.streams_per_caller={of_one}",
        f"limits.handshake_s={handshake_s}",
    )


@alone_at_night
def test_others_are_served_as_before(at: Made, tmp_path: Path) -> None:
    token, address = at.key(), ""
    quiet: list[float] = []
    crowded: list[float] = []
    told: list[dict[str, Any]] = []
    with started_secured(tmp_path, at, *settings(STREAMS, HANDSHAKE_S, STREAMS), run_s=RUN_S) as server:
        address = server.address.replace("0.0.0.0", HOST)
        numbers = (HALF_OPEN, STREAMS + BEYOND, BEYOND, HALF_OPEN // 2)
        with at.channel(address, token) as channel, script(__file__, address, token, *numbers) as crowd:
            others = Others(channel)
            others.p99_ms(0.5)
            while len(told) < WINDOWS or (min(crowded) > SLOWER * min(quiet) and len(told) < MOST_WINDOWS):
                quiet.append(others.p99_ms(WINDOW_S))
                come(crowd)
                others.p99_ms(0.3)
                crowded.append(others.p99_ms(WINDOW_S))
                told.append(go(crowd))
                until(lambda: server.state()["in_flight"] == 0)  # the streams have let their room go
    quiet_ms, crowded_ms = min(quiet), min(crowded)
    closed = sum(one["closed"] for one in told)
    figure("p99 of GetServerInfo and Compare, quiet and in the crowd", f"{quiet_ms:.1f} ms, {crowded_ms:.1f} ms")
    figure("half-open sockets closed", f"{closed}, each within {max(one['longest_s'] for one in told):.1f} s")
    assert crowded_ms <= SLOWER * quiet_ms
    assert all(one["closed"] >= HALF_OPEN / 2 for one in told)
    assert all(one["longest_s"] < HANDSHAKE_S + SOON_S for one in told)
    assert all(one["refused"] == BEYOND for one in told)


@pytest.mark.nightly
def test_control_without_limits_nobody_else_is_served_and_the_slow_ones_stay(at: Made, tmp_path: Path) -> None:
    token, streams = at.key(), 150
    with started_secured(tmp_path, at, *settings(streams, 300.0, 100_000), run_s=RUN_S, guarded=False) as server:
        address = server.address.replace("0.0.0.0", HOST)
        with at.channel(address, token) as channel, script(__file__, address, token, 40, 2 * streams, 1, 0) as crowd:
            others = Others(channel)
            others.p99_ms(0.1)
            come(crowd)
            with pytest.raises(grpc.RpcError) as refused:
                others.p99_ms(HANDSHAKE_S + 0.5)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            time.sleep(HANDSHAKE_S)
            assert go(crowd)["closed"] == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
