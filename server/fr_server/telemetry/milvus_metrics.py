"""Defines and measures the metrics of a Milvus server that searches; used with `gallery.index = "milvus"` only."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fr_core.gallery.index.protocol import RemoteState
from fr_server.telemetry.spec import Spec, seen, specs_in

MILVUS_UP = Spec("fr_milvus_up", "gauge", "0 if the last work or search in Milvus failed for any gallery, otherwise 1.")
MILVUS_INCOMPLETE = Spec(
    "fr_milvus_incomplete_galleries",
    "gauge",
    "Galleries that are being compared with Milvus or written to it, and cannot be searched there yet.",
)
MILVUS_PENDING = Spec(
    "fr_milvus_pending_vectors", "gauge", "Vectors that wait in memory until they are written to Milvus."
)
MILVUS_DOOMED = Spec("fr_milvus_pending_deletions", "gauge", "Deleted vectors that Milvus may still have to delete.")
MILVUS_CLEAN = Spec(
    "fr_milvus_clean",
    "gauge",
    "1 if Milvus says that it has compacted away all that was deleted, otherwise 0. Of several servers, only the one "
    "that writes to Milvus can know; the others say 1.",
)

MILVUS_SPECS = specs_in(globals())


class MilvusCollector(Collector):
    """Yields at each scrape what `state` returns; contacts no other machine."""

    def __init__(self, state: Callable[[], RemoteState | None]) -> None:
        self._state = state

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values."""
        for spec in MILVUS_SPECS:
            yield seen(spec)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        state = self._state()
        if state is None:
            return
        values = (
            int(state.answers),
            state.incomplete,
            state.pending_vectors,
            state.pending_deletions,
            int(state.clean),
        )
        for spec, value in zip(MILVUS_SPECS, values, strict=True):
            family = seen(spec)
            family.add_metric([], value)
            yield family
