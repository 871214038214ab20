"""`fr bench gallery`: a gallery filled through a server, durably; then the server's start with all of it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc, server_pb2
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.conditions import conditions
from fr_bench.speed.page import Page, machine_text
from fr_bench.speed.requests import connected, enrol_all
from fr_bench.speed.search_gallery import plant
from fr_bench.speed.server_process import free_port, resident_mib, started_server
from fr_bench.speed.values import Conditions, Held
from fr_bench.values import Bar
from fr_locales.messages import message

# Of a million templates, or more, on two cores.
_BARS_FROM = 1_000_000
_BARS = {"enrol_per_s": Bar(5000.0, at_least=True), "start_s": Bar(30.0, at_least=False)}


def life_page(report: LifeReport, *, decides: bool = False) -> Page:
    """Return the figures beside their bars, which may decide the exit status."""
    title = f"fr bench gallery: {report.n:,} embeddings of {report.dimension} values"
    lines, rows = machine_text(report.machine), [("figure", "value"), *_rows(report)]
    return Page(f"gallery-{report.n}", title, lines, [rows], _held(report, decides), asdict(report))


def _rows(report: LifeReport) -> list[tuple[str, str]]:
    return [
        ("enrolled, durable, a second", f"{report.enrol_per_s:,.0f}"),
        ("for all of them", f"{report.enrol_s:.1f} s"),
        (
            "start: from NOT_SERVING to SERVING",
            "too short to be seen" if report.start_s is None else f"{report.start_s:.1f} s",
        ),
        ("start: from the process to the ready file", f"{report.whole_start_s:.1f} s"),
        ("answers NOT_SERVING before SERVING", str(report.not_serving)),
        ("memory of the server", f"{report.resident_mib:,.0f} MiB"),
        ("data folder", f"{report.disk_mib:,.0f} MiB"),
    ]


def _held(report: LifeReport, decides: bool) -> list[Held]:
    if report.n < _BARS_FROM:
        return []
    values = {"enrol_per_s": report.enrol_per_s, "start_s": report.start_s}
    return [Held(name, value, _BARS[name], decides) for name, value in values.items() if value is not None]


_GALLERY = "bench"
_LOOK_S = 0.05
# The server has said that it is ready, so that its health says so by then.
_SEEN_S = 5.0
_TELL_EVERY_S = 10.0

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LifeReport:
    """The figures of a gallery's life; each embedding was acknowledged after it was durable."""

    enrol_per_s: float
    enrol_s: float
    # From the first answer, NOT_SERVING, to SERVING, all templates decrypted and indexed; None = too short to see.
    start_s: float | None
    whole_start_s: float  # from the start of the process, with Python and the models
    not_serving: int  # answers of the health service before the first SERVING
    resident_mib: float
    disk_mib: float
    n: int
    dimension: int
    machine: Conditions
    command: str = "gallery"


def bench_gallery(n: int, seed: int, on_step: OnStep) -> LifeReport:
    """Fill a gallery with random embeddings, and start the server anew; `on_step` is told what has been done.

    Raises `BenchFailed` where the server does not start, or refuses an embedding.
    """
    before = conditions()
    with tempfile.TemporaryDirectory(prefix="fr-bench-gallery-") as folder:
        data = Path(folder) / "data"
        options = ("--data", str(data), "--port", str(free_port()))
        with started_server(options) as server, connected(server.address) as (channel, info):
            dimension = info.model.embedding_size
            enrol_s = _fill(channel, info, n, seed, on_step)
        on_step(f"{n} embeddings enrolled in {enrol_s:.1f} s")
        begun = time.monotonic()
        with _watched(options[-1]) as seen, started_server(options) as server:
            whole_start_s = time.monotonic() - begun
            _require_all(server.address, n)
            memory = resident_mib(server.pid)
            statuses = _until_serving(seen)
        disk = sum(path.stat().st_size for path in data.rglob("*")) / 2**20
    waits = [moment for moment, status in statuses if status == "NOT_SERVING"]
    served = [moment for moment, status in statuses if status == "SERVING"]
    start_s = served[0] - waits[0] if waits and served else None
    on_step(f"started in {whole_start_s:.1f} s")
    return LifeReport(n / enrol_s, enrol_s, start_s, whole_start_s, len(waits), memory, disk, n, dimension, before)


def _until_serving(seen: Callable[[], list[tuple[float, str]]]) -> list[tuple[float, str]]:
    """Return the answers of the health service; the last look may have been just before the first SERVING."""
    until = time.monotonic() + _SEEN_S
    while time.monotonic() < until:
        statuses = seen()
        if any(status == "SERVING" for _, status in statuses):
            return statuses
        time.sleep(_LOOK_S)
    raise BenchFailed(message("error.bench.server_ready_health_service"))


def _fill(channel: grpc.Channel, info: server_pb2.GetServerInfoResponse, n: int, seed: int, on_step: OnStep) -> float:
    """Enrol n random embeddings, one for each subject; return the seconds."""
    stub = gallery_pb2_grpc.GalleryServiceStub(channel)
    stub.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=_GALLERY))
    gallery = plant(np.empty((0, info.model.embedding_size), np.float32), n, seed)
    begun = told = time.monotonic()
    for stored in enrol_all(channel, _GALLERY, info.model.id, gallery.loads()):
        if time.monotonic() - told > _TELL_EVERY_S:
            told = time.monotonic()
            on_step(f"{stored} of {n} enrolled, {stored / (told - begun):.0f} a second")
    return time.monotonic() - begun


def _require_all(address: str, n: int) -> None:
    with connected(address) as (channel, _):
        stub = gallery_pb2_grpc.GalleryServiceStub(channel)
        held = stub.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id=_GALLERY)).gallery.template_count
    if held != n:
        raise BenchFailed(message("error.bench.server_holds_templates_after", held=held, n=n))


@contextmanager
def _watched(port: str) -> Iterator[Callable[[], list[tuple[float, str]]]]:
    """Ask a port for its health, again and again, while the block lasts; yields what gives the answers so far."""
    seen: list[tuple[float, str]] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_S):
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:  # anew: an old one would wait ever longer
                try:
                    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                except grpc.RpcError:
                    continue
            seen.append((time.monotonic(), health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)))

    thread = threading.Thread(target=look, name="watch-start")
    thread.start()
    try:
        yield lambda: list(seen)
    finally:
        done.set()
        thread.join()
