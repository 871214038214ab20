"""Defines and counts the metrics for Prometheus; `make docs` generates docs/metrics.md from them."""

import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import get_args

from google.protobuf import descriptor_pool
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from fr_core import __version__
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.observe import MODELS, STAGES, ModelRole, Stage
from fr_server.errors import STATUS
from fr_server.telemetry.listener import CANCELLED, CHORES, OK, Chore, Ended, FrontendEnd, Listener
from fr_server.telemetry.processes import PROCESS_SPECS, ProcessesCollector
from fr_server.telemetry.spec import Spec as Spec
from fr_server.telemetry.spec import counter, gauge, histogram, specs_in
from fr_server.telemetry.storage import KEPT_SPECS
from fr_server.telemetry.trust_metrics import TRUST_SPECS, PrometheusTrust

UNKNOWN = "unknown"  # the label for unknown methods, outcomes and reasons, so that no caller can create a series

# prometheus_client reads this variable once, at import.
MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

# 1, 2, 5 for each power of ten: close enough for Prometheus to interpolate a quantile between two bounds.
_CALL_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
_STEP_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


REQUEST_SECONDS = Spec(
    "fr_request_seconds",
    "histogram",
    "Duration of calls, from the request's arrival to the answer. A stream is one call. Excludes health and "
    "reflection.",
    ("method", "outcome"),
    _CALL_BUCKETS_S,
)
REQUESTS_IN_FLIGHT = Spec("fr_requests_in_flight", "gauge", "Calls in progress.")
REJECTS = Spec(
    "fr_rejects_total", "counter", "Calls and stream items that were refused or failed, by reason.", ("reason",)
)
STAGE_SECONDS = Spec(
    "fr_stage_seconds",
    "histogram",
    "Duration of a step in processing one photo. detect and embed include the wait for a batch.",
    ("stage",),
    _STEP_BUCKETS_S,
)
QUEUE_WAIT_SECONDS = Spec(
    "fr_queue_wait_seconds",
    "histogram",
    "Time that an item (a tile for the detector, a face for the embedder) waited for its batch.",
    ("model",),
    _STEP_BUCKETS_S,
)
BATCH_SIZE = Spec("fr_batch_size", "histogram", "Items per batch.", ("model",), _BATCH_BUCKETS)
INFERENCE_SECONDS = Spec(
    "fr_inference_seconds", "histogram", "Time that the model took for a batch.", ("model",), _STEP_BUCKETS_S
)
QUEUE_DEPTH = Spec("fr_queue_depth", "gauge", "Items waiting for a batch.", ("model",))
DROPPED = Spec(
    "fr_dropped_total",
    "counter",
    "Items dropped before the model ran, because their call was cancelled or its deadline passed.",
    ("model",),
)
FAILED_BATCHES = Spec(
    "fr_failed_batches_total",
    "counter",
    "Failed batches, whose items the server then ran one by one. More than a few suggest that the device lacks memory.",
    ("model",),
)
PHOTOS = Spec("fr_photos_total", "counter", "Photos analysed.")
FACES = Spec("fr_faces_total", "counter", "Faces found in photos.")
DEVICE_INFO = Spec(
    "fr_device_info",
    "gauge",
    "Always 1. Its labels name the requested and the active device, the runtime, the precision and the pack.",
    ("requested", "active", "runtime", "precision", "pack"),
    of_processes="max",
)
BUILD_INFO = Spec("fr_build_info", "gauge", "Always 1. Its label names the version.", ("version",), of_processes="max")
HEALTH = Spec(
    "fr_health",
    "gauge",
    "1 while health is SERVING; 0 while the server starts or stops, or after it has lost its device.",
    of_processes="livemostrecent",
)

CHORE_FAILURES = Spec(
    "fr_chore_failures_total",
    "counter",
    "Failed runs of a chore. Until a run succeeds, expired data stay, or the server writes no checkpoint.",
    ("chore",),
)

FRONTENDS_REPLACED = Spec(
    "fr_frontends_replaced_total",
    "counter",
    "Front-end processes that the server replaced, because they ended unexpectedly or did not answer.",
    ("why",),
)
FRONTEND_ENDS: tuple[FrontendEnd, ...] = get_args(FrontendEnd)

SPECS = (*specs_in(globals()), *PROCESS_SPECS, *KEPT_SPECS, *TRUST_SPECS)

REASONS = frozenset(error.reason for error in STATUS)


def methods_of(services: Iterable[str]) -> frozenset[str]:
    """Return the full names of the methods of services, such as `fr_api.v1.RecognitionService/Detect`."""
    pool = descriptor_pool.Default()
    return frozenset(
        f"{service}/{method.name}" for service in services for method in pool.FindServiceByName(service).methods
    )


