"""Stores in PostgreSQL go on after what administrators do to it, and say what is wrong in the meantime."""

import logging
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_core.gallery.store.schema import SCHEMA
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_database
from fr_core.storage.outside import mark_of, servers_of
from fr_core.storage.postgres.registry import Registry
from fr_trust.access.schema import SCHEMA as ACCESS
from support.access import new_key
from support.access import open_store as open_access
from support.ledger import KEY
from support.postgres import Cluster
from support.stores import outside

_MANY = 1_100  # more descriptors than `select.select` takes, which is FD_SETSIZE: 1,024


@pytest.fixture
def database(postgres: Cluster) -> Postgres:
    return postgres.database()


def name_of(database: Postgres) -> str:
    return database.url.partition("@/")[2].partition("?")[0]


def end_connections(postgres: Cluster, database: Postgres) -> None:
    """End them all, as a restart does."""
    postgres.execute(
        f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{name_of(database)}'"
    )


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Hold so many descriptors within the block that each new one has a number beyond `_MANY`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * _MANY)), hard))
    held: list[int] = []
    try:
        while not held or held[-1] < _MANY:
            held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_with_many_descriptors_connects_again(postgres: Cluster, database: Postgres) -> None:
    with many_descriptors(), closing(open_access(database)) as store:
        end_connections(postgres, database)
        for _ in range(3):
            store.create(new_key())
        end_connections(postgres, database)
        store.create(new_key())
        assert len(store.keys()) == 4


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_the_isolation_that_a_database_has_by_default_does_not_matter(
    postgres: Cluster, database: Postgres, isolation: str
) -> None:
    postgres.execute(f"ALTER DATABASE {name_of(database)} SET default_transaction_isolation = '{isolation}'")
    with (
        closing(open_access(database)) as one,
        closing(open_access(database)) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        for made in [pool.submit(store.create, new_key()) for _ in range(15) for store in (one, other)]:
            made.result()
        assert len(one.keys()) == 30


def test_a_database_that_was_read_only_for_a_while(postgres: Cluster, database: Postgres) -> None:
    with closing(open_access(database)) as store, closing(Registry(database)) as registry:

        def changes() -> None:
            store.create(new_key())
            registry.run("UPDATE layout SET version = version")

        changes()
        postgres.execute(f"ALTER DATABASE {name_of(database)} SET default_transaction_read_only = on")
        end_connections(postgres, database)
        with pytest.raises(StoreFailed, match="has become read-only"):
            store.create(new_key())
        with pytest.raises(StoreFailed, match="has become read-only"):
            registry.run("UPDATE layout SET version = version")
        postgres.execute(f"ALTER DATABASE {name_of(database)} RESET default_transaction_read_only")
        changes()
        assert len(store.keys()) == 2


@pytest.mark.parametrize("rows", ["DELETE FROM layout", "INSERT INTO layout VALUES (1)"])
def test_a_registry_that_states_no_version_or_two(database: Postgres, rows: str) -> None:
    with closing(Registry(database)) as registry:
        registry.run(rows)
    with pytest.raises(StoreCorrupt, match="drop the schema fr_servers"):
        servers_of(database)


@pytest.mark.parametrize("schema", [SCHEMA, ACCESS], ids=["galleries", "access"])
@pytest.mark.parametrize("column", ["key_id", "wrapped_key"])
def test_a_store_whose_row_lacks_a_column(database: Postgres, schema: object, column: str) -> None:
    open_database(database, schema, KEY).close()  # type: ignore[arg-type]
    outside(database, schema, f"ALTER TABLE store DROP COLUMN {column} CASCADE")  # type: ignore[arg-type]
    with pytest.raises(StoreCorrupt):
        open_database(database, schema, KEY)  # type: ignore[arg-type]
    with pytest.raises(StoreCorrupt):
        mark_of(database, schema, KEY)  # type: ignore[arg-type]


def test_an_outage_is_logged_when_it_begins(
    postgres: Cluster, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    def warned() -> int:
        return caplog.text.count("are not removed yet")

    with closing(open_database(database, ACCESS, KEY)) as opened, caplog.at_level(logging.WARNING):
        assert opened.log.scrub()
        for outage in (1, 2):
            postgres.execute(f"ALTER DATABASE {name_of(database)} ALLOW_CONNECTIONS off")
            for _ in range(3):
                assert not opened.log.scrub()
            assert warned() == outage
            postgres.execute(f"ALTER DATABASE {name_of(database)} ALLOW_CONNECTIONS on")
            assert opened.log.scrub()
