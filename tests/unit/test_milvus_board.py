"""Servers tell one another what Milvus holds: one of them at a time, and none goes by what was altered."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing

import pytest

from fr_core.gallery.index.milvus_board import Board, Held, LeaseLost, Request
from fr_core.storage.leases import Lease
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_values
from fr_core.storage.postgres.leases import PostgresLeases
from fr_core.storage.postgres.registry import SCHEMA_NAME, Registry
from support.postgres import Cluster

KEY = bytes(range(32))
HELD = Held("c_1", 7, True, 1, 3)


class Peer:
    """A server with values and leases of the database; it takes the lease once, and may go on when it is over."""

    def __init__(self, database: Postgres, opened: ExitStack) -> None:
        self._values = opened.enter_context(closing(open_values(database)))
        self._leases = opened.enter_context(closing(PostgresLeases(Registry(database), "")))
        self._lease: Lease | None = None
        self.seq = 0

    def end(self) -> int:
        return 0

    def all_have(self, seq: int) -> bool:
        return seq >= 0

    def galleries(self) -> Collection[int]:
        return (1,)

    def lead(self) -> int:
        self._lease = self._lease or self._leases.take("index", 60.0)
        return 0 if self._lease is None else self._lease.number

    def let_go(self) -> None:
        """Give the lease back."""
        assert self._lease is not None
        self._leases.release(self._lease)

    def get(self, name: str) -> tuple[bytes, int] | None:
        found = self._values.get(name.encode())
        return None if found is None else (found.value, found.version)

    def put(self, name: str, value: bytes, version: int, lasts_s: float) -> bool:
        return bool(self._values.put(name.encode(), value, version, lasts_s, lasts_s))


@pytest.fixture
def database(postgres: Cluster) -> Postgres:
    return postgres.database()


@pytest.fixture
def pair(database: Postgres) -> Iterator[tuple[Board, Board]]:
    with ExitStack() as opened:
        one, other = (Board(Peer(database, opened), KEY) for _ in range(2))
        one.refresh()
        other.refresh()
        yield one, other


def test_one_server_writes_and_all_read(pair: tuple[Board, Board]) -> None:
    one, other = pair
    assert one.lead > 0 == other.lead
    one.publish(one.lead, {1: HELD, 2: HELD})
    other.refresh()
    assert other.held == {1: HELD, 2: HELD}
    with pytest.raises(LeaseLost):
        other.publish(0, {1: HELD})
    one.publish(one.lead, {2: None})
    other.refresh()
    assert other.held == {1: HELD}


def test_a_server_that_has_lost_the_lease_without_knowing_writes_nothing(pair: tuple[Board, Board]) -> None:
    one, other = pair
    lead = one.lead
    one.publish(lead, {1: HELD})
    one.peers.let_go()  # as its end would: it believes that it still has it
    other.refresh()
    assert other.lead > lead
    later = Held("c_2", 9, True, 1, 4)
    other.publish(other.lead, {1: later})
    with pytest.raises(LeaseLost):
        one.publish(lead, {1: HELD})
    with pytest.raises(LeaseLost):  # nor once it has read what the other wrote
        one.refresh()
    with pytest.raises(LeaseLost):
        one.publish(lead, {1: HELD})
    other.refresh()
    assert other.held == {1: later}


def test_each_request_is_numbered_beyond_what_was_fulfilled(pair: tuple[Board, Board], database: Postgres) -> None:
    one, other = pair
    assert one.ask({1: False, 2: True}) == {1: 1, 2: 1}
    assert other.ask({1: True}) == {}  # it has not read the others' yet
    other.refresh()
    assert other.ask({1: True}) == {1: 2}
    one.refresh()
    assert one.requests == {1: Request(2, 2), 2: Request(1, 1)}
    one.publish(one.lead, {1: Held("c_1", 7, True, 2, 3)})
    with closing(Registry(database)) as registry:
        registry.run("DELETE FROM shelf WHERE name = ?", (b"requests",))
    other.refresh()
    assert other.ask({1: False}) == {1: 3}


@pytest.mark.parametrize("altered", ["set_byte(value, 40, get_byte(value, 40) # 1)", "''"])
def test_what_was_altered_counts_for_nothing_until_the_server_that_writes_has_replaced_it(
    pair: tuple[Board, Board], database: Postgres, altered: str
) -> None:
    one, other = pair
    one.publish(one.lead, {1: HELD})
    with closing(Registry(database)) as registry:
        registry.run(f"UPDATE {SCHEMA_NAME}.shelf SET value = {altered} WHERE name = ?", (b"state",))
    other.refresh()
    assert other.held == {}
    one.refresh()
    one.publish(one.lead, {1: HELD})
    other.refresh()
    assert other.held == {1: HELD}
