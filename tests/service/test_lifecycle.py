"""The life of a server: its start while galleries are read, defects and damage, health, and the orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2, server_pb2
from fr_core.detect.null import NullDetector
from fr_core.engine import Engine
from fr_core.errors import AddressUnavailable, InternalError, ShuttingDown, StoreCorrupt
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.types import U8, Detection
from fr_server.app import SERVICES, App
from fr_server.config import Config, config_from
from fr_server.config.folders import data_folder
from fr_server.main import build, run
from support.faults import until
from support.servers import HeldUp, Running, ended, null_engine, photo, refusal_of, running

DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))


class DefectiveDetector(NullDetector):
    """A null detector with a defect, whose message tells what it should not."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        raise KeyError("Jane Roe")


def health_of(server: Running, service: str = "") -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    stub = health_pb2_grpc.HealthStub(server.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service)).status


def test_stopping_ends_an_open_stream_after_its_items(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        keep_open = threading.Event()

        def requests() -> Iterator[recognition_pb2.StreamEmbedRequest]:
            yield recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
            keep_open.wait(20)

        stream = server.recognition.StreamEmbed(requests())
        assert next(stream).item_id == "a"
        stopped = server.stop()
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        keep_open.set()
        assert ended(caught.value).info.reason == "SHUTTING_DOWN"
        stopped.result(10)


def test_defect_is_an_internal_error_that_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path, DefectiveDetector()) as server, caplog.at_level("INFO"):
        with pytest.raises(grpc.RpcError) as caught:
            server.recognition.Detect(DETECT)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        pairs: Any = caught.value.trailing_metadata()
        request_id = dict(pairs)["x-request-id"]
        assert ended(caught.value).info.metadata["request_id"] == request_id
        item = recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
        call = server.recognition.StreamEmbed(iter([item]))
        (answer,) = call
        trailing = dict(call.trailing_metadata() or ())
        assert answer.refusal.metadata["request_id"] == trailing["x-request-id"]
        assert answer.refusal.reason == error_reason_pb2.ERROR_REASON_INTERNAL
        assert "Jane" not in f"{caught.value.details()} {answer.refusal.message} {caplog.text}"
        assert "KeyError" in caplog.text
        assert str(request_id) in caplog.text
        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version


def test_message_that_is_no_protobuf_is_refused_with_a_reason(server: Running) -> None:
    for garbage in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = server.channel.unary_unary("/fr_api.v1.GalleryService/CreateGallery")
        with pytest.raises(grpc.RpcError) as caught:
            call(garbage)
        assert ended(caught.value).info.reason == "INVALID_FIELD"


def test_stream_with_garbage_answers_what_came_before_it(server: Running) -> None:
    item = recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
    call: grpc.StreamStreamMultiCallable[bytes, bytes]
    call = server.channel.stream_stream("/fr_api.v1.RecognitionService/StreamEmbed")
    answers = call(iter([item.SerializeToString(), b"\xff\xff"]))
    assert recognition_pb2.StreamEmbedResponse.FromString(next(answers)).item_id == "a"
    assert refusal_of(lambda: next(answers)).info.reason == "INVALID_FIELD"


@pytest.mark.parametrize("own", ["Jane-Doe-1990-01-31", "a b c", ""])
def test_a_request_id_is_the_servers_own(server: Running, caplog: pytest.LogCaptureFixture, own: str) -> None:
    with caplog.at_level("INFO"):
        _, call = server.recognition.Detect.with_call(DETECT, metadata=(("x-request-id", own),))
    request_id = str(dict(call.trailing_metadata() or ())["x-request-id"])
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert request_id in caplog.text
    assert not own or own not in caplog.text


def test_health_tells_each_service(server: Running) -> None:
    for service in ("", *SERVICES):
        assert health_of(server, service) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError):
        health_of(server, "nothing")


def test_taken_port_is_refused_rather_than_shared(tmp_path: Path) -> None:
    with (
        running(tmp_path / "a") as first,
        pytest.raises(AddressUnavailable),
        running(tmp_path / "b", server={"port": first.app.port}),
    ):
        pytest.fail("two servers on one port")


