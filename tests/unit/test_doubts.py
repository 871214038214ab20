"""What a server tells before anything is refused: mistakes in its configuration, ends of keys, failed chores."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fr_core.errors import StoreFailed
from fr_server.app import SERVICES
from fr_server.checks import doubts_of
from fr_server.config import Config
from fr_server.jobs.periodic import for_ever, tell_key_ends
from fr_server.telemetry.listener import CHORES
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry
from fr_server.telemetry.trust import Trust
from fr_training.store.training_store import TrainingStore
from fr_trust.casework.store import CaseStore
from support.access import DAY_MS, NOW_MS, Clocks, new_key, open_store
from support.gateways import now_ms
from support.secured import Made, made
from support.servers import running


@pytest.fixture
def at(tmp_path: Path) -> Made:
    server = made(tmp_path / "srv")
    (server.folder / "ca.key").rename(tmp_path / "elsewhere.key")
    return server


def doubts(at: Made, config: Config | None = None, sealed: bool = True) -> list[str]:
    return doubts_of(config or at.config(), at.path, sealed, now_ms())


def test_a_server_as_it_should_be_is_not_doubted(at: Made) -> None:
    assert doubts(at) == []


@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_the_key_of_the_authority_on_the_same_machine(at: Made, tmp_path: Path, mode: int) -> None:
    key = at.folder / "ca.key"
    (tmp_path / "elsewhere.key").rename(key)
    key.chmod(mode)
    (told,) = doubts(at)
    assert str(key) in told
    assert ("(mode 0755)" in told) == (mode == 0o755)


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o707, 0o720])
def test_a_data_folder_that_is_open_to_others(at: Made, mode: int) -> None:
    (at.folder / "data").chmod(mode)
    (told,) = doubts(at)
    assert told.startswith(f"Other users can access the data folder {at.folder / 'data'} (mode {mode:04o})")


def test_a_folder_of_the_configuration_that_others_may_write(at: Made) -> None:
    at.folder.chmod(0o755)
    assert doubts(at) == []
    at.folder.chmod(0o775)
    (told,) = doubts(at)
    assert f"{at.folder} (mode 0775)" in told


class Hears(Trust):
    """Hears when the first key ends."""

    end_s = -1.0

    def keys_expire(self, at_s: float) -> None:
        self.end_s = at_s


def test_the_first_end_is_that_of_a_key_that_is_valid(tmp_path: Path) -> None:
    clocks, trust = Clocks(), Hears()
    with open_store(tmp_path / "data", clocks) as store:

        def told_days() -> float:
            tell_key_ends(store, trust)
            return (trust.end_s * 1000 - NOW_MS) / DAY_MS if trust.end_s else 0

        assert told_days() == 0
        store.create(new_key())
        assert told_days() == 0, "it has no end"
        store.create(new_key(lifetime_ms=30 * DAY_MS))
        revoked = store.create(new_key(lifetime_ms=2 * DAY_MS)).key
        store.create(new_key(lifetime_ms=5 * DAY_MS))
        assert told_days() == 2
        store.revoke(revoked.key_id)
        assert told_days() == 5
        clocks.passes(6 * DAY_MS)
        assert told_days() == 30


def failures(registry: CollectorRegistry) -> dict[str, float]:
    """How often each chore failed."""
    return {chore: registry.get_sample_value("fr_chore_failures_total", {"chore": chore}) or 0 for chore in CHORES}


def done(job: Callable[[], None], times: int) -> dict[str, float]:
    """Have a job done until it has been begun so many times; returns how often it failed."""
    metrics = PrometheusObserver(methods_of(SERVICES))
    begun = 0

    async def run() -> None:
        enough = asyncio.Event()
        loop = asyncio.get_running_loop()

        def counted() -> None:
            nonlocal begun
            begun += 1
            if begun >= times:
                loop.call_soon_threadsafe(enough.set)
            job()

        going_on = asyncio.create_task(for_ever("purge_cases", 0.0, counted, Telemetry(metrics=metrics).chore_failed))
        await asyncio.wait_for(enough.wait(), 10)
        going_on.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going_on

    asyncio.run(run())
    return failures(metrics.registry)


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), KeyError("Jane Roe"), MemoryError("Jane Roe")])
def test_whatever_a_run_raises_there_is_a_next_one(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise error

    assert done(fail, 5)["purge_cases"] >= 4
    assert "The chore purge_cases failed; the server tries again" in caplog.text
    assert type(error).__name__ in caplog.text
    assert "Jane Roe" not in caplog.text


def test_what_does_not_fail_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    assert set(done(lambda: None, 5).values()) == {0}
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_server_goes_on_to_delete_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each purge meets a defect, and then does what it is for."""
    purged: dict[str, threading.Event] = {}

    def defective_once(store: type, name: str) -> None:
        purge, again = store.purge, purged.setdefault(name, threading.Event())  # type: ignore[attr-defined]
        calls: list[object] = []

        def broken(self: object) -> object:
            calls.append(self)
            if len(calls) == 1:
                raise ZeroDivisionError
            again.set()
            return purge(self)

        monkeypatch.setattr(store, "purge", broken)

    defective_once(CaseStore, "purge_cases")
    defective_once(TrainingStore, "purge_training")
    monkeypatch.setattr("fr_server.app._PURGE_S", 0.05)
    metrics = PrometheusObserver(methods_of(SERVICES))
    with running(tmp_path, observing=Telemetry(metrics, metrics)):
        for again in purged.values():
            assert again.wait(10)
    assert {chore: count for chore, count in failures(metrics.registry).items() if count} == dict.fromkeys(purged, 1)
