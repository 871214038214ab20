"""Strangers who are slow, many or greedy do not keep others from the HTTP interface; each test has its control."""

import json
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from fr_bench.speed.server_process import free_port
from fr_web.listen import Limits
from support.callers import Staffed
from support.commands import START_S
from support.faults import until
from support.gateways import Papers
from support.web import Web, WebProcess, web, web_process, whole_answer

MIB = 2**20
HEAD = "POST /fr_api.v1.RecognitionService/Detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def lively(site: Web, stack: ExitStack) -> socket.socket:
    """A connection on which a request was answered; those of earlier tests may still be counted."""
    while True:
        one = stack.enter_context(site.raw())
        with suppress(OSError):
            one.sendall(LIVE)
            if whole_answer(one).startswith(b"HTTP/1.1 200"):
                return one
        time.sleep(0.01)


def closed(one: socket.socket) -> bool:
    """Return whether the other side has closed the connection; what it sent is read."""
    one.settimeout(0.01)
    try:
        while one.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


SOON_S = 0.5


@pytest.fixture(scope="module")
def quick(at: Staffed, everybody: str) -> Iterator[Web]:
    """An interface that waits half a second where others wait seconds, for four connections of one address."""
    limits = Limits(6, 4, handshake_s=SOON_S, head_s=SOON_S, stall_s=SOON_S)
    with web(at.server.address, everybody, limits, body_s=SOON_S) as site:
        yield site


