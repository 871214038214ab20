"""Measures the stores at each scrape: disk space, file sizes and contents."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fr_core.errors import FrError
from fr_core.gallery.values import GalleryInfo, Page
from fr_core.storage.location import Location
from fr_core.storage.outside import audit_extent, disk_bytes, size_bytes
from fr_core.storage.schema import Schema
from fr_server.telemetry.logs import describe
from fr_server.telemetry.spec import Spec, seen, specs_in

log = logging.getLogger("fr_server.metrics")

# The largest page that `list` returns.
_PAGE = 1_000

DISK_FREE = Spec(
    "fr_disk_free_bytes",
    "gauge",
    "Free space for the server on the disk of a store; absent while the store is unreadable.",
    ("store",),
)
DISK_SIZE = Spec("fr_disk_size_bytes", "gauge", "Size of the disk of a store.", ("store",))
STORE_BYTES = Spec(
    "fr_store_bytes",
    "gauge",
    "Size of a store's database and of its log of changes (WAL), which each database checkpoint shortens.",
    ("store", "part"),
)
STORE_BROKEN = Spec(
    "fr_store_broken",
    "gauge",
    "1 if a store takes no more changes and the server is about to stop, otherwise 0.",
    ("store",),
)
AUDIT_RECORDS = Spec(
    "fr_audit_records_total",
    "counter",
    "Records in the chains of the audit, including earlier runs; absent while the store is unreadable.",
    ("chain",),
)
AUDIT_OLDEST = Spec(
    "fr_audit_oldest_timestamp_seconds",
    "gauge",
    "Time of the oldest record in a chain of the audit, in seconds since 1970; absent if there is none.",
    ("chain",),
)
GALLERIES = Spec("fr_galleries", "gauge", "Galleries; absent while they are unreadable.")
SUBJECTS = Spec("fr_subjects", "gauge", "Subjects in all galleries.")
TEMPLATES = Spec("fr_templates", "gauge", "Templates in all galleries.")

KEPT_SPECS = specs_in(globals())


class Lists(Protocol):
    """The galleries' methods that the metrics use."""

    def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]:
        """As `Galleries.list`."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptStore:
    """A store to watch; `broken` completes when it takes no more changes, as `Galleries.broken`."""

    location: Location
    schema: Schema
    broken: Future[None] | None = None


class KeptCollector(Collector):
    """Measures stores, by the server's names for them. Gives totals only, without gallery ids as labels."""

    def __init__(self, stores: Mapping[str, KeptStore], galleries: Lists | None = None) -> None:
        self._stores = dict(stores)
        self._galleries = galleries

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, so that registering the collector measures nothing."""
        for spec in KEPT_SPECS:
            yield seen(spec)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics. Leaves out unreadable ones and logs the reason."""
        specs = (DISK_FREE, DISK_SIZE, STORE_BYTES, STORE_BROKEN, AUDIT_RECORDS, AUDIT_OLDEST)
        free, size, files, broken, records, oldest = map(seen, specs)
        for name, store in self._stores.items():
            try:
                if (disk := disk_bytes(store.location)) is not None:
                    free.add_metric([name], disk[0])
                    size.add_metric([name], disk[1])
                for part, part_bytes in zip(("database", "log"), size_bytes(store.location, store.schema), strict=True):
                    files.add_metric([name, part], part_bytes)
                last, oldest_s = audit_extent(store.location, store.schema)
                records.add_metric([name], last)
                if oldest_s is not None:
                    oldest.add_metric([name], oldest_s)
            except (OSError, FrError) as error:
                log.warning("A store cannot be read: %s", describe(error))
            if store.broken is not None:
                broken.add_metric([name], int(store.broken.done()))
        yield from (free, size, files, broken, records, oldest)
        if self._galleries is not None:
            yield from _counted(self._galleries)


def _counted(galleries: Lists) -> Iterator[Metric]:
    number, subjects, templates, token = 0, 0, 0, ""
    try:
        while number == 0 or token:
            page = galleries.list(_PAGE, token)
            number += len(page.items)
            subjects += sum(info.subject_count for info in page.items)
            templates += sum(info.template_count for info in page.items)
            token = page.next_page_token
            if not page.items:
                break
    except FrError as error:
        log.warning("The galleries cannot be counted: %s", error.reason)
        return
    for spec, value in ((GALLERIES, number), (SUBJECTS, subjects), (TEMPLATES, templates)):
        family = seen(spec)
        family.add_metric([], value)
        yield family
