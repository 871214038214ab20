"""Metrics, logs and traces: what is counted and how it is served; no line and no span holds an exception's message."""

import asyncio
import contextvars
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fr_core.errors import AddressUnavailable, ConfigInvalid, StoreFailed, UnknownSubject, UnsupportedFormat
from fr_core.gallery.values import GalleryInfo, Page
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.observe import STAGES
from fr_core.types import ModelId
from fr_server.app import SERVICES
from fr_server.config import TelemetryConfig
from fr_server.telemetry.exposition import MetricsServer
from fr_server.telemetry.listener import OK
from fr_server.telemetry.logs import FIELDS, JsonFormatter, TextFormatter, defects, log_unhandled
from fr_server.telemetry.metrics import SPECS, PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry, open_telemetry
from fr_server.telemetry.processes import ProcessesCollector
from fr_server.telemetry.storage import GALLERIES, SUBJECTS, TEMPLATES, KeptCollector, KeptStore
from fr_server.telemetry.tracing import TracingObserver
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal
from fr_training.store.schema import SCHEMA as TRAINING

DETECT = "fr_api.v1.RecognitionService/Detect"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(observer: PrometheusObserver) -> Samples:
    return scraped(generate_latest(observer.registry).decode())


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def observer() -> PrometheusObserver:
    return PrometheusObserver(methods_of(SERVICES))


def test_engine_is_counted_by_stage_and_model() -> None:
    metrics = observer()
    for stage in STAGES:
        with metrics.stage(stage):
            pass
    with pytest.raises(UnsupportedFormat), metrics.stage("decode"):
        raise UnsupportedFormat("PDF.")
    metrics.queued("embedder", 7)
    metrics.batch("embedder", [0.01, 0.02, 0.03], 0.25)
    metrics.batch("detector", [0.5], 1.0)
    metrics.dropped("detector", 4)
    metrics.analyzed(29)
    metrics.analyzed(0)
    samples = read(metrics)
    assert value(samples, "fr_stage_seconds_count", stage="decode") == 2
    assert value(samples, "fr_stage_seconds_count", stage="assess") == 1
    assert value(samples, "fr_queue_depth", model="embedder") == 7
    assert value(samples, "fr_batch_size_bucket", model="embedder", le="2.0") == 0
    assert value(samples, "fr_batch_size_bucket", model="embedder", le="4.0") == 1
    assert value(samples, "fr_queue_wait_seconds_count", model="embedder") == 3
    assert value(samples, "fr_queue_wait_seconds_sum", model="embedder") == pytest.approx(0.06)
    assert value(samples, "fr_inference_seconds_sum", model="embedder") == pytest.approx(0.25)
    assert value(samples, "fr_inference_seconds_count", model="detector") == 1
    assert value(samples, "fr_dropped_total", model="detector") == 4
    assert (value(samples, "fr_photos_total"), value(samples, "fr_faces_total")) == (2, 29)


def test_no_caller_makes_a_series() -> None:
    metrics = observer()
    for n in range(5):
        metrics.began(f"fr_api.v1.RecognitionService/Jane{n}", f"jane-{n}", "")(f"JANE_{n}", 0.1)
        metrics.began(DETECT, "r", "")(f"JANE_{n}", 0.1)
        metrics.refused(f"JANE_{n}")
    samples = read(metrics)
    assert "jane" not in str(samples).lower()
    assert value(samples, "fr_request_seconds_count", method="unknown", outcome="unknown") == 5
    assert value(samples, "fr_request_seconds_count", method=DETECT, outcome="unknown") == 5
    assert value(samples, "fr_rejects_total", reason="unknown") == 15


def test_what_is_told_is_what_is_listed_and_two_registries_are_apart() -> None:
    metrics, other = observer(), observer()
    metrics.analyzed(3)
    metrics.began(DETECT, "r", "")(OK, 1.0)
    metrics.running_on(ActiveDevice("cpu", "cpu", "null", "f32"), "none")
    metrics.registry.register(KeptCollector({}, None))
    families = {family.name for family in metrics.registry.collect() if not family.name.startswith("process_")}
    counted = {spec.name for spec in (GALLERIES, SUBJECTS, TEMPLATES)}
    assert families == {spec.name.removesuffix("_total") for spec in SPECS} - counted, "nobody counts galleries here"
    assert not [name for name, _ in read(metrics) if name.endswith("_created")]
    assert value(read(other), "fr_photos_total") == 0


