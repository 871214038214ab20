"""What a running server tells of real calls, and that none of it names anybody."""

from __future__ import annotations

import json
import logging
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client import Client, EmbeddingBatch, EmbeddingSubject
from fr_core.detect.null import NullDetector
from fr_core.errors import ShuttingDown
from fr_core.runtime.observe import STAGES
from fr_core.types import U8, Detection
from fr_server.app import SERVICES
from fr_server.telemetry.exposition import MetricsServer
from fr_server.telemetry.logs import JsonFormatter, TextFormatter
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry, together
from fr_server.telemetry.tracing import TracingObserver
from support.servers import Running, photo, running

DETECT = "fr_api.v1.RecognitionService/Detect"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# Everything by which a caller could name somebody.
NAMES = ("zq-gallery", "Zq Display", "zq-subject", "zq-key", "zq-value", "zq-item", "zq-message")


class Lines(logging.Handler):
    """Keeps what each format makes of every record."""

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


class DefectiveDetector(NullDetector):
    """Has a defect on photos that are wide, whose message tells what it should not."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        if pixels.shape[1] > 500:
            raise KeyError("zq-message")
        return super().detect(pixels)


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
    assert observed.value("fr_request_seconds_count", method=DETECT, outcome="OK") == 1
    assert observed.value("fr_request_seconds_count", method=DETECT, outcome="UNDECODABLE") == 1
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
    metadata = (
        ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"),
        ("tracestate", "jane=doe"),
        ("x-request-id", "jane-doe"),
    )
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
    assert (line["method"], line["outcome"], line["request_id"]) == (DETECT, "OK", request_id)
    assert line["took_ms"] > 0
    (text,) = (line for line in observed.lines.text if "fr_server.calls" in line)
    assert re.search(rf" INFO fr_server\.calls: /{DETECT} OK {request_id} [0-9]+\.[0-9] ms$", text)


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
