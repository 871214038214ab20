"""Lines of refused calls do not fill the disk, with a key or without: with those of gRPC's code, or with ours."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from fr_api.v1 import recognition_pb2, recognition_pb2_grpc, server_pb2, server_pb2_grpc
from fr_server.telemetry.throttle import MOST_PER_WINDOW
from support import hostile
from support.commands import serving
from support.faults import SOON
from support.secured import HOST, Made, made, secure_channel, started_secured

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache

CHECK = b"/grpc.health.v1.Health/Check"
CALLS = 200
# Of what a connection and the calls of strangers may be told.
MOST_BYTES = 4_096
ON = f"server.host={HOST}"
# What gRPC says of each on stderr.
SAID = {"te": b"Error parsing 'te' metadata", "grpc-encoding": b"Compression algorithm 'gzip' is disabled"}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("flood") / "server")


def malformed(name: str) -> bytes:
    headers = hostile.call_headers(**{":path": CHECK, ":scheme": b"https"})
    return headers + (hostile.literal("te", b"x") * 100 if name == "te" else hostile.literal(name, b"gzip"))


def attack(address: str, ca: bytes, headers: bytes) -> None:
    context = ssl.create_default_context(cadata=ca.decode())
    context.set_alpn_protocols(["h2"])
    host, port = address.rsplit(":", 1)
    with context.wrap_socket(socket.create_connection((host, int(port)), timeout=SOON), server_hostname=HOST) as peer:
        peer.sendall(hostile.PREFACE + hostile.frame(hostile.SETTINGS, 0, 0))
        message = struct.pack(">BI", 0, 0)
        for stream in range(1, 2 * CALLS, 2):
            peer.sendall(
                hostile.frame(hostile.HEADERS, hostile.END_HEADERS, stream, headers)
                + hostile.frame(hostile.DATA, hostile.END_STREAM, stream, message)
            )
        peer.sendall(hostile.frame(hostile.PING, 0, 0, hostile.LAST))
        heard = b""
        while hostile.LAST not in heard:
            some = peer.recv(2**16)
            assert some, "the server closed the connection"
            heard = heard[-len(hostile.LAST) :] + some


def many_calls(channel: grpc.Channel, number: int, outcome: grpc.StatusCode) -> None:
    info = server_pb2_grpc.ServerServiceStub(channel).GetServerInfo
    metadata = (("x-request-id", "A" * 64),)
    for _ in range(number):
        assert info.future(server_pb2.GetServerInfoRequest(), metadata=metadata).code() == outcome


def flooded(log: Path, address: str, at: Made, name: str) -> bytes:
    before = log.stat().st_size
    attack(address, at.ca, malformed(name))
    # Once a later call is answered, what was said of those before is written.
    with secure_channel(address, at.ca) as channel:
        many_calls(channel, 1, grpc.StatusCode.UNAUTHENTICATED)
    return log.read_bytes()[before:]


@pytest.mark.nightly  # by day the command is attacked, below
@pytest.mark.parametrize("name", SAID)
def test_what_grpc_says_of_headers_is_not_written(tmp_path: Path, at: Made, name: str) -> None:
    with started_secured(tmp_path, at, ON) as server:
        written = flooded(tmp_path / "log", server.address, at, name)
    assert len(written) < MOST_BYTES, written[:1_000]
    assert SAID[name] not in written


@pytest.mark.nightly
@pytest.mark.parametrize("name", SAID)
def test_control_grpc_writes_it_where_it_is_asked_to_speak(
    tmp_path: Path, at: Made, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    with started_secured(tmp_path, at, ON) as server:
        written = flooded(tmp_path / "log", server.address, at, name)
    assert SAID[name] in written
    assert len(written) > MOST_BYTES


def detect_nothing(channel: grpc.Channel, number: int) -> None:
    detect = recognition_pb2_grpc.RecognitionServiceStub(channel).Detect
    for _ in range(number):
        assert detect.future(recognition_pb2.DetectRequest()).code() == grpc.StatusCode.INVALID_ARGUMENT


UNKNOWN = partial(many_calls, outcome=grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("token", "calls", "outcome"),
    [
        ("", UNKNOWN, "CREDENTIAL_MISSING"),
        pytest.param("frk_no_key", UNKNOWN, "CREDENTIAL_INVALID", marks=pytest.mark.nightly),
        ("valid", detect_nothing, "MISSING_FIELD"),
    ],
)
def test_refused_calls_are_told_by_their_number(
    tmp_path: Path, at: Made, token: str, calls: Callable[[grpc.Channel, int], None], outcome: str
) -> None:
    token = at.key() if token == "valid" else token
    with started_secured(tmp_path, at, ON) as server, at.channel(server.address, token) as channel:
        begun = time.monotonic()
        calls(channel, 500)
        windows = int(time.monotonic() - begun) + 2
        time.sleep(1.1)  # the next window of the throttle
        calls(channel, 1)
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if f" {outcome} " in line]
    held_back = [int(found[1]) for line in lines if (found := re.search(r"and ([0-9]+) more of its outcome", line))]
    assert len(lines) + sum(held_back) == 501
    assert len(lines) <= windows * MOST_PER_WINDOW + 1


@pytest.mark.nightly
def test_control_each_call_of_somebody_who_is_known_is_told(tmp_path: Path, at: Made) -> None:
    with started_secured(tmp_path, at, ON) as server, at.channel(server.address, at.key()) as channel:
        many_calls(channel, 100, grpc.StatusCode.OK)
    assert (tmp_path / "log").read_text().count("/GetServerInfo OK ") == 100


with_front_ends = pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="one process", marks=pytest.mark.nightly),
        pytest.param(("--frontends", "1"), id="a front-end"),
    ],
)


def fr_serve(folder: Path, at: Made, *options: str, verbosity: str = "") -> bytes:
    """Return the bytes that attacks add to the log of the real command, whose lines are JSON."""
    words = ("--config", at.path, "--host", HOST, "--port", "0", "--pack", "sface", "--device", "cpu")
    environment = {"GRPC_VERBOSITY": verbosity} if verbosity else {}
    options += ("--set", "telemetry.log_format=json", "--set", "batching.embedder_sizes=1")  # a start runs each size
    with serving(folder, *words, *options, environment=environment) as server:
        return b"".join(flooded(server.log, server.address, at, name) for name in SAID)


@pytest.mark.models
@with_front_ends
def test_the_command_writes_none_of_it(
    tmp_path: Path, at: Made, pack_cache: ModelCache, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    written = fr_serve(tmp_path, at, *options)
    assert len(written) < MOST_BYTES, written[:1_000]
    assert all(json.loads(line)["message"] for line in (tmp_path / "server.log").read_text().splitlines())


@pytest.mark.nightly
@pytest.mark.models
@with_front_ends
def test_control_the_command_lets_grpc_speak_to_whoever_asks(
    tmp_path: Path, at: Made, pack_cache: ModelCache, options: tuple[str, ...]
) -> None:
    written = fr_serve(tmp_path, at, *options, verbosity="ERROR")
    assert all(said in written for said in SAID.values())
    assert len(written) > MOST_BYTES