def test_trust_is_counted_within_known_words() -> None:
    metrics = observer()
    trust = metrics.trust
    trust.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
    trust.connection_refused("192.0.2.1", Refusal.TOO_MANY)
    trust.connected("192.0.2.1")
    trust.connected("192.0.2.2")
    trust.disconnected("192.0.2.1", Parting.IDLE)
    for reason in ("NOT_PERMITTED", "expired", "jane"):
        trust.access_refused(reason)
    trust.checkpointed("galleries", 1_000.0)
    trust.checkpoint_agrees("galleries", False)
    trust.checkpoint_agrees("cases", True)
    trust.certificate_expires(2_000.0)
    trust.revocations_expire(3_000.0)
    trust.keys_expire(4_000.0)
    for reason in ("FILE_TAMPERED", "jane"):
        trust.reload_refused(reason)
    trust.decoder_replaced("crashed")
    samples = read(metrics)
    assert value(samples, "fr_door_handshakes_failed_total", why="old_tls") == 1
    assert value(samples, "fr_door_refused_total", why="too_many") == 1
    assert value(samples, "fr_door_ended_total", why="idle") == 1
    assert value(samples, "fr_door_connections") == 1
    assert value(samples, "fr_access_refused_total", reason="NOT_PERMITTED") == 1
    assert value(samples, "fr_access_refused_total", reason="expired") == 1
    assert value(samples, "fr_access_refused_total", reason="other") == 1
    assert value(samples, "fr_audit_checkpoint_timestamp_seconds", chain="galleries") == 1_000
    assert value(samples, "fr_audit_checkpoint_contradicted", chain="galleries") == 1
    assert value(samples, "fr_audit_checkpoint_contradicted", chain="cases") == 0
    assert value(samples, "fr_certificate_expiry_timestamp_seconds") == 2_000
    assert value(samples, "fr_crl_expiry_timestamp_seconds") == 3_000
    assert value(samples, "fr_api_key_expiry_timestamp_seconds") == 4_000
    assert value(samples, "fr_reloads_refused_total", reason="FILE_TAMPERED") == 1
    assert value(samples, "fr_reloads_refused_total", reason="other") == 1
    assert value(samples, "fr_decoders_replaced_total", why="crashed") == 1
    assert not [label for _, labels in samples for label in labels if "192.0.2" in label[1] or label[1] == "jane"]
    assert value(samples, "fr_door_handshakes_failed_total", why="no_h2") == 0, "there from the start"


class Unreadable:
    def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]:
        raise StoreFailed("The disk refuses.", errno="EIO")


def test_galleries_are_counted_where_they_can_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry, broken = CollectorRegistry(), Future[None]()
    broken.set_exception(OSError())
    registry.register(KeptCollector({"training": KeptStore(tmp_path / "away", TRAINING, broken)}, Unreadable()))
    samples = scraped(generate_latest(registry).decode())
    assert samples == {("fr_store_broken", frozenset({("store", "training")})): 1.0}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    pages = {"": Page((gallery_of(2, 5), gallery_of(1, 1)), "more"), "more": Page((gallery_of(0, 0),), "")}

    class Listed:
        def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]:
            return pages[page_token]

    registry = CollectorRegistry()
    registry.register(KeptCollector({}, Listed()))
    samples = scraped(generate_latest(registry).decode())
    assert [value(samples, name) for name in ("fr_galleries", "fr_subjects", "fr_templates")] == [3, 3, 6]
    assert "jane" not in str(samples)


def gallery_of(subjects: int, templates: int) -> GalleryInfo:
    model = ModelId("null", "0" * 16, "none")
    return GalleryInfo("jane", "Jane", model, 64, datetime(2026, 1, 1, tzinfo=UTC), subjects, templates, 1)