@pytest.fixture(scope="module")
def apart(at: Staffed, everybody: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """An interface in a process of its own, whose memory can be measured."""
    with web_process(tmp_path_factory.mktemp("web"), at.server.address) as site:
        site.key = everybody
        yield site


def test_silent_connections_and_slow_heads_are_closed(quick: Web) -> None:
    with ExitStack() as stack:
        control, silent, slow = (lively(quick, stack) for _ in range(3))
        silent.close()
        silent = stack.enter_context(quick.raw())
        begun = time.monotonic()
        slow.sendall(b"GET /livez HTT")

        def drip() -> bool:
            try:
                slow.sendall(b"P")
            except OSError:
                return True
            return closed(slow)

        until(lambda: closed(silent) and drip(), 60)
        assert time.monotonic() - begun >= SOON_S
        assert not closed(control)  # a connection that waits for its next request may wait longer


def test_a_slow_body_is_answered_and_ended(quick: Web) -> None:
    site = quick
    with ExitStack() as stack:
        slow, control = lively(site, stack), lively(site, stack)
        key = f"Authorization: Bearer {site.key}\r\n"
        for one in (slow, control):
            one.sendall(f"{HEAD}{key}Content-Length: 1000\r\n\r\n{{".encode())
        control.sendall(b" " * 999)
        assert b" 400 " in whole_answer(control)
        slow.settimeout(60)
        told = whole_answer(slow)
        assert b" 504 " in told
        assert b"CALL_ENDED" in told


def test_one_address_has_a_share_of_the_connections(quick: Web) -> None:
    with ExitStack() as stack:
        mine = [lively(quick, stack) for _ in range(4)]
        more = stack.enter_context(quick.raw())
        until(lambda: closed(more))
        assert not any(closed(one) for one in mine)
        mine.pop().close()
        until(quick.answers)


def test_at_the_limit_idle_connections_give_way(at: Staffed) -> None:
    with web(at.server.address, limits=Limits(4)) as site, ExitStack() as stack:
        idle = [lively(site, stack) for _ in range(4)]
        for _ in range(2):
            lively(site, stack)
        until(lambda: [closed(one) for one in idle] == [True, True, False, False])


AHEAD = b"POST /fr_api.v1.ServerService/GetServerInfo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
AHEAD += b"Content-Type: application/json\r\n\r\n{}"
PLAIN_UVICORN = """
import asyncio, uvicorn
async def app(scope, receive, send):
    await receive()
    try:
        await asyncio.wait_for(receive(), 0.01)
    except TimeoutError:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
uvicorn.run(app, port=int(__import__("sys").argv[1]), http="h11", log_level="critical", lifespan="off")
"""


def grown(site: WebProcess, enough: int) -> int:
    """The memory that a client takes that sends requests and reads no answer, in bytes, until it is enough."""
    until(lambda: reachable(site), 60)
    before = site.resident_bytes
    with site.raw() as one:
        sending = threading.Thread(target=send_until_closed, args=(one, AHEAD * 250_000))
        sending.start()
        until(lambda: site.resident_bytes - before > enough or not sending.is_alive(), 60)
        most = site.resident_bytes
    sending.join(60)
    return most - before


def reachable(site: Web) -> bool:
    with suppress(OSError), site.raw():
        return True
    return False


def test_at_the_limit_slow_bodies_give_way(at: Staffed, everybody: str) -> None:
    with web(at.server.address, everybody, Limits(3)) as site, ExitStack() as stack:
        slow = [stack.enter_context(site.raw()) for _ in range(3)]
        for one in slow:
            one.sendall(f"{HEAD}Authorization: Bearer {site.key}\r\nContent-Length: 1000\r\n\r\n{{".encode())
        lively(site, stack)
        assert sum(closed(one) for one in slow) >= 1


def test_a_pipelining_client_costs_little_memory(apart: WebProcess, tmp_path: Path) -> None:
    """uvicorn alone, the control, keeps most of what comes before an answer."""
    assert grown(apart, 16 * MIB) < 8 * MIB
    assert apart.answers()
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", PLAIN_UVICORN, str(port)]) as control:
        try:
            assert grown(WebProcess("127.0.0.1", port, process=control, log=tmp_path), 16 * MIB) > 16 * MIB
        finally:
            control.kill()


def send_until_closed(one: socket.socket, content: bytes) -> None:
    try:
        one.settimeout(30)
        one.sendall(content)
    except OSError:
        pass


def test_requests_in_one_piece_are_answered(site: Web) -> None:
    with site.raw() as one:
        one.sendall(LIVE * 3)
        told = b""
        while told.count(b"HTTP/1.1 200") < 3 and (more := one.recv(4096)):
            told += more
        assert told.count(b"HTTP/1.1 200") == 3


# Requests of which another reader could take the end for elsewhere; in each, a second request stands where that is.
UNCLEAR = {
    "two kinds of length": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "no number": b"Content-Length: 0x0\r\n\r\n",
    "another coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 0\r\n\r\n",
    "a body that was waited for": b"Content-Length: 70\r\nExpect: 100-continue\r\n\r\n",
    "a bare line feed": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "another name of the server": b"Host: b\r\n\r\n",
}


@pytest.mark.parametrize("rest", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_nothing_is_read_after_an_unclear_request(site: Web, rest: bytes) -> None:
    with site.raw() as one:
        one.sendall(b"POST /fr_api.v1.RecognitionService/Detect HTTP/1.1\r\nHost: a\r\n" + rest + LIVE)
        told = b""
        with suppress(ConnectionResetError):
            while more := one.recv(4096):
                told += more
    assert told.count(b"HTTP/1.1 ") == 1
    assert b"HTTP/1.1 4" in told or b"HTTP/1.1 501" in told
    assert b"close" in told


@pytest.mark.parametrize(
    "start",
    [
        b"GET http://localhost/livez HTTP/1.1",
        b"CONNECT localhost:1 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /%ff%00/..%2f HTTP/1.1",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c",
        b"PRI * HTTP/2.0",
        b"GET /livez HTTP/9.9",
        b"get /livez HTTP/1.1",
        b"GET /livez",
    ],
)
def test_rare_requests_are_answered_without_a_defect(site: Web, start: bytes) -> None:
    with site.raw() as one:
        one.sendall(start + b"\r\nHost: localhost\r\n\r\n")
        assert re.match(rb"HTTP/1.1 [24]", whole_answer(one))


def test_other_calls_go_on_while_a_long_body_is_read(site: Web) -> None:
    body = json.dumps({"filter": {"subjectIds": [str(i) for i in range(100_000)]}, "topK": "none"}).encode()
    head = HEAD.replace("RecognitionService/Detect", "GalleryService/Search")
    head += f"Authorization: Bearer {site.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with site.raw() as long, ExitStack() as stack:
        one = lively(site, stack)

        def answered() -> bool:
            one.sendall(LIVE)
            return whole_answer(one).startswith(b"HTTP/1.1 200")

        long.sendall(head.encode() + body[:-1])
        assert all(answered() for _ in range(100))  # by then the body has come, but for its last byte
        long.sendall(body[-1:])
        during = 0
        while not select.select([long], [], [], 0)[0]:
            during += answered()
        assert b"INVALID_FIELD" in whole_answer(long)
    assert during > 5


def test_answers_that_are_not_taken_are_bounded(apart: WebProcess) -> None:
    site = apart
    before = site.resident_bytes
    with ExitStack() as stack:
        for _ in range(50):
            one = stack.enter_context(site.raw())
            one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        assert site.resident_bytes - before < 64 * MIB
        assert site.answers()


def test_bodies_of_all_connections_share_one_room(at: Staffed, everybody: str) -> None:
    """Bodies wait for their last byte. There is room for two whole ones of one address: one of three is refused."""
    limit = 4 * MIB
    with web(at.server.address, everybody, max_message_bytes=limit * 3 // 4) as site, ExitStack() as stack:
        head = f"{HEAD}Authorization: Bearer {site.key}\r\nContent-Length: {limit}\r\n\r\n".encode()
        senders = [stack.enter_context(site.raw()) for _ in range(3)]
        for one in senders:
            one.sendall(head + b" " * (limit - 1))
        (refused,), _, _ = select.select(senders, [], [], START_S)
        told = whole_answer(refused)
        assert b" 429 " in told
        assert b"OVERLOADED" in told
        senders.remove(refused)
        assert site.call("ServerService/GetServerInfo", {}).status == 200
        for one in senders:
            one.sendall(b" ")
            assert b" 400 " in whole_answer(one)  # whole, and no JSON


def test_handshakes_count_and_end(at: Staffed, tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers")
    limits = Limits(of_address=3, handshake_s=2 * SOON_S)
    with web(at.server.address, limits=limits, tls=papers.server()) as site, ExitStack() as stack:
        assert site.ask("GET", "/livez").status == 200
        time.sleep(SOON_S / 5)  # until that connection is counted no more
        begun = time.monotonic()
        silent = [stack.enter_context(site.raw()) for _ in range(3)]
        more = stack.enter_context(site.raw())
        until(lambda: closed(more))
        assert time.monotonic() - begun > SOON_S or not any(closed(one) for one in silent)
        until(lambda: all(closed(one) for one in silent), 60)
        assert time.monotonic() - begun >= SOON_S
        until(lambda: site.answers())
        old = ssl.create_default_context(cafile=str(papers.authority.certificate))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError), site.raw() as plain, old.wrap_socket(plain, server_hostname="localhost"):
            pass


def test_plain_http_is_told_that_the_port_speaks_https(at: Staffed, tmp_path: Path) -> None:
    with web(at.server.address, tls=Papers(tmp_path / "papers").server()) as site:
        with site.raw() as plain, site.raw() as other:
            plain.sendall(LIVE)
            told = whole_answer(plain)
            other.sendall(b"\x00\x01 neither\r\n\r\n")
            assert b"HTTP" not in whole_answer(other)
        assert told.startswith(b"HTTP/1.1 400 ")
        assert b"speaks HTTPS" in told
        assert site.ask("GET", "/livez").status == 200


def test_the_log_holds_no_path_and_no_line_for_each_bad_request(apart: WebProcess) -> None:
    site = apart
    before = len(site.log.read_bytes())
    for _ in range(20):
        with site.raw() as one:
            one.sendall(b"\x00\x01Erika Mustermann\r\n\r\n")
            until(lambda: closed(one))
        site.ask("GET", "/Erika_Mustermann?Erika=Mustermann")
    assert len(site.log.read_bytes()) == before
