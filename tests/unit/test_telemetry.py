"""The metrics: what is counted, within which labels, and how it is served and merged; what is off is not imported."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fr_core.errors import AddressUnavailable, ConfigInvalid, StoreFailed, UnsupportedFormat
from fr_core.gallery.values import GalleryInfo, Page
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.observe import STAGES
from fr_core.types import ModelId
from fr_server.app import SERVICES
from fr_server.config import TelemetryConfig
from fr_server.telemetry.exposition import MetricsServer
from fr_server.telemetry.listener import OK
from fr_server.telemetry.metrics import SPECS, PrometheusObserver, methods_of
from fr_server.telemetry.open import open_telemetry
from fr_server.telemetry.processes import ProcessesCollector
from fr_server.telemetry.storage import GALLERIES, SUBJECTS, TEMPLATES, KeptCollector, KeptStore
from fr_server.telemetry.trust import HandshakeFailure, Parting, Refusal

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


def test_what_cannot_be_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry, broken = CollectorRegistry(), Future[None]()
    broken.set_exception(OSError())
    registry.register(KeptCollector({"training": KeptStore(tmp_path / "away" / "t.sqlite", broken)}, Unreadable()))
    samples = scraped(generate_latest(registry).decode())
    assert samples == {("fr_store_broken", frozenset({("store", "training")})): 1.0}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_galleries_are_counted_over_all_pages(tmp_path: Path) -> None:
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
    def seen() -> dict[str, float]:
        return {sample.name: sample.value for family in ProcessesCollector().collect() for sample in family.samples}

    code = (
        "import threading, time\n"
        "for _ in range(50): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "print('begun', flush=True); input()"
    )
    before = seen()  # threads of this process may come and go meanwhile, but not so many
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = seen()
        child.kill()
    assert during["fr_processes"] == before["fr_processes"] + 1
    assert during["fr_threads"] > before["fr_threads"]
    assert during["fr_resident_bytes"] > before["fr_resident_bytes"]
    assert during["fr_open_fds"] > before["fr_open_fds"]
    assert 0 < during["fr_open_fds_ratio"] < 1
    assert list(ProcessesCollector(2**22 + 1).collect()) == [], "there is no such process"


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