def test_processes_of_a_server_are_told_together() -> None:
    busy = (
        "import threading, time\n"
        "for _ in range(50): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "print('begun', flush=True); input()"
    )
    server = (
        "import subprocess, sys\n"
        "print('begun', flush=True); input()\n"
        f"subprocess.run([sys.executable, '-c', {busy!r}])\n"
    )
    pipe = subprocess.PIPE
    # A process of its own: below this one, the browser or server of another test may begin and end some meanwhile.
    with subprocess.Popen([sys.executable, "-c", server], stdin=pipe, stdout=pipe) as root:
        assert root.stdin is not None
        assert root.stdout is not None

        def seen() -> dict[str, float]:
            assert root.stdout is not None
            assert root.stdout.readline() == b"begun\n"
            families = ProcessesCollector(root.pid).collect()
            return {sample.name: sample.value for family in families for sample in family.samples}

        before = seen()
        root.stdin.write(b"\n")
        root.stdin.flush()
        during = seen()
        root.communicate(b"\n", timeout=60)
    assert (before["fr_processes"], during["fr_processes"]) == (1, 2)
    assert (before["fr_threads"], during["fr_threads"]) == (1, 1 + 51)
    assert during["fr_resident_bytes"] > before["fr_resident_bytes"]
    assert during["fr_open_fds"] > before["fr_open_fds"]
    assert 0 < during["fr_open_fds_ratio"] < 1
    assert list(ProcessesCollector(2**22 + 1).collect()) == [], "there is no such process"
    assert list(ProcessesCollector().collect()), "without a number, this process is measured"


def test_metrics_are_served_until_closed() -> None:
    metrics = observer()
    server = MetricsServer(metrics.registry, "127.0.0.1", 0)
    server.start()
    metrics.analyzed(5)
    address = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert value(scraped(answer.read().decode()), "fr_faces_total") == 5
    server.close()
    server.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)
    server.start()  # the port is free again
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])
def test_address_that_cannot_be_listened_on_is_refused(host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AddressUnavailable, match=r"telemetry\.metrics_port"):
            MetricsServer(CollectorRegistry(), host, taken.getsockname()[1]).start()


def test_nothing_is_left_open_where_a_host_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("fr_server.telemetry.open._open_tracing", opened.append)
    with pytest.raises(ConfigInvalid, match="metrics_host"):
        open_telemetry(TelemetryConfig(metrics_host="", metrics_port=9464, tracing="http://127.0.0.1:4317"), SERVICES)
    assert opened == []


def python(code: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environ}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_off_is_not_imported() -> None:
    code = """
import sys
from fr_server.config import TelemetryConfig
from fr_server.app import SERVICES
from fr_server.telemetry.open import open_telemetry
telemetry = open_telemetry(TelemetryConfig(), SERVICES)
telemetry.start()
telemetry.close()
print(*{name.split(".")[0] for name in sys.modules} & {"opentelemetry", "prometheus_client"})
"""
    assert python(code).split() == []


def test_metrics_of_several_processes_are_merged(tmp_path: Path) -> None:
    process = """
from fr_server.app import SERVICES
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
metrics = PrometheusObserver(methods_of(SERVICES))
metrics.analyzed(2)
metrics.queued("embedder", 3)
metrics.serving({serving})
metrics.trust.connected("192.0.2.1")
metrics.trust.access_refused("expired")
metrics.trust.certificate_expires(5.0)
metrics.began("{method}", "r", "")("OK", 0.1)
"""
    scrape = """
from prometheus_client import CollectorRegistry, generate_latest
from fr_server.telemetry.metrics import exposed
print(generate_latest(exposed(CollectorRegistry())).decode())
"""
    folder = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    python(process.format(serving=True, method=DETECT), **folder)
    python(process.format(serving=False, method=DETECT), **folder)
    samples = scraped(python(scrape, **folder))
    assert value(samples, "fr_faces_total") == 4
    assert value(samples, "fr_queue_depth", model="embedder") == 6
    assert value(samples, "fr_request_seconds_count", method=DETECT, outcome="OK") == 2
    assert value(samples, "fr_health") == 0, "what was told last"
    assert [name for name, _ in samples].count("fr_build_info") == 1
    assert value(samples, "fr_door_connections") == 2
    assert value(samples, "fr_access_refused_total", reason="expired") == 2
    assert value(samples, "fr_certificate_expiry_timestamp_seconds") == 5
    assert value(samples, "fr_processes") == 1
    assert any(name == "process_cpu_seconds_total" for name, _ in samples)


GARBAGE = (
    b"GET /m HTTP/1.0\r\nAccept: application/openmetrics-text;version=zzz;q=abc\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % n for n in range(150)) + b"\r\n",
    bytes(range(256)) * 8,
    b"\r\n\r\n",
)


def test_garbage_on_the_port_writes_nothing_and_stops_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    server = MetricsServer(CollectorRegistry(), "127.0.0.1", 0)
    server.start()
    for sent in GARBAGE:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=5) as answer:
        assert answer.status == 200
    server.close()
    assert capfd.readouterr() == ("", "")


