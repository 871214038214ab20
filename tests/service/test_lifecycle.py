"""The life of a server: its start, defects and damage, health, its orderly end; and that what it tells names nobody."""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2, server_pb2
from fr_client import Client, EmbeddingBatch, EmbeddingSubject
from fr_core.detect.null import NullDetector
from fr_core.engine import Engine
from fr_core.errors import AddressUnavailable, InternalError, ShuttingDown, StoreCorrupt
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack, pack_names
from fr_core.runtime.observe import STAGES
from fr_core.types import U8, Detection
from fr_server.app import SERVICES, App, Load
from fr_server.config import Config, config_from
from fr_server.config.folders import data_folder
from fr_server.main import build, run
from fr_server.telemetry.exposition import MetricsServer
from fr_server.telemetry.listener import MOST_FAILED
from fr_server.telemetry.logs import JsonFormatter, TextFormatter
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry, together
from fr_server.telemetry.tracing import TracingObserver
from support.courses import Clock
from support.faults import until
from support.servers import HeldUp, Running, ended, null_engine, photo, refusal_of, running

DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))
WIDE = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1, width=600)))


class DefectiveDetector(NullDetector):
    """Has a defect on photos that are wide, whose message tells what it should not."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        if pixels.shape[1] > 500:
            raise KeyError("Jane Roe, zq-message")
        return super().detect(pixels)


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
        told = refusal_of(lambda: next(stream))
        keep_open.set()
        assert told.info.reason == "SHUTTING_DOWN"
        stopped.result(10)


def test_defect_is_an_internal_error_that_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path, DefectiveDetector()) as server, caplog.at_level("INFO"):
        with pytest.raises(grpc.RpcError) as caught:
            server.recognition.Detect(WIDE)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        pairs: Any = caught.value.trailing_metadata()
        request_id = dict(pairs)["x-request-id"]
        assert ended(caught.value).info.metadata["request_id"] == request_id
        item = recognition_pb2.StreamEmbedRequest(item_id="a", image=WIDE.image)
        call = server.recognition.StreamEmbed(iter([item]))
        (answer,) = call
        trailing = dict(call.trailing_metadata() or ())
        assert answer.refusal.metadata["request_id"] == trailing["x-request-id"]
        assert answer.refusal.reason == error_reason_pb2.ERROR_REASON_INTERNAL
        assert "Jane" not in f"{caught.value.details()} {answer.refusal.message} {caplog.text}"
        assert "KeyError" in caplog.text
        assert str(request_id) in caplog.text
        told = server.server.GetServerStatus(server_pb2.GetServerStatusRequest())
        assert [(one.outcome, one.server_fault) for one in told.ended] == [("INTERNAL", True), ("OK", False)]
        assert (told.photos.done, told.photos.waiting, told.photos.HasField("p95_s")) == (0, 0, False)


def test_message_that_is_no_protobuf_is_refused_with_a_reason(server: Running) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    call = server.channel.unary_unary("/fr_api.v1.GalleryService/CreateGallery")
    for garbage in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        assert refusal_of(partial(call, garbage)).info.reason == "INVALID_FIELD"
    # In a stream, what came before it is answered.
    item = recognition_pb2.StreamEmbedRequest(item_id="a", image=common_pb2.Image(data=photo(1)))
    stream: grpc.StreamStreamMultiCallable[bytes, bytes]
    stream = server.channel.stream_stream("/fr_api.v1.RecognitionService/StreamEmbed")
    answers = stream(iter([item.SerializeToString(), b"\xff\xff"]))
    assert recognition_pb2.StreamEmbedResponse.FromString(next(answers)).item_id == "a"
    assert refusal_of(lambda: next(answers)).info.reason == "INVALID_FIELD"


def test_a_request_id_is_the_servers_own(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    for own in ("Jane-Doe-1990-01-31", "a b c", ""):
        with caplog.at_level("INFO"):
            _, call = server.recognition.Detect.with_call(DETECT, metadata=(("x-request-id", own),))
        request_id = request_id_of(call)
        assert re.fullmatch("[0-9a-f]{32}", request_id)
        assert request_id in caplog.text
        assert not own or own not in caplog.text


def test_the_status_counts_calls_and_names_the_newest_that_failed(tmp_path: Path) -> None:
    clock = Clock(stopped_ms=1_000_000_000_000)
    with running(tmp_path, clock=clock) as server:
        server.server.GetServerInfo(server_pb2.GetServerInfoRequest())
        unknown = partial(server.gallery.GetGallery, gallery_pb2.GetGalleryRequest(gallery_id="jane-roe"))
        for _ in range(MOST_FAILED):
            refusal_of(unknown)
        clock.ahead_ms = 60_000
        last = refusal_of(partial(server.gallery.ListGalleries, gallery_pb2.ListGalleriesRequest(page_token="x")))
        told = server.server.GetServerStatus(server_pb2.GetServerStatusRequest())
    assert told.start_time.ToMilliseconds() == 1_000_000_000_000
    assert (told.calls_in_progress, told.frontends) == (1, 0)
    counts = {one.outcome: one.count for one in told.ended}
    assert last.info.reason != "UNKNOWN_GALLERY"
    assert counts == {"OK": 1, "UNKNOWN_GALLERY": MOST_FAILED, last.info.reason: 1}
    assert len(told.failed) == MOST_FAILED
    newest = told.failed[0]
    assert (newest.method, newest.reason) == ("fr_api.v1.GalleryService/ListGalleries", last.info.reason)
    assert newest.end_time.ToMilliseconds() == 1_000_000_060_000
    assert re.fullmatch("[0-9a-f]{32}", newest.request_id)
    assert {one.reason for one in told.failed[1:]} == {"UNKNOWN_GALLERY"}
    assert "jane-roe" not in str(told)


def test_the_status_tells_photos_stores_and_packs(tmp_path: Path) -> None:
    with patch.dict(os.environ, {"FR_HOME": str(tmp_path / "home")}), running(tmp_path / "data") as server:
        sface, home = load_pack("sface"), ModelCache(cache_folder())
        for spec in sface.files:
            home.path(spec).parent.mkdir(parents=True)
            home.path(spec).write_bytes(b"")
        for _ in range(2):
            server.recognition.Detect(DETECT)
        told = server.server.GetServerStatus(server_pb2.GetServerStatusRequest())
    assert (told.photos.done, told.photos.waiting) == (2, 0)
    assert 0 < told.photos.median_s <= told.photos.p95_s < 60
    stores = {one.name: one for one in told.stores}
    assert {name: one.in_backups for name, one in stores.items()} == {
        "galleries": True,
        "training": False,
        "cases": False,
        "access": False,
    }
    assert all(one.size_bytes > 4096 and one.disk_free_bytes for one in told.stores)
    packs = {one.pack: one for one in told.packs}
    assert list(packs) == list(pack_names())
    assert [one.pack for one in told.packs if one.installed] == ["sface"]
    assert [one.pack for one in told.packs if one.active] == ["buffalo_s"]
    assert (packs["sface"].embedding_size, packs["sface"].embedder_licence) == (128, sface.embedder.licence)


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


def test_damage_is_told_and_the_log_says_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path) as server:
        server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="g"))
        server.gallery.Enrol(enrolment(1))
        with closing(apsw.Connection(str(tmp_path / DATABASE_NAME))) as connection:
            connection.execute("UPDATE subjects SET display_name = 'Joan'").fetchall()
        subject = gallery_pb2.GetSubjectRequest(gallery_id="g", subject_id="Jane")
        for call in (partial(server.gallery.GetSubject, subject), partial(server.gallery.Enrol, enrolment(2))):
            caplog.clear()
            told = refusal_of(call)
            assert (told.code, told.info.reason) == (grpc.StatusCode.DATA_LOSS, "STORE_CORRUPT")
            assert dict(told.info.metadata) == {"check": "subjects"}
            (line,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
            assert "docs/runbooks/suspected-tampering.md" in line
            assert "Jane" not in caplog.text + told.status.message
        (answer,) = server.gallery.StreamEnrol(iter([gallery_pb2.StreamEnrolRequest(item_id="1", enrol=enrolment(3))]))
        assert answer.refusal.reason == error_reason_pb2.ERROR_REASON_STORE_CORRUPT
        assert server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="g")).gallery.template_count == 1


# A program of somebody else that opens and closes the stores of a running server takes nothing away.
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


def app_on(folder: Path, load: Load | None = None) -> tuple[App, HeldUp]:
    config = config_from({"server": {"port": 0}, "gallery": {"folder": str(folder)}})
    galleries = Galleries.open(data_folder(config), index="numpy", load=False)
    held = HeldUp(galleries.load)
    return App(config, null_engine(config), galleries, load=load or held), held


async def health_by(channel: grpc.aio.Channel, service: str = "") -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


def test_calls_are_refused_until_the_galleries_are_read(tmp_path: Path) -> None:
    async def story() -> None:
        app, held = app_on(tmp_path)
        starting = asyncio.create_task(app.start())
        await asyncio.to_thread(held.entered.wait, 10)
        try:
            await refused_until_read(app, held, starting)
        finally:
            app.give_up()  # so that a failed test does not wait for ever
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


def test_run_ends_without_an_error_when_told_to_stop_early(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        app, held = app_on(tmp_path)
        running = asyncio.create_task(run(app, tmp_path / "ready"))
        await asyncio.to_thread(held.entered.wait, 10)
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.wait_for(running, 10)
        finally:
            held.go.set()

    with caplog.at_level(logging.INFO, "fr_server"):
        asyncio.run(story())
    assert "Stopping before calls are answered" in caplog.text
    assert not (tmp_path / "ready").exists()
    Galleries.open(tmp_path, index="numpy").close()  # the folder was let go


def test_damage_that_is_found_while_reading_ends_the_start(tmp_path: Path) -> None:
    def damaged(on_block: Callable[[], None]) -> None:
        raise StoreCorrupt("The checksum of a stored vector differs.", check="vector")

    async def story() -> None:
        app, _ = app_on(tmp_path, damaged)
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


METHOD = "fr_api.v1.RecognitionService/Detect"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# Everything by which a caller could name somebody.
NAMES = ("zq-gallery", "Zq Display", "zq-subject", "zq-key", "zq-value", "zq-item", "zq-message")


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text: list[str] = []
        self.json: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(TextFormatter().format(record))
        self.json.append(JsonFormatter().format(record))


@dataclass
class Observed:
    """A server with everything switched on."""

    server: Running
    telemetry: Telemetry
    exporter: InMemorySpanExporter
    lines: Lines = field(default_factory=Lines)

    def metrics(self) -> str:
        assert self.telemetry.metrics_server is not None
        address = f"http://127.0.0.1:{self.telemetry.metrics_server.port}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return str(answer.read().decode())

    def value(self, name: str, **labels: str) -> float:
        return next(
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        )

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    exporter = InMemorySpanExporter()
    metrics = PrometheusObserver(methods_of(SERVICES))
    tracing = TracingObserver(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(together(metrics, tracing), metrics, MetricsServer(metrics.registry, "127.0.0.1", 0), tracing)
    root, lines = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    try:
        with running(tmp_path, DefectiveDetector(), telemetry) as server:
            yield Observed(server, telemetry, exporter, lines)
    finally:
        root.removeHandler(lines)
        root.setLevel(level)


def image(*blues: int, width: int = 400) -> common_pb2.Image:
    return common_pb2.Image(data=photo(*blues, width=width))


def test_calls_are_counted_by_method_and_outcome(observed: Observed) -> None:
    recognition = observed.server.recognition
    recognition.Detect(recognition_pb2.DetectRequest(image=image(1, 2)))
    with pytest.raises(grpc.RpcError):
        recognition.Detect(recognition_pb2.DetectRequest(image=common_pb2.Image(data=b"no photo")))
    assert observed.value("fr_request_seconds_count", method=METHOD, outcome="OK") == 1
    assert observed.value("fr_request_seconds_count", method=METHOD, outcome="UNDECODABLE") == 1
    assert observed.value("fr_rejects_total", reason="UNDECODABLE") == 1
    assert observed.value("fr_requests_in_flight") == 0
    assert observed.value("fr_stage_seconds_count", stage="decode") == 2
    assert observed.value("fr_health") == 1
    assert 'active="cpu"' in observed.metrics()


def test_refused_items_and_rows_count_though_the_stream_is_ok(observed: Observed) -> None:
    items = [
        recognition_pb2.StreamEmbedRequest(item_id="a", image=image(1)),
        recognition_pb2.StreamEmbedRequest(item_id="b", image=common_pb2.Image(data=b"no photo")),
        recognition_pb2.StreamEmbedRequest(item_id="c", image=image(1, width=600)),
    ]
    assert len(list(observed.server.recognition.StreamEmbed(iter(items)))) == 3
    method = "fr_api.v1.RecognitionService/StreamEmbed"
    assert observed.value("fr_request_seconds_count", method=method, outcome="OK") == 1
    subjects = [EmbeddingSubject(str(row)) for row in range(3)]
    with Client(observed.server.address) as client:
        client.create_gallery("g")
        sent = EmbeddingBatch(np.zeros((3, 64), "<f4").tobytes(), subjects)
        list(client.enrol_embeddings("g", client.embed(photo(1)).faces[0].embedding.model, [sent]))
    for reason, times in (("UNDECODABLE", 1), ("INTERNAL", 1), ("EMBEDDING_NOT_UNIT", 3)):
        assert observed.value("fr_rejects_total", reason=reason) == times, reason


def test_failed_search_for_similar_ones_counts(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise ShuttingDown("The server is shutting down.")

    monkeypatch.setattr(observed.server.app.galleries, "search", fails)
    with Client(observed.server.address) as client:
        client.create_gallery("g")
        assert client.enrol("g", "s", photo(1), report_similar=True).similar_unknown
    assert observed.value("fr_rejects_total", reason="SHUTTING_DOWN") == 1


def test_abandoned_stream_is_a_cancelled_call_and_no_longer_in_flight(observed: Observed) -> None:
    items = (recognition_pb2.StreamEmbedRequest(item_id=str(n), image=image(1)) for n in range(10_000))
    stream = observed.server.recognition.StreamEmbed(items)
    next(stream)
    assert observed.value("fr_requests_in_flight") == 1
    stream.cancel()
    observed.server.stop().result(20)
    span = observed.spans()[-1]
    outcomes = {dict(span.attributes or {}).get("fr.outcome") for span in observed.spans()}
    assert "CANCELLED" in outcomes, span.name
    telemetry = observed.telemetry.metrics
    assert telemetry is not None
    assert telemetry.registry.get_sample_value("fr_requests_in_flight") == 0
    assert telemetry.registry.get_sample_value("fr_health") == 0


def request_id_of(answered: grpc.Call) -> str:
    return str(dict(answered.trailing_metadata() or ())["x-request-id"])


def test_call_continues_the_trace_of_its_caller_down_to_the_steps(observed: Observed) -> None:
    parent = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
    metadata = (parent, ("tracestate", "jane=doe"), ("x-request-id", "jane-doe"))
    for _ in range(2):  # a later call of the same connection and thread has a parent of its own
        embed = recognition_pb2.EmbedRequest(image=image(1))
        _, answered = observed.server.recognition.Embed.with_call(embed, metadata=metadata)
    observed.server.recognition.Embed(recognition_pb2.EmbedRequest(image=image(1)))
    calls = [span for span in observed.spans() if span.name.endswith("/Embed")]
    parents = [None if span.parent is None else f"{span.parent.span_id:016x}" for span in calls]
    assert parents == [PARENT_ID, PARENT_ID, None]
    assert dict(calls[1].attributes or {})["fr.request_id"] == request_id_of(answered)
    assert "jane" not in repr([(span.attributes, span.context) for span in observed.spans()])
    for call in calls:
        assert call.context is not None
        steps = [s for s in observed.spans() if s.parent is not None and s.parent.span_id == call.context.span_id]
        assert [step.name for step in steps] == list(STAGES)


def test_line_of_a_call_in_json_has_its_fields(observed: Observed) -> None:
    request = recognition_pb2.DetectRequest(image=image(1))
    _, answered = observed.server.recognition.Detect.with_call(request)
    request_id = request_id_of(answered)
    (line,) = (line for line in map(json.loads, observed.lines.json) if line["logger"] == "fr_server.calls")
    assert (line["method"], line["outcome"], line["request_id"]) == (METHOD, "OK", request_id)
    assert line["took_ms"] > 0
    (text,) = (line for line in observed.lines.text if "fr_server.calls" in line)
    assert re.search(rf" INFO fr_server\.calls: /{METHOD} OK {request_id} [0-9]+\.[0-9] ms$", text)


def test_nothing_that_is_told_names_anybody(observed: Observed) -> None:
    gallery = observed.server.gallery
    gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="zq-gallery", display_name="Zq Display"))
    person = {"subject_id": "zq-subject", "display_name": "Zq Display", "metadata": {"zq-key": "zq-value"}}
    enrolment = gallery_pb2.EnrolRequest(gallery_id="zq-gallery", **person)  # type: ignore[arg-type]
    enrolment.face.image.CopyFrom(image(7))
    gallery.Enrol(enrolment)
    search = gallery_pb2.SearchRequest(gallery_id="zq-gallery", probe=enrolment.face)
    candidate = gallery.Search(search).results[0].candidates[0]
    assert (candidate.subject_id, candidate.display_name) == ("zq-subject", "Zq Display"), "the names were in use"

    unknown = gallery_pb2.GetSubjectRequest(gallery_id="zq-gallery", subject_id="zq-subject-2")
    defect = gallery_pb2.SearchRequest(gallery_id="zq-gallery")
    defect.probe.image.CopyFrom(image(7, width=600))
    for refused in (
        lambda: gallery.Enrol(enrolment),
        lambda: gallery.GetSubject(unknown),
        lambda: gallery.Search(defect),
        lambda: gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="zq-gallery-2")),
        lambda: gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="zq-gallery zq-message")),
    ):
        with pytest.raises(grpc.RpcError):
            refused()
    items = [
        gallery_pb2.StreamEnrolRequest(item_id="zq-item-1", enrol=enrolment),
        gallery_pb2.StreamEnrolRequest(item_id="zq-item-2", enrol=gallery_pb2.EnrolRequest(gallery_id="zq-gallery")),
    ]
    metadata = (("tracestate", "zq-key=zq-value"), ("baggage", "zq-key=zq-value"), ("traceparent", "zq-value"))
    assert len(list(gallery.StreamEnrol(iter(items), metadata=metadata))) == 2
    gallery.DeleteSubject(gallery_pb2.DeleteSubjectRequest(gallery_id="zq-gallery", subject_id="zq-subject"))
    observed.server.stop().result(20)

    metrics = observed.telemetry.metrics
    assert metrics is not None
    told = {
        "text": "\n".join(observed.lines.text),
        "json": "\n".join(observed.lines.json),
        "metrics": str([family.samples for family in metrics.registry.collect()]),
        "spans": "\n".join(span.to_json() for span in observed.spans()),
    }
    for kind, text in told.items():
        assert "fr_api.v1.GalleryService/StreamEnrol" in text, f"{kind}: the calls were told"
        assert "INTERNAL" in text, f"{kind}: the defect was told"
        assert not [name for name in NAMES if name.lower() in text.lower()], kind
