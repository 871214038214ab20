"""Runs periodic jobs beside the calls of a server, and what they report; a failed job runs again."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from fr_core.gallery.galleries import Galleries
from fr_core.storage.members import Members
from fr_server.config import Config
from fr_server.config.folders import postgres_of
from fr_server.storage.calls import GalleryCalls
from fr_server.storage.places import places_of
from fr_server.telemetry.listener import Chore
from fr_server.telemetry.logs import FIELDS, describe
from fr_server.telemetry.open import Telemetry
from fr_server.telemetry.trust import Trust
from fr_trust.access.changes import MAX_KEYS
from fr_trust.access.store import AccessStore

log = logging.getLogger("fr_server.jobs.periodic")


def watch(telemetry: Telemetry, config: Config, galleries: GalleryCalls, broken: Mapping[str, Future[None]]) -> None:
    """Have the stores looked at whenever metrics are scraped; a store that `broken` does not name is not asked."""
    if telemetry.metrics_server is not None:
        from fr_server.telemetry.storage import KeptCollector, KeptStore  # not needed without metrics

        stores = {
            str(place.chain): KeptStore(place.location, place.schema, broken.get(place.chain))
            for place in places_of(config)
        }
        telemetry.metrics_server.also(KeptCollector(stores, galleries))


def watch_others(telemetry: Telemetry, config: Config, members: Members, galleries: Galleries) -> None:
    """Have PostgreSQL, other servers, Milvus and GPUs looked at whenever metrics are scraped, where they are used."""
    if telemetry.metrics_server is None:
        return
    if (server := postgres_of(config)) is not None:
        from fr_server.telemetry.shared_metrics import ServersCollector

        telemetry.metrics_server.also(ServersCollector(server, members))
    if galleries.remote is not None:
        from fr_server.telemetry.milvus_metrics import MilvusCollector

        telemetry.metrics_server.also(MilvusCollector(lambda: galleries.remote))
    if config.gallery.index == "int8":
        from fr_server.telemetry.int8_metrics import Int8Collector

        telemetry.metrics_server.also(Int8Collector(lambda: galleries.doubted))


KEY_ENDS_EVERY_S = 60.0
"""Interval between two reports. Keys can change at any time, and an alert waits longer than this."""


def tell_key_ends(store: AccessStore, trust: Trust) -> None:
    """Report the next expiry of a valid key; raises `Failure` if the store is unreadable."""
    now_ms = store.now_ms()
    valid = (key for key in store.keys(size=MAX_KEYS) if not key.is_dead(now_ms))
    ends = (key.expires_ms for key in valid if key.expires_ms is not None)
    trust.keys_expire(min(ends, default=0) / 1000)


async def for_ever(chore: Chore, every_s: float, job: Callable[[], None], failed: Callable[[Chore], None]) -> None:
    """Run a job in a thread, now and `every_s` seconds after each end, until cancelled; log its exceptions.

    Calls `failed` after each failed run; the next run tries again.
    """
    while True:
        try:
            await asyncio.to_thread(job)
        except Exception as error:  # noqa: BLE001 - the boundary of a chore: the next run must still come
            fields = {"chore": chore, "error": type(error).__name__}
            log.error(
                "The chore %s failed; the server tries again in %g s: %s",
                chore,
                every_s,
                describe(error),
                extra={FIELDS: fields},
            )
            failed(chore)
        await asyncio.sleep(every_s)
