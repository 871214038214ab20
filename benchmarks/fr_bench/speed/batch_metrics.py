"""Reads the sizes of batches from the metrics of a server."""

import math
import re
import urllib.error
import urllib.request
from collections.abc import Mapping

from fr_bench.speed import values
from fr_bench.speed.child import BenchFailed
from fr_locales.messages import message

METRIC = "fr_batch_size"

_BUCKET = re.compile(rf"^{METRIC}_bucket\{{(?P<labels>[^}}]*)\}}\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')

# (model, upper bound of a bucket) -> batches up to that size, since the server began.
Cumulative = Mapping[tuple[str, float], float]


def read_metrics(url: str) -> Cumulative:
    """Fetch the buckets of the batch sizes, none before the first batch; raises `BenchFailed` where nothing answers."""
    if not url.startswith(("http://", "https://")):
        raise BenchFailed(message("error.bench.metrics_url_takes_address", url=url))
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return buckets(answer.read().decode())
    except (OSError, urllib.error.URLError, UnicodeDecodeError) as error:
        raise BenchFailed(message("error.bench.no_metrics_could_read", url=url, error=str(error))) from error


def buckets(text: str) -> Cumulative:
    """The buckets in a page of metrics."""
    found: dict[tuple[str, float], float] = {}
    for line in text.splitlines():
        match = _BUCKET.match(line)
        if match:
            labels = dict(_LABEL.findall(match["labels"]))
            found[labels.get("model", ""), float(labels["le"])] = float(match["value"])
    return found


def batches_between(before: Cumulative, after: Cumulative) -> tuple[values.Batches, ...]:
    """The batches that ran between two readings, by model and bucket, up to the largest bucket that has any."""
    found = []
    for model in sorted({model for model, _ in after}):
        counts: list[tuple[float | None, int]] = []
        below = 0.0
        for bound in sorted(bound for name, bound in after if name == model):
            total = after[model, bound] - before.get((model, bound), 0.0)
            counts.append((None if math.isinf(bound) else bound, round(total - below)))
            below = total
        while counts and not counts[-1][1]:  # the buckets reach far beyond any batch
            counts.pop()
        found.append(values.Batches(model, tuple(counts)))
    return tuple(found)