def test_a_server_that_grpc_has_ended_ends_its_process_and_one_that_is_stopped_does_not(tmp_path: Path) -> None:
    with running(tmp_path / "ended") as server:
        assert server.app._server is not None
        broken = asyncio.run_coroutine_threadsafe(server.app.broken(), server.loop)
        with pytest.raises(TimeoutError):
            broken.result(0.3)
        asyncio.run_coroutine_threadsafe(server.app._server.stop(None), server.loop).result(10)
        with pytest.raises(InternalError):
            broken.result(10)
    with running(tmp_path / "stopped") as server:
        broken = asyncio.run_coroutine_threadsafe(server.app.broken(), server.loop)
        asyncio.run_coroutine_threadsafe(server.app._drain(), server.loop).result(10)
        broken.result(10)


def enrolment(blue: int) -> gallery_pb2.EnrolRequest:
    face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue)))
    return gallery_pb2.EnrolRequest(gallery_id="g", subject_id="Jane", face=face)


def spoil(folder: Path) -> None:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.execute("UPDATE subjects SET display_name = 'Joan'").fetchall()


def require_told(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    subject = gallery_pb2.GetSubjectRequest(gallery_id="g", subject_id="Jane")
    for call in (lambda: server.gallery.GetSubject(subject), lambda: server.gallery.Enrol(enrolment(2))):
        caplog.clear()
        with pytest.raises(grpc.RpcError) as caught:
            call()
        told = ended(caught.value)
        assert (told.code, told.info.reason) == (grpc.StatusCode.DATA_LOSS, "STORE_CORRUPT")
        assert dict(told.info.metadata) == {"check": "subjects"}
        (line,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
        assert "`fr server verify`" in line
        assert "Jane" not in caplog.text + str(caught.value.details())


def test_damage_is_told_and_the_log_says_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path) as server:
        server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="g"))
        server.gallery.Enrol(enrolment(1))
        spoil(tmp_path)
        require_told(server, caplog)
        (answer,) = server.gallery.StreamEnrol(iter([gallery_pb2.StreamEnrolRequest(item_id="1", enrol=enrolment(3))]))
        assert answer.refusal.reason == error_reason_pb2.ERROR_REASON_STORE_CORRUPT
        assert server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="g")).gallery.template_count == 1


# --- a program of somebody else that opens and closes the stores of a running server takes nothing away -------------
# SQLite's own shell is one. The last connection to a database copies its log and deletes it; that there are others, it
# learns from their locks, and a process gives up all its locks on a file when it closes that file anywhere.

LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM sqlite_master").fetchall()
connection.close()
"""


def look_into(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LOOK, str(path)], check=True, timeout=60)


def stores_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".db", ".sqlite"})


def has_log(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def test_the_log_of_a_store_stays(tmp_path: Path) -> None:
    with running(tmp_path / "data"):
        stores = stores_of(tmp_path)
        assert {path.name for path in stores} == {"access.sqlite", "cases.sqlite", "galleries.db", "training.sqlite"}
        for path in stores:
            look_into(path)
            assert has_log(path), path.name


def test_control_where_the_server_closes_the_file_the_log_is_deleted(tmp_path: Path) -> None:
    with running(tmp_path / "data"):
        (path,) = (path for path in stores_of(tmp_path) if path.name == "cases.sqlite")
        path.open("rb").close()
        look_into(path)
        assert not has_log(path)


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


async def health_by(channel: grpc.aio.Channel, service: str = "") -> int:
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
                assert await health_by(channel, service) == health_pb2.HealthCheckResponse.NOT_SERVING
            stub = gallery_pb2_grpc.GalleryServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListGalleries(gallery_pb2.ListGalleriesRequest())
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            how = ended(refused.value)
            assert how.info.reason == "NOT_READY"
            assert how.retry is not None
            held.go.set()
            await starting
            assert await health_by(channel) == health_pb2.HealthCheckResponse.SERVING
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
