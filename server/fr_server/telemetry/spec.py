"""Defines a metric: its name, its labels, its meaning, and how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric.

    Attributes:
        name: by the conventions of Prometheus: the unit in the name, counters end in `_total`.
        kind: counter, gauge or histogram.
        meaning: one sentence for people.
        labels: names of its labels.
        buckets: upper bounds, inclusive, of a histogram.
        of_processes: how the gauges of several processes become one, in prometheus_client's words.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    of_processes: Literal["livesum", "livemostrecent", "max"] = "livesum"


def counter(spec: Spec, registry: CollectorRegistry) -> Counter:
    """Make a counter of a registry."""
    return Counter(spec.name, spec.meaning, spec.labels, registry=registry)


def gauge(spec: Spec, registry: CollectorRegistry) -> Gauge:
    """Make a gauge of a registry."""
    return Gauge(spec.name, spec.meaning, spec.labels, registry=registry, multiprocess_mode=spec.of_processes)


def histogram(spec: Spec, registry: CollectorRegistry) -> Histogram:
    """Make a histogram of a registry."""
    return Histogram(spec.name, spec.meaning, spec.labels, registry=registry, buckets=spec.buckets)


def seen(spec: Spec) -> CounterMetricFamily | GaugeMetricFamily:
    """Make an empty metric for what is looked up at each scrape, by the one process that is scraped."""
    family = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    return family(spec.name, spec.meaning, labels=spec.labels)
