"""While the galleries are read the server listens, says NOT_SERVING, refuses calls, and can be told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_core.engine import Engine
from fr_core.errors import InternalError, ShuttingDown, StoreCorrupt
from fr_core.gallery.galleries import Galleries
from fr_server.app import App
from fr_server.config import Config, config_from
from fr_server.config.folders import data_folder
from fr_server.main import build, run
from support.faults import until
from support.servers import HeldUp, ended, null_engine


@contextlib.contextmanager
def given_up_at_the_end(app: App) -> Iterator[None]:
    """So that a failed test does not wait for ever for its server to start."""
    try:
        yield
    finally:
        app.give_up()


def app_on(folder: Path) -> tuple[App, HeldUp]:
    config = config_from({"server": {"port": 0}, "gallery": {"folder": str(folder)}})
    galleries = Galleries.open(data_folder(config), index="numpy", load=False)
    held = HeldUp(galleries.load)
    return App(config, null_engine(config), galleries, load=held), held


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


def test_calls_are_refused_until_the_galleries_are_read(tmp_path: Path) -> None:
    async def story() -> None:
        app, held = app_on(tmp_path)
        starting = asyncio.create_task(app.start())
        await asyncio.to_thread(held.entered.wait, 10)
        with given_up_at_the_end(app):
            await refused_until_read(app, held, starting)
        await app.stop()

    async def refused_until_read(app: App, held: HeldUp, starting: asyncio.Task[None]) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
            for service in ("", "fr_api.v1.GalleryService"):
                assert await health_of(channel, service) == health_pb2.HealthCheckResponse.NOT_SERVING
            stub = gallery_pb2_grpc.GalleryServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListGalleries(gallery_pb2.ListGalleriesRequest())
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            how = ended(refused.value)
            assert how.info.reason == "NOT_READY"
            assert how.retry is not None
            held.go.set()
            await starting
            assert await health_of(channel) == health_pb2.HealthCheckResponse.SERVING
            await stub.ListGalleries(gallery_pb2.ListGalleriesRequest())

    asyncio.run(story())


def test_a_server_that_is_reading_can_be_told_to_stop(tmp_path: Path) -> None:
    async def story() -> None:
        app, held = app_on(tmp_path)
        starting = asyncio.create_task(app.start())
        await asyncio.to_thread(held.entered.wait, 10)
        app.give_up()
        with pytest.raises(ShuttingDown):
            await asyncio.wait_for(starting, 5)
        await app.stop()

    asyncio.run(story())
    Galleries.open(tmp_path, index="numpy").close()  # the folder was let go


def test_run_ends_without_an_error_when_told_to_stop_early(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        app, held = app_on(tmp_path)
        running = asyncio.create_task(run(app, tmp_path / "ready"))
        await asyncio.to_thread(held.entered.wait, 10)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 10)

    with caplog.at_level(logging.INFO, "fr_server"):
        asyncio.run(story())
    assert "Stopping before calls are answered" in caplog.text
    assert not (tmp_path / "ready").exists()


def test_damage_that_is_found_while_reading_ends_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        app, _ = app_on(tmp_path)

        def damaged(on_block: Callable[[], None]) -> None:
            raise StoreCorrupt("The checksum of a stored vector differs.", check="vector")

        app._load = damaged
        with pytest.raises(StoreCorrupt):
            await app.start()
        with contextlib.suppress(Exception):
            await app.stop()

    asyncio.run(story())
    Galleries.open(tmp_path, index="numpy").close()


def test_galleries_that_can_be_changed_no_more_end_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fr_server.main.open_engine", lambda config, listener, trust: null_engine(config))
    server = build(config_from({"server": {"port": 0}, "gallery": {"folder": str(tmp_path), "index": "numpy"}}))
    assert isinstance(server, App)
    galleries = server.galleries
    assert isinstance(galleries, Galleries)

    async def story() -> None:
        running = asyncio.create_task(run(server, tmp_path / "ready"))
        await asyncio.to_thread(until, (tmp_path / "ready").exists)
        assert not running.done()
        galleries.broken.set_exception(KeyError("Jane Roe"))
        with pytest.raises(InternalError) as caught:
            await asyncio.wait_for(running, 10)
        assert "Jane" not in str(caught.value)

    asyncio.run(story())
    assert "What is kept can take no more changes" in caplog.text
    assert "KeyError" in caplog.text
    assert "Jane" not in caplog.text
    Galleries.open(tmp_path, index="numpy").close()  # the folder was let go


def test_server_that_cannot_be_made_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_engine(config: Config, *arguments: object) -> Engine:
        return replace(null_engine(config), pack=None)  # type: ignore[arg-type]  # so that no app can be made

    monkeypatch.setattr("fr_server.main.open_engine", open_engine)
    with pytest.raises(AttributeError):
        build(config_from({"gallery": {"folder": str(tmp_path), "index": "numpy"}}))
    Galleries.open(tmp_path, index="numpy").close()  # the folder was let go
