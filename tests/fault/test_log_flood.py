"""Nobody fills the disk with lines of refused calls, with a key or without: with those of gRPC's code, or with ours."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from fr_api.v1 import recognition_pb2, recognition_pb2_grpc, server_pb2, server_pb2_grpc
from fr_server.telemetry.throttle import MOST_PER_WINDOW
from support import hostile
from support.faults import SOON, until
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
    """The headers of a call of which gRPC has something to say, as often as it does."""
    headers = hostile.call_headers(**{":path": CHECK, ":scheme": b"https"})
    return headers + (hostile.literal("te", b"x") * 100 if name == "te" else hostile.literal(name, b"gzip"))


def attack(address: str, ca: bytes, headers: bytes) -> None:
    """Make calls of these headers over one connection, without a key, until the server has read them all."""
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
    """Make so many calls, each with a request id as long as one may be."""
    info = server_pb2_grpc.ServerServiceStub(channel).GetServerInfo
    metadata = (("x-request-id", "A" * 64),)
    for _ in range(number):
        assert info.future(server_pb2.GetServerInfoRequest(), metadata=metadata).code() == outcome


def flooded(log: Path, address: str, at: Made, name: str) -> bytes:
    """What an attack adds to a log."""
    before = log.stat().st_size
    attack(address, at.ca, malformed(name))
    # Once a later call is answered, what was said of those before is written.
    with secure_channel(address, at.ca) as channel:
        many_calls(channel, 1, grpc.StatusCode.UNAUTHENTICATED)
    return log.read_bytes()[before:]


# --- the lines of gRPC's own code --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAID)
def test_what_grpc_says_of_headers_is_not_written(tmp_path: Path, at: Made, name: str) -> None:
    with started_secured(tmp_path, at, ON) as server:
        written = flooded(tmp_path / "log", server.address, at, name)
    assert len(written) < MOST_BYTES, written[:1_000]
    assert SAID[name] not in written


@pytest.mark.parametrize("name", SAID)
def test_control_whoever_asks_grpc_to_speak_has_it_written(
    tmp_path: Path, at: Made, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    with started_secured(tmp_path, at, ON) as server:
        written = flooded(tmp_path / "log", server.address, at, name)
    assert SAID[name] in written
    assert len(written) > MOST_BYTES


# --- our own lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "outcome"), [("", "CREDENTIAL_MISSING"), ("frk_no_key", "CREDENTIAL_INVALID")])
def test_calls_of_nobody_are_told_by_their_number(tmp_path: Path, at: Made, token: str, outcome: str) -> None:
    with started_secured(tmp_path, at, ON) as server, at.channel(server.address, token) as channel:
        begun = time.monotonic()
        many_calls(channel, 500, grpc.StatusCode.UNAUTHENTICATED)
        windows = int(time.monotonic() - begun) + 2
        time.sleep(1.1)  # the next window of the throttle
        many_calls(channel, 1, grpc.StatusCode.UNAUTHENTICATED)
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if f" {outcome} " in line]
    held_back = [int(found[1]) for line in lines if (found := re.search(r"and ([0-9]+) more of its outcome", line))]
    assert len(lines) + sum(held_back) == 501
    assert len(lines) <= windows * MOST_PER_WINDOW + 1


def test_refused_calls_of_a_key_are_told_by_their_number(tmp_path: Path, at: Made) -> None:
    with started_secured(tmp_path, at, ON) as server, at.channel(server.address, at.key()) as channel:
        detect = recognition_pb2_grpc.RecognitionServiceStub(channel).Detect
        begun = time.monotonic()
        for _ in range(500):
            assert detect.future(recognition_pb2.DetectRequest()).code() == grpc.StatusCode.INVALID_ARGUMENT
        windows = int(time.monotonic() - begun) + 2
        time.sleep(1.1)  # the next window of the throttle
        assert detect.future(recognition_pb2.DetectRequest()).code() == grpc.StatusCode.INVALID_ARGUMENT
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if " MISSING_FIELD " in line]
    held_back = [int(found[1]) for line in lines if (found := re.search(r"and ([0-9]+) more of its outcome", line))]
    assert len(lines) + sum(held_back) == 501
    assert len(lines) <= windows * MOST_PER_WINDOW + 1


def test_control_each_call_of_somebody_who_is_known_is_told(tmp_path: Path, at: Made) -> None:
    with started_secured(tmp_path, at, ON) as server, at.channel(server.address, at.key()) as channel:
        many_calls(channel, 100, grpc.StatusCode.OK)
    assert (tmp_path / "log").read_text().count("/GetServerInfo OK ") == 100


# --- the command -------------------------------------------------------------------------------------------------


@contextmanager
def fr_serve(folder: Path, at: Made, *options: str, verbosity: str = "") -> Iterator[str]:
    """The address of the real command, whose stderr is the file `log` of a folder; its lines are JSON."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    if verbosity:
        environment["GRPC_VERBOSITY"] = verbosity
    ready, log = folder / "ready", folder / "log"
    command = [
        str(Path(sys.executable).with_name("fr")),
        "serve",
        "--config",
        str(at.path),
        "--host",
        HOST,
        "--port",
        "0",
    ]
    command += ["--pack", "sface", "--device", "cpu", "--set", "telemetry.log_format=json"]
    with log.open("wb") as errors:
        process = subprocess.Popen([*command, "--ready-file", str(ready), *options], stderr=errors, env=environment)
    try:
        until(lambda: ready.exists() or process.poll() is not None, 60)
        assert process.poll() is None, log.read_text()
        yield ready.read_text().strip()
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.models
@pytest.mark.parametrize("options", [(), ("--frontends", "1")], ids=["one process", "a front-end"])
def test_the_command_writes_none_of_it(
    tmp_path: Path, at: Made, pack_cache: ModelCache, options: tuple[str, ...]
) -> None:
    with fr_serve(tmp_path, at, *options) as address:
        written = b"".join(flooded(tmp_path / "log", address, at, name) for name in SAID)
    assert len(written) < MOST_BYTES, written[:1_000]
    assert all(json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines())


@pytest.mark.nightly
@pytest.mark.models
@pytest.mark.parametrize("options", [(), ("--frontends", "1")], ids=["one process", "a front-end"])
def test_control_the_command_lets_grpc_speak_to_whoever_asks(
    tmp_path: Path, at: Made, pack_cache: ModelCache, options: tuple[str, ...]
) -> None:
    with fr_serve(tmp_path, at, *options, verbosity="ERROR") as address:
        written = b"".join(flooded(tmp_path / "log", address, at, name) for name in SAID)
    assert all(said in written for said in SAID.values())
    assert len(written) > MOST_BYTES
