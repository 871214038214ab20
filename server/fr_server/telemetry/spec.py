"""Defines a metric: its name, its labels, its meaning, and how it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric."""

    name: str  # follows the conventions of Prometheus: contains the unit; a counter ends in `_total`
    kind: Kind
    meaning: str  # a sentence for the documentation
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # inclusive upper bounds of a histogram
    # The mode of prometheus_client for merging the gauges of several processes.
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
