"""Traces: spans of calls and steps, their parents across threads, what they hold, and a receiver that is not there."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from fr_core.errors import ConfigInvalid, UnsupportedFormat
from fr_server.app import SERVICES
from fr_server.config import TelemetryConfig
from fr_server.telemetry.open import Telemetry, open_telemetry
from fr_server.telemetry.tracing import TracingObserver

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
def test_step_that_raises_tells_what_but_not_its_message(
    traced: Traced, error: Exception, outcome: str, is_error: bool
) -> None:
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