formats = pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])


def logged(formatter: logging.Formatter, tell: Callable[[logging.Logger], None]) -> str:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.Formatter().format(record)  # leaves its text, message and all, in the record
            lines.append(formatter.format(record))

    logger = logging.Logger("library")
    logger.addHandler(Lines())
    tell(logger)
    (line,) = lines
    return line


def record(line: str) -> dict[str, Any]:
    assert "\n" not in line
    told = json.loads(line)
    assert isinstance(told, dict)
    return told


def raises() -> None:
    try:
        raise KeyError("Jane Roe")
    except KeyError as error:
        raise ExceptionGroup("Jane Roe", [ValueError("Jane Roe")]) from error


def test_a_line_is_text_or_one_object_of_json() -> None:
    line = logged(TextFormatter(), lambda logger: logger.warning("%d of %s", 3, "them"))
    time, level, rest = line[:23], *line[24:].split(" ", 1)
    datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f")
    assert (level, rest) == ("WARNING", "library: 3 of them")
    fields = {"method": "S/M", "outcome": "OK", "request_id": "r", "took_ms": 3.1}
    line = logged(JsonFormatter(), lambda logger: logger.info("a\n%s \ud800", "b", extra={FIELDS: fields}))
    assert line.isascii()
    told = record(line)
    at = datetime.fromisoformat(told.pop("time"))
    assert at.utcoffset() is not None
    assert abs(at.timestamp() - datetime.now().timestamp()) < 60
    assert told == {"level": "INFO", "logger": "library", "message": "a\nb \ud800", **fields}


@formats
def test_exception_is_logged_with_types_and_places_only(formatter: logging.Formatter) -> None:
    def tell(logger: logging.Logger) -> None:
        try:
            raises()
        except ExceptionGroup:
            logger.exception("It failed")

    line = logged(formatter, tell)
    assert "Jane" not in line
    for told in ("It failed", "ExceptionGroup", "KeyError", "ValueError", "test_telemetry.py:", "in raises"):
        assert told in line
    if isinstance(formatter, JsonFormatter):
        assert [defect["type"] for defect in record(line)["exceptions"]] == ["ExceptionGroup", "ValueError", "KeyError"]
    assert "failed: KeyError" in logged(formatter, lambda logger: logger.error("failed: %s", KeyError("Jane Roe")))
    named = logged(formatter, lambda logger: logger.error("failed: %(e)s", {"e": KeyError("Jane Roe")}))
    assert "failed: KeyError" in named
    own = logged(formatter, lambda logger: logger.error("failed: %s", UnknownSubject("There is none.")))
    assert "There is none." in own


def test_endless_recursions_and_circles_end() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    (defect,) = defects(caught.value)
    assert len(defect.places) == 41
    assert "in test_endless_recursions" in defect.places[0]
    assert re.fullmatch("[0-9]{3,} more", defect.places[20])
    assert all(place.endswith("in deeper") for place in defect.places[21:])
    a, b = KeyError(), ValueError()
    a.__cause__, b.__cause__ = b, a
    assert [defect.type for defect in defects(a)] == ["KeyError", "ValueError"]


def test_exception_that_nobody_awaited_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unhandled)
        future = loop.create_future()
        future.set_exception(KeyError("Jane Roe"))
        del future  # it tells when it goes
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert "KeyError" in caplog.text
    assert "Jane" not in caplog.text


