"""`fr-health`, the health check of orchestrators: its answers, over TLS and without, and what it costs."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest

from fr_core.gallery.galleries import Galleries
from fr_server.app import App
from fr_server.config import config_from
from fr_server.config.folders import data_folder
from fr_server.health_check import health
from support.commands import REPOSITORY
from support.secured import done, made, serve_here
from support.servers import HeldUp, Running, null_engine, running

# Starts of Python that it may cost: with TLS it takes 4 of them, the import of gRPC alone 7, and `fr health` 24.
MOST_STARTS = 6.0


def check(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fr_server.health_check", *words]
    known = {name: value for name, value in os.environ.items() if not name.startswith("FR_")}
    return subprocess.run(
        command, env={**known, **environment}, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_server_serves_or_reads_its_galleries(tmp_path: Path) -> None:
    async def story() -> None:
        config = config_from({"server": {"port": 0}, "gallery": {"folder": str(tmp_path)}})
        galleries = Galleries.open(data_folder(config), index="numpy", load=False)
        held = HeldUp(galleries.load)
        app = App(config, null_engine(config), galleries, load=held)
        starting = asyncio.create_task(app.start())
        await asyncio.to_thread(held.entered.wait, 10)
        address = f"127.0.0.1:{app.port}"
        try:
            reading = await asyncio.to_thread(check, "--plain", address)
        finally:
            held.go.set()
        await starting
        serving = await asyncio.to_thread(check, "--plain", FR_SERVER=address)
        await app.stop()
        assert (reading.returncode, reading.stdout, reading.stderr) == (1, "NOT_SERVING\n", "")
        assert (serving.returncode, serving.stdout, serving.stderr) == (0, "SERVING\n", "")

    asyncio.run(story())


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """A server that requires client certificates, and the folder of its own and of a client's."""
    folder = tmp_path_factory.mktemp("secured")
    at = made(folder / "server").folder
    signing = ("--ca", str(at / "ca.pem"), "--ca-key", str(at / "ca.key"))
    done("certificate", "create", "probe", "--out", str(folder), *signing)
    tls = {"certificate": str(at / "server.pem"), "key": str(at / "server.key")}
    tls |= {"client_ca": str(at / "ca.pem"), "client_certificates": "required"}
    with running(folder / "data", tls=tls) as server:
        yield server, folder


def test_tls_and_the_certificate_that_a_server_requires(secured: tuple[Running, Path]) -> None:
    server, folder = secured
    shown = {"FR_CERTIFICATE": str(folder / "probe.pem"), "FR_CERTIFICATE_KEY": str(folder / "probe.key")}
    serving = check(server.address, **shown)
    assert (serving.returncode, serving.stdout, serving.stderr) == (0, "SERVING\n", "")
    refused = check(server.address)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"No health from {server.address}: ")
    assert "Traceback" not in refused.stderr
    assert check("--plain", server.address).returncode == 1


def test_systemd_is_told_when_calls_are_answered_and_when_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at = made(tmp_path / "server")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{tmp_path}")
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")

        async def told_ready(app: App) -> None:
            assert await asyncio.to_thread(systemd.recv, 99) == b"READY=1"

        serve_here(at, meanwhile=told_ready)
        assert systemd.recv(99) == b"STOPPING=1"
    assert "systemd was not told" not in caplog.text
    serve_here(at)
    assert "systemd was not told READY=1: Connection refused" in caplog.text


def test_no_health_service_is_no_health() -> None:
    with ThreadPoolExecutor(1) as pool:
        empty = grpc.server(pool)
        port = empty.add_insecure_port("127.0.0.1:0")
        empty.start()
        with pytest.raises(OSError, match="no health service"):
            health(f"127.0.0.1:{port}", tls=False)
        empty.stop(None).wait()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a program that takes one connection, says something, and holds it until the block ends."""
    ended = threading.Event()

    def serve() -> None:
        with closing(listening.accept()[0]) as taken:
            taken.sendall(answer)
            ended.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"),
        (b"", "timed out"),
        (b"\0\0\x08\7\0\0\0\0\0" + bytes(8), "no health service"),  # GOAWAY
        (b"\0\0\x0a\0\x09\0\0\0\1" + b"\2\0\0\0\0\2\x08\1\0\0", "SERVING"),  # DATA with padding, of the whole message
        (b"\0\0\7\0\1\0\0\0\1" + b"\0\0\0\0\2\x08\3", "no health service"),  # SERVICE_UNKNOWN
    ],
    ids=["HTTP/1", "silence", "goaway", "padding", "another status"],
)
def test_what_others_say(answer: bytes, told: str) -> None:
    with answering(answer) as address:
        if told == "SERVING":
            assert health(address, tls=False) == told
            return
        with pytest.raises(OSError, match=told):
            health(address, tls=False, limit_s=0.5)


def test_a_port_without_a_server_and_words_that_are_no_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        free = f"127.0.0.1:{bound.getsockname()[1]}"
    refused = check(free)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"No health from {free}: [Errno 111] Connection refused.\n"
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        health("localhost")
    assert "Usage: fr-health" in check("--watch").stdout
    assert check("--watch").returncode == 2
    assert check("--help").returncode == 0


def processor_s(*words: str) -> float:
    """The seconds of a processor that Python takes for something; the least of several, since others run beside it."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("FR_")}
    took = []
    for _ in range(5):
        child = subprocess.Popen([sys.executable, *words], cwd=REPOSITORY, env=known, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        took.append(used.ru_utime + used.ru_stime)
    return min(took)


def test_it_costs_little_more_than_the_start_of_python(tmp_path: Path) -> None:
    at = made(tmp_path / "server").folder
    with running(
        tmp_path / "data", tls={"certificate": str(at / "server.pem"), "key": str(at / "server.key")}
    ) as server:
        starts = processor_s("-m", "fr_server.health_check", server.address) / processor_s("-c", "")
    assert starts < MOST_STARTS


def test_it_imports_neither_grpc_nor_the_rest_of_the_server() -> None:
    script = "import fr_server.health_check, sys; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert not loaded & {"grpc", "google", "typer", "rich", "numpy", "fr_core", "fr_api", "fr_client", "ssl"}
