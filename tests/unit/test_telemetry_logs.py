"""Logs and traces: what a line and a span hold, and in none the message of an exception."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from fr_core.errors import ConfigInvalid, UnknownSubject, UnsupportedFormat
from fr_server.app import SERVICES
from fr_server.config import TelemetryConfig
from fr_server.telemetry.logs import FIELDS, JsonFormatter, TextFormatter, defects, log_unhandled
from fr_server.telemetry.open import Telemetry, open_telemetry
from fr_server.telemetry.tracing import TracingObserver

formats = pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])


def logged(formatter: logging.Formatter, tell: Callable[[logging.Logger], None]) -> str:
    """Return what a logger of a library writes."""
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


def test_text_is_what_it_was() -> None:
    line = logged(TextFormatter(), lambda logger: logger.warning("%d of %s", 3, "them"))
    time, level, rest = line[:23], *line[24:].split(" ", 1)
    datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f")
    assert (level, rest) == ("WARNING", "library: 3 of them")


def test_json_is_one_object_with_its_fields() -> None:
    fields = {"method": "S/M", "outcome": "OK", "request_id": "r", "took_ms": 3.1}
    line = logged(JsonFormatter(), lambda logger: logger.info("a\n%s \ud800", "b", extra={FIELDS: fields}))
    assert line.isascii()
    told = record(line)
    time = datetime.fromisoformat(told.pop("time"))
    assert time.utcoffset() is not None
    assert abs(time.timestamp() - datetime.now().timestamp()) < 60
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
    for told in ("It failed", "ExceptionGroup", "KeyError", "ValueError", "test_telemetry_logs.py:", "in raises"):
        assert told in line
    if isinstance(formatter, JsonFormatter):
        assert [defect["type"] for defect in record(line)["exceptions"]] == ["ExceptionGroup", "ValueError", "KeyError"]


@formats
def test_exception_as_an_argument_is_its_type(formatter: logging.Formatter) -> None:
    assert "failed: KeyError" in logged(formatter, lambda logger: logger.error("failed: %s", KeyError("Jane Roe")))
    named = logged(formatter, lambda logger: logger.error("failed: %(e)s", {"e": KeyError("Jane Roe")}))
    assert "failed: KeyError" in named
    own = logged(formatter, lambda logger: logger.error("failed: %s", UnknownSubject("There is none.")))
    assert "There is none." in own


def test_an_endless_recursion_is_told_by_its_two_ends() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    (defect,) = defects(caught.value)
    assert len(defect.places) == 41
    assert "in test_an_endless" in defect.places[0]
    assert re.fullmatch("[0-9]{3,} more", defect.places[20])
    assert all(place.endswith("in deeper") for place in defect.places[21:])


def test_circle_of_exceptions_ends() -> None:
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


DETECT = "fr_api.v1.RecognitionService/Detect"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Traced:
    """A listener, and the spans that it has ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.listener = TracingObserver(SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def call(
        self, work: Callable[[], object] = lambda: None, outcome: str = "OK", traceparent: str = ""
    ) -> ReadableSpan:
        """Run a call in a context of its own, as the server does, and return its span."""

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


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


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
    assert parent_id(span) is None
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
    """Keeps the spans that it is sent."""

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


def test_spans_reach_a_receiver_before_the_end() -> None:
    with receiving() as (receiver, endpoint):
        telemetry = opened(endpoint)
        one_call(telemetry)
        telemetry.close()
        telemetry.close()
        assert receiver.names == [DETECT]


def test_receiver_that_is_away_holds_nobody_up_for_long() -> None:
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "pip install '.[tracing]'" in done.stdout
