"""Defines and measures the metric of galleries that GPUs search in int8 first: `gallery.index = "int8"`."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fr_server.telemetry.spec import Spec, seen

INT8_DOUBTED = Spec(
    "fr_int8_doubted_searches_total",
    "counter",
    "Searches (one probe in one block of vectors) that left too many candidates, so that half precision compared the "
    "whole block.",
)


class Int8Collector(Collector):
    """Yields at each scrape what `doubted` returns."""

    def __init__(self, doubted: Callable[[], int]) -> None:
        self._doubted = doubted

    def describe(self) -> Iterator[Metric]:
        """Yield the metric without a value."""
        yield seen(INT8_DOUBTED)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metric."""
        family = seen(INT8_DOUBTED)
        family.add_metric([], self._doubted())
        yield family
