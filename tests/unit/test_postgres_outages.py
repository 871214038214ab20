"""Stores in PostgreSQL go on after what administrators do to it, and say what is wrong in the meantime."""

import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from fr_core.storage.location import Postgres
from support.access import new_key
from support.access import open_store as open_access
from support.postgres import Cluster

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
