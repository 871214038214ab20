"""What a server does again and again goes on, whatever one run of it meets; and the metrics tell of it."""

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
from fr_server.jobs.periodic import for_ever
from fr_server.telemetry.listener import CHORES
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry
from fr_training.store.training_store import TrainingStore
from fr_trust.casework.store import CaseStore
from support.servers import running


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
