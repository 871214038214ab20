"""`fr health`, `--json` and `--watch` against a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from support.servers import Fr, Running

WAIT_S = 240
FR = (sys.executable, "-c", "from fr_client.cli.main import main; main()")
NOWHERE = "The server at localhost:1 does not answer: UNAVAILABLE."


@contextmanager
def watching(address: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A process that watches; it is killed where it does not end in time."""
    words = (*FR, "--server", address, "health", "--watch", *more)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        killer = threading.Timer(WAIT_S, process.kill)
        killer.start()
        try:
            yield process
        finally:
            killer.cancel()
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def rest(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate()
    return process.returncode, out, error


def test_health_is_a_word_or_a_document(fr: Fr) -> None:
    assert fr("health") == (0, "SERVING\n", "")
    code, out, error = fr("health", "--json")
    assert (code, json.loads(out), error) == (0, {"status": "SERVING"}, "")


@pytest.mark.parametrize("watch", [(), ("--watch",)])
def test_a_server_that_does_not_answer_is_a_document_too(fr_alone: Fr, watch: tuple[str, ...]) -> None:
    words = ("--server", "localhost:1", "--timeout", "2", "health", *watch)
    assert fr_alone(*words) == (1, "", f"{NOWHERE}\n")
    code, out, error = fr_alone(*words, "--json")
    assert (code, error) == (1, f"{NOWHERE}\n")
    assert json.loads(out)["error"] == {
        "reason": "UNREACHABLE",
        "message": NOWHERE,
        "code": "UNAVAILABLE",
        "metadata": {},
        "request_id": "",
    }


def test_watching_ends_with_the_status_of_the_last_health(server: Running) -> None:
    with watching(server.address) as process:
        assert line(process) == "SERVING"
        process.send_signal(signal.SIGINT)
        assert rest(process) == (0, "", "")


def test_watching_tells_that_the_server_stops(server: Running) -> None:
    with watching(server.address, "--json") as process:
        assert json.loads(line(process)) == {"status": "SERVING"}
        server.stop().result(30)
        code, out, error = rest(process)
        told = [json.loads(one) for one in out.splitlines()]
        assert (code, told[0]) == (1, {"status": "NOT_SERVING"})
        assert error == f"{told[-1]['error']['message']}\n"


def test_watching_prints_each_change() -> None:
    served = health.HealthServicer()
    states = health_pb2.HealthCheckResponse
    set_to = partial(served.set, "")
    set_to(states.SERVING)
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(served, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with watching(f"127.0.0.1:{port}") as process:
            assert line(process) == "SERVING"
            set_to(states.NOT_SERVING)
            assert line(process) == "NOT_SERVING"
            set_to(states.SERVING)
            assert line(process) == "SERVING"
            set_to(states.NOT_SERVING)
            assert line(process) == "NOT_SERVING"
            process.send_signal(signal.SIGINT)
            assert rest(process) == (1, "", "")
    finally:
        server.stop(None).wait()
