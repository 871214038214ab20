"""Measures the stores at each scrape: disk space, file sizes and contents."""

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fr_core.errors import FrError, StoreCorrupt, message
from fr_core.gallery.values import GalleryInfo, Page
from fr_core.storage.connection import reading_outside
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

    database: Path
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
                disk = os.statvfs(store.database.parent)
                free.add_metric([name], disk.f_bavail * disk.f_frsize)
                size.add_metric([name], disk.f_blocks * disk.f_frsize)
                files.add_metric([name, "database"], store.database.stat().st_size)
                files.add_metric([name, "log"], _size(store.database.with_name(store.database.name + "-wal")))
                last, oldest_s = _records(store.database)
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


def _records(database: Path) -> tuple[int, float | None]:
    """Return the number of the last record in the audit of a store, and the time of the oldest one.

    Other processes may use the store. The values are not verified: `VerifyAudit` does that. The time is in seconds
    since 1970, UTC; None if there is no record. Raises `StoreFailed` or `StoreCorrupt` if the store is unreadable.
    """
    with reading_outside(database) as connection:
        (oldest,) = connection.execute(
            "SELECT (SELECT json_extract(CAST(body AS TEXT), '$.at_ms') FROM audit WHERE seq > 0 ORDER BY seq LIMIT 1)"
        )
        at_s = oldest[0] / 1000 if isinstance(oldest[0], int) else None
        for (seq,) in connection.execute("SELECT seq FROM audit_head"):
            return int(seq), at_s
    raise StoreCorrupt(message("error.server.audit_does_not_state"), check="audit_head")


def _size(file: Path) -> int:
    """Return the bytes of a file; 0 if it does not exist, like the log of a database that is not open."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


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
