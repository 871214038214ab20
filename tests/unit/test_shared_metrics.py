"""The metrics of servers that share a database, and of Milvus: from a real PostgreSQL, and from Milvus Lite."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from fr_core.errors import StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.gallery.search.following import SCOPE
from fr_core.gallery.store.schema import SCHEMA
from fr_core.storage.duties import Duties
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.leases import Lease
from fr_core.storage.location import Postgres
from fr_core.storage.members import Itself
from fr_core.storage.opening import open_database, open_members, open_shared
from fr_core.storage.postgres.registry import Registry
from fr_core.types import ModelId
from fr_server.config import Config
from fr_server.telemetry.milvus_metrics import MILVUS_SPECS, MilvusCollector
from fr_server.telemetry.open import open_telemetry
from fr_server.telemetry.shared import Shared, ToldGrants
from fr_server.telemetry.shared_metrics import SHARED_SPECS, PrometheusShared, ServersCollector
from support.faults import until
from support.milvus import derive, indexes_of, keep_up, lite, settings_of, truth_of
from support.postgres import Cluster, cluster

KEY = KeyEncryptionKey(bytes(range(32)))


def names(registry: CollectorRegistry) -> set[str]:
    return {sample.name for family in registry.collect() for sample in family.samples}


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_a_server_tells_how_far_it_is_behind_and_that_postgresql_is_gone(tmp_path: Path) -> None:
    with cluster() as running:
        database = running.database()
        own = open_members(database, Itself("own", "", "1"))
        with closing(own), Galleries.open(database, key=KEY) as galleries:
            registry = CollectorRegistry()
            registry.register(ServersCollector(database, own))
            assert counted(registry, "fr_servers") == 2, "that of the galleries is a server of its own"
            assert counted(registry, "fr_replica_lag_versions") is None, "it reads the galleries"
            own.note(SCOPE, 0)
            own.flush()
            assert counted(registry, "fr_replica_lag_versions") == 0
            galleries.create("g", "", ModelId("m", "1", "0" * 64), 4)
            galleries.create("h", "", ModelId("m", "1", "0" * 64), 4)
            assert counted(registry, "fr_replica_lag_versions") == 1
            seconds = counted(registry, "fr_replica_lag_seconds")
            assert seconds is not None
            assert 0 <= seconds < 600
            assert [counted(registry, f"fr_{name}") for name in ("in_term", "terms_total", "database_up")] == [1, 1, 1]
            running.kill()
            told = names(registry)
            assert told == {"fr_in_term", "fr_terms_total", "fr_database_up"}
            assert counted(registry, "fr_database_up") == 0
            running.start()
            assert counted(registry, "fr_database_up") == 1


def test_connections_that_read_are_counted(postgres: Cluster) -> None:
    registry = CollectorRegistry()
    base = postgres.database()
    server = Postgres(base.url, connections=1, connect_timeout_s=0.2, pool=PrometheusShared(registry))
    of = {"store": "galleries"}
    database = open_database(server, SCHEMA, KEY)
    with database.reading():
        assert counted(registry, "fr_pool_connections", **of) == 1
        assert counted(registry, "fr_pool_timeouts_total", **of) == 0
        with pytest.raises(StoreFailed), database.reading():
            pass
        assert counted(registry, "fr_pool_timeouts_total", **of) == 1
    with database.reading():
        assert counted(registry, "fr_pool_connections", **of) == 1
    assert counted(registry, "fr_pool_waiting", **of) == 0
    database.close()
    assert counted(registry, "fr_pool_connections", **of) == 0
    assert counted(registry, "fr_pool_connections", store="cases") == 0


def test_leases_that_are_held_and_lost_are_counted(postgres: Cluster, tmp_path: Path) -> None:
    registry, database = CollectorRegistry(), postgres.database()
    of = {"chore": "purge_cases"}
    with (
        closing(open_shared(database, tmp_path, "a")[0]) as leases,
        closing(open_shared(database, tmp_path, "b")[0]) as others,
    ):
        duties = Duties(leases, lasts_s=0.3, told=PrometheusShared(registry).lease)
        duties.alone("purge_cases", lambda: None)()
        duties.alone("no chore", lambda: None)()
        assert counted(registry, "fr_leases_held", **of) == 1
        with closing(Registry(database)) as registry_of_servers:
            ((number,),) = registry_of_servers.run("SELECT number FROM leases WHERE name = 'purge_cases'")
        others.release(Lease("purge_cases", number, 0.0))  # as if it had expired
        assert others.take("purge_cases", 60.0)
        until(lambda: counted(registry, "fr_leases_lost_total", **of) == 1)  # though the job is not due
        assert counted(registry, "fr_leases_held", **of) == 0
        assert counted(registry, "fr_leases_lost_total", chore="checkpoints") == 0
        duties.close()
        assert counted(registry, "fr_leases_lost_total", **of) == 1


def test_blocks_of_budgets_are_counted(postgres: Cluster) -> None:
    registry = CollectorRegistry()
    _, opened = open_shared(postgres.database(), Path())
    assert opened is not None
    with closing(ToldGrants(opened, PrometheusShared(registry))) as grants:
        for _ in range(2):
            grants.take(b"account", 0.001, 1)
        grants.use(b"account", 1)
    found = {
        (budget, granted): counted(registry, "fr_budget_blocks_total", budget=budget, granted=granted)
        for budget in ("calls", "searches")
        for granted in ("yes", "no")
    }
    assert found == {("calls", "yes"): 1, ("calls", "no"): 1, ("searches", "yes"): 1, ("searches", "no"): 0}


def test_milvus_tells_what_it_lacks(tmp_path: Path) -> None:
    live: list[int] = []
    truth = NumpyIndex(4)
    indexes = indexes_of(settings_of(lite(tmp_path)), truth_of(truth, lambda: np.array(live, dtype=np.int64)))
    registry = CollectorRegistry()
    registry.register(MilvusCollector(lambda: indexes.state))

    def told() -> tuple[float | None, ...]:
        return tuple(counted(registry, spec.name) for spec in MILVUS_SPECS)

    with closing(indexes):
        index = indexes.new(1, 4)
        assert told() == (1, 1, 0, 0, 0), "it is compared first"
        indexes.filled()
        vectors = np.eye(4, dtype=np.float32)
        for added in (truth, index):
            added.add(np.arange(4), vectors)
        live += range(4)
        keep_up(index)
        indexes.tidy()
        assert told()[:4] == (1, 0, 0, 0)
        index.add(np.array([4]), vectors[:1])
        index.remove(np.array([0]))
        assert told() == (1, 0, 1, 1, 0)
    assert derive("a") != derive("b")


def test_without_a_database_and_milvus_nothing_is_registered(tmp_path: Path) -> None:
    telemetry = Config().telemetry
    assert type(open_telemetry(telemetry, (), shares=True).shared) is Shared, "no metrics are served"
    with Galleries.open(tmp_path / "data", key=KEY) as galleries:
        assert galleries.remote is None
    assert len({spec.name for spec in (*SHARED_SPECS, *MILVUS_SPECS)}) == len(SHARED_SPECS) + len(MILVUS_SPECS)
