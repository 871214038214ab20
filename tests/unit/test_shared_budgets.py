"""Budgets that several processes share: together they grant one budget, never more."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from fr_core.errors import StoreFailed
from fr_core.storage.location import Postgres
from fr_core.storage.members import Itself
from fr_core.storage.postgres.grants import PostgresGrants
from fr_core.storage.postgres.members import PostgresMembers
from fr_core.storage.postgres.registry import Registry
from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.shared_budgets import SharedBudgets
from fr_trust.errors import QuotaExceeded, RateLimited
from support.postgres import Cluster

SERVERS = 3


@dataclass
class World:
    """A database, and the servers on it, registered."""

    database: Postgres
    close: list[Callable[[], None]] = field(default_factory=list)

    def grants(self) -> PostgresGrants:
        made = PostgresGrants(Registry(self.database, 5.0))
        self.close.append(made.close)
        return made

    def execute(self, sql: str) -> None:
        with closing(Registry(self.database, 5.0)) as registry:
            registry.run(sql)

    def budgets(self) -> SharedBudgets:
        return SharedBudgets(self.grants(), lambda principal_id: f"account of {principal_id}".encode())


@pytest.fixture
def world(postgres: Cluster) -> Iterator[World]:
    made = World(postgres.database())
    for number in range(SERVERS):
        registry = Registry(made.database, 5.0)
        made.close.append(registry.close)
        PostgresMembers(registry, Itself(f"server {number}", "", "1.0"))
    yield made
    for close in made.close:
        close()


async def call(budgets: SharedBudgets, budget: Budget, principal_id: str = "key:a") -> bool:
    await budgets.ready(principal_id, budget, call=True, search=False)
    with suppress(RateLimited):
        budgets.spend(principal_id, budget)
        return True
    return False


async def search(budgets: SharedBudgets, budget: Budget, principal_id: str = "key:a") -> bool:
    await budgets.ready(principal_id, budget, call=False, search=True)
    with suppress(QuotaExceeded):
        budgets.search(principal_id, budget)
        return True
    return False


def in_servers(world: World, work: Callable[[SharedBudgets], Coroutine[Any, Any, int]]) -> list[int]:
    """Run work in one event loop and thread for each server, all at once."""
    barrier = threading.Barrier(SERVERS)

    def serve(budgets: SharedBudgets) -> int:
        async def run() -> int:
            barrier.wait()
            return await work(budgets)

        return asyncio.run(run())

    with ThreadPoolExecutor(SERVERS) as pool:
        return list(pool.map(serve, [world.budgets() for _ in range(SERVERS)]))


@pytest.mark.parametrize("burst", [1, 20, 200])
def test_servers_grant_one_budget_of_calls_and_never_more(world: World, burst: int) -> None:
    budget = Budget(50.0, burst, None)
    lasts_s = 1.0
    begun = time.monotonic()

    async def work(budgets: SharedBudgets) -> int:
        async def one() -> int:
            taken = 0
            while time.monotonic() - begun < lasts_s:
                taken += await call(budgets, budget)
                await asyncio.sleep(0)
            return taken

        return sum(await asyncio.gather(*(one() for _ in range(4))))

    counts = in_servers(world, work)
    took_s = time.monotonic() - begun
    assert sum(counts) <= burst + 50.0 * took_s + 1, counts
    assert sum(counts) >= burst * 0.9 - SERVERS, counts  # what they hold at the end


def test_blocks_that_wait_in_a_process_do_not_add_to_a_full_bucket(world: World) -> None:
    budget = Budget(50.0, 200, None)

    async def run() -> None:
        servers = [world.budgets() for _ in range(SERVERS)]
        begun = time.monotonic()
        for budgets in servers:  # each has a block then, and the bucket fills again
            assert await call(budgets, budget)
        world.execute("UPDATE buckets SET at = at - interval '1 hour'")
        taken = 0
        for budgets in servers:
            while await call(budgets, budget):
                taken += 1
        assert taken <= 200 + 50.0 * (time.monotonic() - begun)
        assert taken >= 200 - SERVERS * 5

    asyncio.run(run())


@pytest.mark.parametrize("most", [0, 1, 7, 250, 1_000])
def test_servers_grant_the_searches_of_a_day_once(world: World, most: int) -> None:
    budget = Budget(1e5, 1_000_000, most)

    async def work(budgets: SharedBudgets) -> int:
        taken = 0
        while await search(budgets, budget):
            taken += 1
        return taken

    counts = in_servers(world, work)
    assert sum(counts) == most  # each uses up what it holds


def test_what_a_process_that_dies_holds_is_lost_and_is_little(world: World) -> None:
    budget = Budget(1e5, 1_000_000, 1_000)

    async def run() -> None:
        assert await search(world.budgets(), budget)  # which dies with a block of 10
        left = world.budgets()
        await left.ready("key:a", budget, call=False, search=False, left=True)
        assert left.searches_left("key:a", budget) == 990
        taken = 0
        while await search(left, budget):
            taken += 1
        assert taken == 990
        await left.ready("key:a", budget, call=False, search=False, left=True)
        assert left.searches_left("key:a", budget) == 0
        assert left.searches_left("key:a", Budget(1.0, 1, None)) is None

    asyncio.run(run())


def test_a_day_begins_anew_and_a_clock_that_is_set_back_gives_nothing(world: World) -> None:
    budget = Budget(1e5, 1_000_000, 2)

    async def run() -> None:
        assert [await search(world.budgets(), budget) for _ in range(3)] == [True, True, False]
        world.execute("UPDATE uses SET day = day + 1")  # as when the clock was ahead by a day, and no longer is
        assert not await search(world.budgets(), budget)
        world.execute("UPDATE uses SET day = day - 2")
        assert [await search(world.budgets(), budget) for _ in range(3)] == [True, True, False]
        world.execute("UPDATE buckets SET at = at + interval '1 hour'")
        assert await call(world.budgets(), budget)

    asyncio.run(run())


def test_principals_are_counted_apart_and_the_owner_is_not_counted(world: World) -> None:
    budget = Budget(0.1, 1, 1)

    async def run() -> None:
        budgets = world.budgets()
        assert [await call(budgets, budget, who) for who in ("key:a", "key:b", "key:a")] == [True, True, False]
        assert [await search(budgets, budget, who) for who in ("key:a", "key:b", "key:a")] == [True, True, False]
        for _ in range(100):
            assert await call(budgets, UNLIMITED, "local")
            assert await search(budgets, UNLIMITED, "local")

    asyncio.run(run())


def test_rows_of_idle_accounts_are_deleted_and_no_others(world: World) -> None:
    grants = world.grants()

    async def run() -> None:
        assert await call(world.budgets(), Budget(0.1, 5, None), "key:busy")
        assert await call(world.budgets(), Budget(50.0, 5, None), "key:idle")

    asyncio.run(run())
    grants.use(b"of today", 5)
    grants.use(b"of before", 5)
    world.execute("UPDATE buckets SET at = at - interval '1 second'")
    world.execute("UPDATE uses SET day = day - 1 WHERE account = 'of before'::bytea")
    grants.sweep()
    with closing(Registry(world.database, 5.0)) as registry:
        left = registry.run("SELECT account FROM buckets UNION ALL SELECT account FROM uses")
    assert {bytes(account) for (account,) in left} == {b"account of key:busy", b"of today"}


def test_callers_share_a_fetch_and_one_that_is_cancelled_loses_nothing(world: World) -> None:
    budget = Budget(1e5, 1_000_000, 1_000)

    async def run() -> None:
        budgets = world.budgets()
        first = asyncio.create_task(search(budgets, budget))
        for _ in range(5):  # until the database is asked
            await asyncio.sleep(0)
        first.cancel()
        assert all(await asyncio.gather(*(search(budgets, budget) for _ in range(10))))

    asyncio.run(run())
    assert world.grants().used(b"account of key:a") == 10  # one block


def test_a_refusal_says_when_to_come_back(world: World) -> None:
    budget = Budget(0.5, 1, 1)

    async def run() -> None:
        budgets = world.budgets()
        assert await call(budgets, budget)
        assert await search(budgets, budget)
        assert not await call(budgets, budget)
        assert not await search(budgets, budget)
        with pytest.raises(RateLimited) as limited:
            budgets.spend("key:a", budget)
        assert 1.0 < float(limited.value.metadata["retry_after_s"]) <= 2.0
        with pytest.raises(QuotaExceeded) as exceeded:
            budgets.search("key:a", budget)
        assert 0 < float(exceeded.value.metadata["retry_after_s"]) <= 86_400

    asyncio.run(run())


def test_items_on_credit_are_paid_before_the_next_call(world: World) -> None:
    budget = Budget(10.0, 3, None)

    async def run() -> None:
        budgets = world.budgets()
        begun = time.monotonic()
        assert await call(budgets, budget)
        budgets.spend_more("key:a", budget, 9)
        assert not await call(budgets, budget)
        for again in (partial(budgets.spend, "key:a", budget), partial(budgets.spend_more, "key:a", budget, 1)):
            with pytest.raises(RateLimited) as limited:
                again()
            assert 0 < float(limited.value.metadata["retry_after_s"]) <= 0.8
        while not await call(budgets, budget):
            assert time.monotonic() - begun < 30
        assert time.monotonic() - begun >= 0.7  # 11 calls, of which 3 are the burst

    asyncio.run(run())


def test_no_call_is_free_where_the_database_fails(world: World, postgres: Cluster) -> None:
    budget = Budget(50.0, 3, 3)

    async def run() -> None:
        budgets = world.budgets()
        world.execute("DROP TABLE uses")
        world.execute("ALTER TABLE buckets RENAME TO gone")
        for work in (call, search):
            with pytest.raises(Exception) as caught:
                await work(budgets, budget)
            assert caught.value.reason in ("STORE_FAILED", "STORE_CORRUPT")  # type: ignore[attr-defined]

    asyncio.run(run())
    with pytest.raises(StoreFailed):
        PostgresGrants(Registry(Postgres("postgresql:///none?host=/nowhere"), 1.0))
