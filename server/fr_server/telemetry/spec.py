"""Defines a metric: its name, its labels, its meaning, and how it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric.

    Attributes:
        name: follows the conventions of Prometheus: contains the unit; a counter ends in `_total`.
        meaning: a sentence for the documentation.
        buckets: inclusive upper bounds of a histogram.
        of_processes: prometheus_client's mode for merging the gauges of several processes.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    of_processes: Literal["livesum", "livemostrecent", "max"] = "livesum"


def counter(spec: Spec, registry: CollectorRegistry) -> Counter:
    """Make a counter in a registry."""
    return Counter(spec.name, spec.meaning, spec.labels, registry=registry)


def gauge(spec: Spec, registry: CollectorRegistry) -> Gauge:
    """Make a gauge in a registry."""
    return Gauge(spec.name, spec.meaning, spec.labels, registry=registry, multiprocess_mode=spec.of_processes)


def histogram(spec: Spec, registry: CollectorRegistry) -> Histogram:
    """Make a histogram in a registry."""
    return Histogram(spec.name, spec.meaning, spec.labels, registry=registry, buckets=spec.buckets)


def seen(spec: Spec) -> CounterMetricFamily | GaugeMetricFamily:
    """Make an empty metric for a value that the scraped process measures at each scrape."""
    family = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    return family(spec.name, spec.meaning, labels=spec.labels)


def specs_in(module: Mapping[str, object]) -> tuple[Spec, ...]:
    """Return the metrics that a module defines, in their order; call it with `globals()`."""
    return tuple(value for value in module.values() if isinstance(value, Spec))
