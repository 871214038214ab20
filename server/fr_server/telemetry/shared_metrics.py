"""Defines and measures the metrics of servers that share a PostgreSQL database; used with `storage.url` only."""

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fr_core.errors import FrError
from fr_core.gallery.search.following import SCOPE
from fr_core.gallery.store.lag import lags_of
from fr_core.storage.leases import LeaseEvent
from fr_core.storage.location import Postgres
from fr_core.storage.members import Members
from fr_server.telemetry.listener import CHORES
from fr_server.telemetry.shared import BUDGETS, Budget, Shared
from fr_server.telemetry.spec import Spec, counter, gauge, seen, specs_in
from fr_server.telemetry.trust_metrics import CHAINS

log = logging.getLogger("fr_server.metrics")

DATABASE_UP = Spec("fr_database_up", "gauge", "1 if PostgreSQL answered during this scrape, otherwise 0.")
SERVERS = Spec("fr_servers", "gauge", "Servers that are registered in the database; absent while it does not answer.")
LAG_VERSIONS = Spec(
    "fr_replica_lag_versions",
    "gauge",
    "Versions that this server still has to apply to the gallery furthest behind, 0 if none waits; absent while "
    "PostgreSQL does not answer.",
)
LAG_SECONDS = Spec(
    "fr_replica_lag_seconds", "gauge", "Time since the first of these versions was committed, 0 if none waits."
)
IN_TERM = Spec(
    "fr_in_term",
    "gauge",
    "1 while this server is within its term (its last heartbeat is at most 15 s old) and may answer searches, "
    "otherwise 0.",
)
TERMS = Spec(
    "fr_terms_total",
    "counter",
    "Terms that the server began: the first at its start, another each time heartbeats work again after a term ended.",
)
SCRAPED_SPECS = specs_in(globals())

HEARTBEATS_FAILED = Spec(
    "fr_heartbeats_failed_total", "counter", "Heartbeats that failed; after 15 s without success, the term ends."
)
LEASES_HELD = Spec(
    "fr_leases_held", "gauge", "1 if this server does a periodic job for all servers, otherwise 0.", ("chore",)
)
LEASES_LOST = Spec(
    "fr_leases_lost_total",
    "counter",
    "Leases of periodic jobs that this server could not renew in time.",
    ("chore",),
)
POOL_OPEN = Spec(
    "fr_pool_connections",
    "gauge",
    "Open connections that read a store, at most `storage.connections` in each process.",
    ("store",),
)
POOL_WAITING = Spec("fr_pool_waiting", "gauge", "Readers that wait for a free connection.", ("store",))
POOL_TIMEOUTS = Spec(
    "fr_pool_timeouts_total",
    "counter",
    "Readers that waited for a free connection in vain, for `storage.connect_timeout_s`.",
    ("store",),
)
BLOCKS = Spec(
    "fr_budget_blocks_total",
    "counter",
    "Requests to the database for a block of calls or searches from a caller's budget, granted or not.",
    ("budget", "granted"),
)

SHARED_SPECS = specs_in(globals())


class PrometheusShared(Shared):
    """Counts events; every series exists from the start, at zero. Ignores the leases of other jobs than chores."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._heartbeats = counter(HEARTBEATS_FAILED, registry)
        held, lost = gauge(LEASES_HELD, registry), counter(LEASES_LOST, registry)
        self._held = {chore: held.labels(chore) for chore in map(str, CHORES)}
        self._lost = {chore: lost.labels(chore) for chore in map(str, CHORES)}
        connections, waiting = gauge(POOL_OPEN, registry), gauge(POOL_WAITING, registry)
        timeouts = counter(POOL_TIMEOUTS, registry)
        self._connections = {store: connections.labels(store) for store in map(str, CHAINS)}
        self._waiting = {store: waiting.labels(store) for store in map(str, CHAINS)}
        self._timeouts = {store: timeouts.labels(store) for store in map(str, CHAINS)}
        blocks = counter(BLOCKS, registry)
        self._blocks = {(budget, yes): blocks.labels(budget, _word(yes)) for budget in BUDGETS for yes in (True, False)}

    def heartbeat_failed(self) -> None:
        self._heartbeats.inc()

    def lease(self, job: str, event: LeaseEvent) -> None:
        if job not in self._held:
            return
        self._held[job].set(int(event == "taken"))
        if event == "lost":
            self._lost[job].inc()

    def connections(self, store: str, change: int) -> None:
        self._connections[store].inc(change)

    def waiting(self, store: str, change: int) -> None:
        self._waiting[store].inc(change)

    def timed_out(self, store: str) -> None:
        self._timeouts[store].inc()

    def block_asked(self, budget: Budget, granted: bool) -> None:
        self._blocks[budget, granted].inc()


def _word(granted: bool) -> str:
    return "yes" if granted else "no"


class ServersCollector(Collector):
    """Asks the database at each scrape how this server stands among the others, over the connection of its term."""

    def __init__(self, server: Postgres, members: Members) -> None:
        self._server = server
        self._members = members
        self._terms = 0

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, so that registering the collector measures nothing."""
        for spec in SCRAPED_SPECS:
            yield seen(spec)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics; what PostgreSQL does not answer is left out."""
        term = self._members.term
        self._terms = max(self._terms, term or 0)
        known: dict[Spec, float] = {IN_TERM: int(term is not None), TERMS: self._terms, DATABASE_UP: 0}
        try:
            known |= self._asked()
        except FrError as error:
            log.warning("The database cannot be asked about the servers: %s", error.reason)
        for spec, value in known.items():
            family = seen(spec)
            family.add_metric([], value)
            yield family

    def _asked(self) -> dict[Spec, float]:
        found = self._members.members()
        own = next((one for one in found if one.server_id == self._members.server_id), None)
        if own is None or SCOPE not in own.applied:  # it has not read the galleries yet
            return {DATABASE_UP: 1, SERVERS: len(found)}
        ((*lags,),) = lags_of(self._server, [own.applied[SCOPE]])
        return {
            DATABASE_UP: 1,
            SERVERS: len(found),
            LAG_VERSIONS: max((lag.versions for lag in lags), default=0),
            LAG_SECONDS: max((lag.seconds for lag in lags), default=0.0),
        }
