"""SIGHUP after somebody has changed files of a running server: what is taken, what is refused, and what is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fr_bench.speed.server_process import free_port
from fr_server.app import App
from fr_server.config.started import Started
from fr_server.gateway.authority import write_revocations
from fr_server.gateway.pem import revocations_expire_ms
from fr_server.main import Reloader
from fr_server.telemetry.metrics import PrometheusObserver
from fr_trust.access.principal import Role
from support.commands import fr_ends
from support.gateways import DAY_MS, Papers, now_ms
from support.secured import Made, done, made, serve_here

READ, KEPT = "The certificates were read again", "The certificates were not reloaded"
PATIENCE_S = 120.0


class Serving:
    def __init__(self, at: Made, port: int, log: pytest.LogCaptureFixture, metrics: PrometheusObserver) -> None:
        self.at = at
        self._port = port
        self._log = log
        self._metrics = metrics

    async def shows(self) -> str:
        return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", self._port))

    async def hangs_up(self, lines: int = 1) -> list[str]:
        """Send SIGHUP; return what the log says from then on, until it says what became of it, in so many lines."""
        begins = len(self._log.messages)
        os.kill(os.getpid(), signal.SIGHUP)

        def told() -> list[str]:
            return self._log.messages[begins:]

        async with asyncio.timeout(PATIENCE_S):
            while len(told()) < lines or not any(line.startswith((READ, KEPT)) for line in told()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        return told()

    def refused(self, reason: str) -> float | None:
        return self._metrics.registry.get_sample_value("fr_reloads_refused_total", {"reason": reason})

    def end_s(self, of: str) -> float | None:
        return self._metrics.registry.get_sample_value(f"fr_{of}_expiry_timestamp_seconds")


def serving(at: Made, log: pytest.LogCaptureFixture, act: Callable[[Serving], Awaitable[None]]) -> None:
    log.set_level("INFO", "fr_server")
    metrics_port = free_port()

    async def meanwhile(server: App) -> None:
        metrics = server.telemetry.metrics
        assert metrics is not None
        await act(Serving(at, server.port, log, metrics))

    serve_here(at, f"telemetry.metrics_port={metrics_port}", meanwhile=meanwhile)


@pytest.fixture
def at(tmp_path: Path) -> Made:
    return made(tmp_path / "srv")


def test_a_certificate_that_was_made_and_sealed_is_taken(at: Made, caplog: pytest.LogCaptureFixture) -> None:
    async def act(server: Serving) -> None:
        before = await server.shows()
        await asyncio.to_thread(done, "renew", "--config", str(at.path))
        assert await server.hangs_up() == [READ]
        after = await server.shows()
        assert after != before
        assert after.split() == (at.folder / "server.pem").read_text().split()
        assert server.refused("FILE_TAMPERED") == 0

    serving(at, caplog, act)


def test_a_certificate_of_somebody_else_is_not(at: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = made(tmp_path / "other")

    async def act(server: Serving) -> None:
        before = await server.shows()
        for name in ("server.pem", "server.key"):
            shutil.copyfile(other.folder / name, at.folder / name)
        (line,) = await server.hangs_up()
        assert line.startswith(f"{KEPT}: FILE_TAMPERED: {at.folder / 'server.key'} was changed since it was sealed.")
        assert await server.shows() == before
        assert server.refused("FILE_TAMPERED") == 1
        await asyncio.to_thread(done, "seal", "--config", str(at.path))  # by the owner of the key of the data
        assert await server.hangs_up() == [READ]
        assert await server.shows() != before

    serving(at, caplog, act)


def test_nothing_is_reloaded_without_the_first_seal(at: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(server: Serving) -> None:
        (at.folder / "data" / "configuration.seal").unlink()
        (line,) = await server.hangs_up()
        assert line.startswith(f"{KEPT}: FILE_TAMPERED: ")
        assert f"has the mark of a seal, but there is no seal at {at.folder / 'data' / 'configuration.seal'}" in line

    serving(at, caplog, act)


def test_an_older_seal_with_its_certificate_is_not_taken_back(at: Made, caplog: pytest.LogCaptureFixture) -> None:
    names = ("data/configuration.seal", "server.pem", "server.key")
    before = {name: (at.folder / name).read_bytes() for name in names}

    async def act(server: Serving) -> None:
        await asyncio.to_thread(done, "renew", "--config", str(at.path))
        assert await server.hangs_up() == [READ]
        shown = await server.shows()
        for name, content in before.items():
            (at.folder / name).write_bytes(content)
        (line,) = await server.hangs_up()
        assert line.startswith(
            f"{KEPT}: FILE_TAMPERED: {at.folder / 'data' / 'galleries.db'} has the mark of another seal"
        )
        assert await server.shows() == shown

    serving(at, caplog, act)


def test_where_there_was_no_seal_files_that_fit_are_taken(at: Made, caplog: pytest.LogCaptureFixture) -> None:
    done("seal", "--config", str(at.path), "--remove")

    async def act(server: Serving) -> None:
        before = await server.shows()
        await asyncio.to_thread(done, "renew", "--config", str(at.path))
        assert await server.hangs_up() == [READ]
        assert await server.shows() != before
        (at.folder / "server.key").chmod(0o644)
        (line,) = await server.hangs_up()
        assert line.startswith(f"{KEPT}: TLS_UNUSABLE: The file {at.folder / 'server.key'}")
        assert server.refused("TLS_UNUSABLE") == 1

    serving(at, caplog, act)


def test_of_a_configuration_that_was_changed_a_restart_is_asked_for(at: Made, caplog: pytest.LogCaptureFixture) -> None:
    async def act(server: Serving) -> None:
        at.path.write_text(at.path.read_text().replace("searches_per_day = 1000", "searches_per_day = 7"))
        await asyncio.to_thread(done, "seal", "--config", str(at.path))
        told = f"{at.path} has changed since the start: SIGHUP reloads only certificates; a restart applies the rest"
        assert await server.hangs_up() == [told, READ]

    serving(at, caplog, act)


def test_the_end_of_a_revocation_list_is_announced(at: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, authority = at.folder / "revoked.pem", Papers(tmp_path / "papers", now_ms() - 60 * DAY_MS).authority
    write_revocations(authority, path, [], now_ms() - 25 * DAY_MS)
    names = f'client_ca = "{authority.certificate}"\nrevoked = "{path}"\nclient_certificates = "optional"\n'
    at.path.write_text(at.path.read_text().replace("[tls]\n", f"[tls]\n{names}"))
    done("seal", "--config", str(at.path))

    def end_s() -> float:
        return (revocations_expire_ms(path) or 0) / 1000

    async def act(server: Serving) -> None:
        assert any(line.startswith("The list of revoked certificates expires on 20") for line in caplog.messages)
        assert server.end_s("crl") == end_s() > 0
        read, warned = await server.hangs_up(2)
        assert read == READ
        assert "Renew it with `fr server certificate revoke --renew`" in warned
        papers = ("--ca", str(authority.certificate), "--ca-key", str(authority.key))
        await asyncio.to_thread(done, "certificate", "revoke", "--renew", "--out", str(path), *papers)
        assert await server.hangs_up() == [READ]
        assert server.end_s("crl") == end_s() > now_ms() / 1000 + 29 * DAY_MS / 1000
        write_revocations(authority, path, [], now_ms() - 31 * DAY_MS)
        (line,) = await server.hangs_up()
        assert line.startswith(f"{KEPT}: TLS_UNUSABLE: The file {path} holds a list")

    serving(at, caplog, act)


def test_a_running_server_tells_when_the_first_key_ends(at: Made, caplog: pytest.LogCaptureFixture) -> None:
    at.key(Role.OPERATOR, lifetime_ms=10 * DAY_MS)

    async def act(server: Serving) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not server.end_s("api_key"):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        assert abs((server.end_s("api_key") or 0) - now_ms() / 1000 - 10 * DAY_MS / 1000) < 60

    serving(at, caplog, act)


def first_words(path: Path) -> str:
    said = fr_ends("serve", "--config", path, "--set", "server.port=0", "--pack", "nope")
    assert "UNKNOWN_PACK" in said
    return said


def test_a_start_says_that_a_configuration_is_not_sealed_where_there_is_tls(at: Made, tmp_path: Path) -> None:
    assert "sealed" not in first_words(at.path)
    done("seal", "--config", str(at.path), "--remove")
    assert "The configuration is not sealed" in first_words(at.path)
    plain = tmp_path / "plain.toml"
    plain.write_text(f'[gallery]\nfolder = "{tmp_path / "plain"}"\n')
    assert "sealed" not in first_words(plain), "without TLS nobody else can reach it"


def test_a_reload_that_fails_in_an_unforeseen_way_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Reloader):
        async def reload(self) -> None:
            raise RuntimeError("which may hold what a file does")

    async def signalled(server: Any) -> None:
        Failing(server, Started())()
        await asyncio.sleep(0.01)

    asyncio.run(signalled(None))
    assert "The certificates could not be reloaded: RuntimeError" in caplog.text
    assert "which may hold" not in caplog.text


def test_signals_that_come_in_mid_reload_lead_to_one_more() -> None:
    """Each may take a thread for as long as the command of a key takes."""

    class Counting(Reloader):
        begun = at_once = most = 0

        async def reload(self) -> None:
            self.begun, self.at_once = self.begun + 1, self.at_once + 1
            self.most = max(self.most, self.at_once)
            await go_on.wait()
            self.at_once -= 1

    async def signalled(server: Any) -> Counting:
        reloader = Counting(server, Started())
        for _ in range(12):
            reloader()
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.sleep(0.1)
        return reloader

    go_on = asyncio.Event()
    reloader = asyncio.run(signalled(None))
    assert (reloader.begun, reloader.most) == (2, 1)
