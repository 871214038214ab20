"""`fr web` and `fr serve --web`: what they refuse to start with, TLS, signals, restarts and the end."""

import asyncio
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fr_bench.speed.server_process import free_port, process_tree
from fr_client.identity import tls_credentials
from fr_core.errors import AddressUnavailable, ConfigInvalid, PlaintextRefused
from fr_server.config import config_from
from fr_server.config.loading import require_safe
from fr_server.web import WebInterface, require_web
from fr_trust.access.principal import Role
from fr_web.backend import Backend
from fr_web.cli import invitation
from fr_web.tls import names_in
from support.callers import PROBE, Staffed
from support.cli import fr, reason_of
from support.commands import BIN, START_S
from support.faults import started_faulty, until
from support.gateways import DAY_MS, Papers, now_ms
from support.secured import made, started_secured
from support.servers import running
from support.web import Web, base64_of, web, web_process


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--server", "faces.example.org:50061", "web"), "PLAINTEXT_REFUSED"),
        (("web", "--listen", "0.0.0.0:0"), "PLAINTEXT_REFUSED"),
        (("web", "--listen", "nonsense"), "ADDRESS_UNAVAILABLE"),
        (("web", "--listen", "127.0.0.1:0", "--tls-key", "a.key"), "INVALID_FIELD"),
        (("web", "--listen", "127.0.0.1:0", "--tls-key", "a.key", "--tls-certificate", "none"), "TLS_UNUSABLE"),
    ],
)
def test_an_unsafe_start_is_refused(words: tuple[str, ...], reason: str) -> None:
    assert reason_of(fr(*words)) == reason


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert reason_of(fr("web", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")) == "ADDRESS_UNAVAILABLE"


def test_certificates_are_checked_at_the_start(tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers", now_ms() - 500 * DAY_MS)
    good, old, new = papers.server(), papers.server("old", now_ms() - 450 * DAY_MS), papers.server("new")
    (open_key := tmp_path / "open.key").write_bytes(good.key.read_bytes())
    open_key.chmod(0o644)
    (text := tmp_path / "text.pem").write_text("no certificate")
    for certificate, key in (
        (old.certificate, old.key),
        (good.certificate, new.key),
        (good.certificate, open_key),
        (good.certificate, tmp_path / "absent"),
        (text, good.key),
    ):
        said = fr("web", "--listen", "127.0.0.1:0", "--tls-certificate", certificate, "--tls-key", key)
        assert reason_of(said) == "TLS_UNUSABLE"
        assert "Traceback" not in said[2]


def test_sighup_reads_the_certificate_again(tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers")
    first, second = papers.server(), papers.server("second")
    options = ("--tls-certificate", first.certificate, "--tls-key", first.key)
    with (
        running(tmp_path / "data") as server,
        web_process(tmp_path, server.address, *options, ca=papers.authority.certificate) as site,
    ):
        before = shown(site)
        for old, new in ((first.certificate, second.certificate), (first.key, second.key)):
            new.replace(old)
        site.process.send_signal(signal.SIGHUP)
        until(lambda: shown(site) != before)
        first.certificate.write_text("no certificate")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: "TLS_UNUSABLE" in site.log.read_text())
        assert site.ask("GET", "/readyz").status == 200


def shown(site: Web) -> bytes:
    assert site.context is not None
    with site.raw() as plain, site.context.wrap_socket(plain, server_hostname="localhost") as secured:
        return secured.getpeercert(binary_form=True) or b""


def children(pid: int) -> list[int]:
    """The processes of the HTTP interface below a server."""
    words = {one: Path(f"/proc/{one}/cmdline").read_bytes() for one in process_tree(pid) if one != pid}
    return [one for one, line in words.items() if b"\0web\0" in line]


def test_the_interface_is_started_anew_and_stopped(at: Staffed) -> None:
    settings = config(web={"port": free_port()})
    site = Web("127.0.0.1", settings.web.port)

    async def lives() -> None:
        interface = WebInterface(settings)
        interface.open()
        interface.start(at.server.address)
        assert await asyncio.to_thread(site.answers, "/readyz")  # waits in the queue of the socket
        (first,) = children(os.getpid())
        os.kill(first, signal.SIGKILL)
        assert await asyncio.to_thread(site.answers, "/readyz")
        (second,) = children(os.getpid())
        assert second != first
        await interface.stop()
        assert children(os.getpid()) == []

    asyncio.run(lives())
    assert not site.answers()


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressUnavailable):
        WebInterface(config(web={"port": taken.getsockname()[1]})).open()


@pytest.mark.nightly
def test_serve_web_restarts_the_interface_and_ends_with_the_server(tmp_path: Path) -> None:
    port = free_port()
    with started_faulty(tmp_path, 0.0, web={"port": port}) as server:
        site = Web("127.0.0.1", port)
        assert site.ask("GET", "/readyz").status == 200
        assert len(site.call("RecognitionService/Detect", {"image": {"data": base64_of(PROBE)}}).json["faces"]) == 1
        (first,) = children(server.process.pid)
        os.kill(first, signal.SIGKILL)
        assert site.ask("GET", "/livez").status == 200  # waits, and is not refused
        (second,) = children(server.process.pid)
        assert second != first
        assert "is started anew" in (tmp_path / "log").read_text()
        server.process.kill()
        server.process.wait()
        until(lambda: not Path(f"/proc/{second}").exists() or _is_dead(second), START_S)
    with pytest.raises(OSError):
        site.ask("GET", "/livez")


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.nightly
def test_a_failed_restart_is_followed_by_another(tmp_path: Path) -> None:
    """The interface cannot start while its certificate is spoilt; once that is mended it does."""
    server, port = made(tmp_path / "faces"), free_port()
    key = server.key(Role.OPERATOR)
    certificate = Path(server.config().tls.certificate)
    whole = certificate.read_bytes()
    with started_secured(tmp_path / "run", server, f"web.port={port}", "web.host=127.0.0.1") as running_server:
        log = tmp_path / "run" / "log"
        context = ssl.create_default_context(cafile=str(server.folder / "ca.pem"))
        site = Web("127.0.0.1", port, context, key)
        until(lambda: site.answers("/readyz"), START_S)
        assert site.call("RecognitionService/Detect", {"image": {"data": base64_of(PROBE)}}).status == 200
        site.key = ""
        assert site.call("RecognitionService/Detect", {}).reason == "CREDENTIAL_MISSING"
        certificate.write_bytes(b"spoilt")
        (first,) = children(running_server.process.pid)
        os.kill(first, signal.SIGKILL)
        until(lambda: len(re.findall("is started anew", log.read_text())) >= 3, START_S)
        certificate.write_bytes(whole)
        until(lambda: site.answers("/readyz"), START_S)
        running_server.process.send_signal(signal.SIGTERM)
        assert running_server.process.wait(START_S) == 0
        begun = time.monotonic()
        assert not children(running_server.process.pid)
        assert time.monotonic() - begun < START_S


@pytest.mark.nightly
def test_a_server_is_trusted_by_its_own_certificate(tmp_path: Path) -> None:
    """As the interface of a server with front-ends trusts it, which knows no authority."""
    server = made(tmp_path / "faces")

    async def serves(address: str, name: str) -> bool:
        backend = Backend(address, lambda: tls_credentials(Path(server.config().tls.certificate)), name)
        backend.open()
        found = await backend.serves()
        await backend.close()
        return found

    with started_secured(tmp_path / "run", server) as started:
        port = started.address.rpartition(":")[2]
        assert asyncio.run(serves(f"127.0.0.1:{port}", "localhost"))
        assert not asyncio.run(serves(f"127.0.0.1:{port}", "faces.example.org"))


def config(**sections: dict[str, Any]) -> Any:
    return config_from(sections)


def test_the_settings_of_the_interface_are_as_safe_as_those_of_the_server(tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers")
    issued = papers.server()
    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    require_safe(config(web={"port": 8080}))
    require_safe(config(web={"port": 0, "host": "0.0.0.0"}))
    require_safe(config(web={"port": 8080, "names": "faces.example.org"}))
    require_safe(config(web={"port": 8080, "host": "0.0.0.0"}, tls=tls))
    for refused in (
        {"web": {"port": 8080, "host": "0.0.0.0"}},
        {"web": {"port": 8080, "host": "0.0.0.0"}, "tls": tls, "access": {"mode": "open"}},
        {"web": {"port": 8080, "names": "faces.example.org"}, "access": {"mode": "open"}},
    ):
        with pytest.raises(PlaintextRefused):
            require_safe(config(**refused))
    require_web(config(web={"port": 8080}, tls=tls))
    with pytest.raises(ConfigInvalid, match="certificate of its own"):
        require_web(config(web={"port": 8080}, tls=papers.section(issued, "required")))
    (tmp_path / "lti.toml").write_text("address = 1")
    with pytest.raises(ConfigInvalid, match=r"`web\.lti` names .* In the file, `private_keys` must .* start"):
        require_web(config(web={"port": 8080, "lti": str(tmp_path / "lti.toml")}, tls=tls))


def test_an_interface_that_others_reach_makes_the_server_ask_for_keys(tmp_path: Path) -> None:
    settings = {"port": 8080, "names": "faces.example.org"}
    with running(tmp_path / "data", web=settings) as server, web(server.address) as site:
        assert site.call("RecognitionService/Detect", {}).reason == "CREDENTIAL_MISSING"


def test_the_invitation_of_a_class_holds_its_address() -> None:
    address = "https://faces.example.org:8080/"
    *picture, words = invitation(address, is_for_others=True).splitlines()
    assert words == f"Open {address} in a browser."
    halves = {" ": (0, 0), "▀": (255, 0), "▄": (0, 255), "█": (255, 255)}
    rows = [[halves[one][half] for one in line] for line in picture for half in (0, 1)]
    pixels = np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(pixels)[0] == address
    assert "█" not in invitation("http://localhost:8080/", is_for_others=False)


def test_a_terminal_is_told_what_to_open(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with running(tmp_path / "data") as server:
        command = [str(BIN / "fr"), "--server", server.address, "web", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL)
        os.close(theirs)
        told = b""
        while b"\n" not in told:
            told += os.read(ours, 1024)
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S) == 0
        os.close(ours)
    assert re.fullmatch(rb"Open http://localhost:\d+/ in a browser on this machine\.\r\n", told)


def test_a_certificate_names_what_other_machines_can_open(tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers", now_ms())
    assert names_in(papers.server().certificate) == []  # it names this machine only