class PrometheusObserver(Listener):
    """Counts events in its own registry; a process may have several. `trust` counts those of gateway, access and audit.

    `methods` are full names of the known methods; it counts any other as `unknown`.
    """

    def __init__(self, methods: Collection[str]) -> None:
        self.registry = _Registry()
        self._methods = frozenset(methods)
        self._request_seconds = histogram(REQUEST_SECONDS, self.registry)
        self._in_flight = gauge(REQUESTS_IN_FLIGHT, self.registry)
        rejects = counter(REJECTS, self.registry)
        self._rejects = {reason: rejects.labels(reason) for reason in sorted((*REASONS, UNKNOWN))}
        stages = histogram(STAGE_SECONDS, self.registry)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        waits = histogram(QUEUE_WAIT_SECONDS, self.registry)
        sizes = histogram(BATCH_SIZE, self.registry)
        runs = histogram(INFERENCE_SECONDS, self.registry)
        depths = gauge(QUEUE_DEPTH, self.registry)
        drops = counter(DROPPED, self.registry)
        failures = counter(FAILED_BATCHES, self.registry)
        self._models = {
            model: _OfModel(
                wait=waits.labels(model),
                size=sizes.labels(model),
                run=runs.labels(model),
                depth=depths.labels(model),
                drops=drops.labels(model),
                failures=failures.labels(model),
            )
            for model in MODELS
        }
        self._photos = counter(PHOTOS, self.registry)
        self._faces = counter(FACES, self.registry)
        self._device = gauge(DEVICE_INFO, self.registry)
        self._health = gauge(HEALTH, self.registry)
        chores = counter(CHORE_FAILURES, self.registry)
        self._chores = {chore: chores.labels(chore) for chore in CHORES}
        ends = counter(FRONTENDS_REPLACED, self.registry)
        self._frontend_ends = {why: ends.labels(why) for why in FRONTEND_ENDS}
        gauge(BUILD_INFO, self.registry).labels(__version__).set(1)
        self.trust = PrometheusTrust(self.registry)
        _of_processes(self.registry)

    @contextmanager
    def _timed(self, histogram: Histogram) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            histogram.observe(time.perf_counter() - started)

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        return self._timed(self._stages[name])

    def analyzed(self, faces: int) -> None:
        self._photos.inc()
        self._faces.inc(faces)

    def queued(self, model: ModelRole, items: int) -> None:
        self._models[model].depth.set(items)

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        of_model = self._models[model]
        of_model.size.observe(len(waits_s))
        of_model.run.observe(run_s)
        for wait_s in waits_s:
            of_model.wait.observe(wait_s)

    def failed(self, model: ModelRole, items: int) -> None:
        self._models[model].failures.inc()

    def dropped(self, model: ModelRole, items: int) -> None:
        self._models[model].drops.inc(items)

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        self._in_flight.inc()
        known = method if method in self._methods else UNKNOWN

        def ended(outcome: str, took_s: float) -> None:
            self._in_flight.dec()
            if outcome not in (OK, CANCELLED):
                self.refused(outcome)
            bounded = outcome if outcome in (OK, CANCELLED) or outcome in REASONS else UNKNOWN
            self._request_seconds.labels(known, bounded).observe(took_s)

        return ended

    def refused(self, reason: str) -> None:
        self._rejects[reason if reason in REASONS else UNKNOWN].inc()

    def running_on(self, device: ActiveDevice, pack: str) -> None:
        """Record the device that runs the models."""
        self._device.labels(device.requested, device.active, device.runtime, device.precision, pack).set(1)

    def serving(self, healthy: bool) -> None:
        """Record the health status."""
        self._health.set(int(healthy))

    def chore_failed(self, chore: Chore) -> None:
        """Count a failed chore."""
        self._chores[chore].inc()

    def frontend_replaced(self, why: FrontendEnd) -> None:
        """Count a replaced front-end process."""
        self._frontend_ends[why].inc()


def exposed(registry: CollectorRegistry) -> CollectorRegistry:
    """Return the registry to scrape: the given one, or a merged one if several processes share a folder.

    $PROMETHEUS_MULTIPROC_DIR names that folder; set it before prometheus_client is imported. The metrics `process_*`
    then describe the scraped process.
    """
    if MULTIPROCESS_FOLDER not in os.environ:
        return registry
    merged = _Registry()
    MultiProcessCollector(merged)  # type: ignore[no-untyped-call]  # the library has no types here
    _of_processes(merged)
    return merged


def _of_processes(registry: CollectorRegistry) -> None:
    ProcessCollector(registry=registry)
    registry.register(ProcessesCollector())


def forget_process(pid: int) -> None:
    """Remove the gauges of an ended process from the merged registry; its counts stay."""
    if MULTIPROCESS_FOLDER in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # as above


class _Registry(CollectorRegistry):
    """Leaves out the start time of each series, which nothing uses and which would double the number of series."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


@dataclass(frozen=True, slots=True)
class _OfModel:
    wait: Histogram
    size: Histogram
    run: Histogram
    depth: Gauge
    drops: Counter
    failures: Counter