def test_configured_log_is_json_on_stderr_for_libraries_and_warnings_too() -> None:
    code = """
import logging, warnings
from fr_server.telemetry.logs import configure_logging
configure_logging("json")
logging.getLogger("a.library").info("one")
logging.getLogger("a.library").debug("not told")
warnings.warn("two")
grpc = logging.getLogger("grpc._cython.cygrpc")
for raised in (type("ExecuteBatchError", (Exception,), {}), OSError):  # the first: a caller has hung up
    try:
        raise raised
    except Exception:
        grpc.exception("Invalid encoding on b'Bearer s3cret'")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    first, second, third = map(record, done.stderr.splitlines())
    assert (first["logger"], first["level"], first["message"]) == ("a.library", "INFO", "one")
    assert (second["logger"], second["level"]) == ("py.warnings", "WARNING")
    assert (third["logger"], third["level"]) == ("grpc._cython.cygrpc", "ERROR")
    assert third["message"] == "gRPC reports OSError, and 0 more of its kind that were not told"
    assert "OSError" in json.dumps(third["exceptions"])
    assert "s3cret" not in done.stderr
    assert done.stdout == ""


TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Traced:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.listener = TracingObserver(SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def call(
        self, work: Callable[[], object] = lambda: None, outcome: str = "OK", traceparent: str = ""
    ) -> ReadableSpan:
        def task() -> None:
            ended = self.listener.began(DETECT, "request-1", traceparent)
            try:
                work()
            finally:
                ended(outcome, 0.1)

        contextvars.copy_context().run(task)
        return self.spans()[-1]


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.listener.close()


@pytest.mark.parametrize(
    ("outcome", "status", "is_error"),
    [("NO_FACE", "FAILED_PRECONDITION", False), ("INTERNAL", "INTERNAL", True), ("CANCELLED", "CANCELLED", False)],
)
def test_only_failures_of_the_server_are_errors(traced: Traced, outcome: str, status: str, is_error: bool) -> None:
    span = traced.call(outcome=outcome)
    attributes = dict(span.attributes or {})
    assert (attributes["fr.outcome"], attributes["rpc.response.status_code"]) == (outcome, status)
    assert (span.status.status_code is StatusCode.ERROR) == is_error
    assert attributes.get("error.type") == (outcome if is_error else None)


def test_caller_that_does_not_sample_is_followed(traced: Traced) -> None:
    ended = contextvars.copy_context().run(traced.listener.began, DETECT, "r", f"00-{TRACE_ID}-{PARENT_ID}-00")
    ended("OK", 0.1)
    assert traced.spans() == []


@pytest.mark.parametrize("garbage", ["Jane Roe", f"00-{'0' * 32}-{PARENT_ID}-01", "00-" + "a" * 10_000])
def test_parent_that_is_none_makes_a_trace_of_its_own(traced: Traced, garbage: str) -> None:
    span = traced.call(traceparent=garbage)
    assert span.parent is None
    assert "Jane" not in span.to_json()


@pytest.mark.parametrize(
    ("error", "outcome", "is_error"),
    [(UnsupportedFormat("Jane Roe's photo."), "UNSUPPORTED_FORMAT", False), (KeyError("Jane Roe"), "KeyError", True)],
)
def test_step_that_raises_tells_no_message(traced: Traced, error: Exception, outcome: str, is_error: bool) -> None:
    def step() -> None:
        with pytest.raises(type(error)), traced.listener.stage("decode"):
            raise error

    traced.call(step, "INTERNAL")
    child = traced.spans()[0]
    assert dict(child.attributes or {}).get("fr.outcome") == outcome
    assert (child.status.status_code is StatusCode.ERROR) == is_error
    assert "Jane" not in "".join(span.to_json() for span in traced.spans())


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.names += [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def receiving() -> Iterator[tuple[Receiver, str]]:
    server, receiver = grpc.server(ThreadPoolExecutor(2)), Receiver()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield receiver, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def opened(endpoint: str) -> Telemetry:
    return open_telemetry(TelemetryConfig(tracing=endpoint), SERVICES)


def one_call(telemetry: Telemetry) -> None:
    contextvars.copy_context().run(telemetry.listener.began, DETECT, "r", "")("OK", 0.1)


def test_spans_reach_a_receiver_and_wait_for_none() -> None:
    with receiving() as (receiver, endpoint):
        telemetry = opened(endpoint)
        one_call(telemetry)
        telemetry.close()
        telemetry.close()
        assert receiver.names == [DETECT]
    telemetry = opened("http://127.0.0.1:1")
    one_call(telemetry)
    started = time.monotonic()
    telemetry.close()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "endpoint",
    ["localhost:4317", "4317", "ftp://127.0.0.1:4317", "http://", "http://127.0.0.1:4318/v1/traces", "http://h:99999"],
)
def test_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigInvalid, match="OTLP over gRPC"):
        opened(endpoint)


def test_tracing_without_its_packages_says_what_to_install() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from fr_core.errors import ConfigInvalid
from fr_server.config import TelemetryConfig
from fr_server.telemetry.open import open_telemetry
try:
    open_telemetry(TelemetryConfig(tracing="http://127.0.0.1:4317"), ())
except ConfigInvalid as error:
    print(error.message)
"""
    assert "pip install '.[tracing]'" in python(code)
