"""Leases and the registry of servers, on a real PostgreSQL and on one machine: expiry, lost connections, clocks."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fr_core.errors import StoreFailed, StoreNewer
from fr_core.storage.leases import FolderLeases, Hold, Lease, Leases, hold
from fr_core.storage.location import Location, Postgres
from fr_core.storage.members import Heartbeat, Itself, Members, SoleMember
from fr_core.storage.opening import open_members, open_shared
from fr_core.storage.postgres.leases import PostgresLeases
from fr_core.storage.postgres.members import PostgresMembers
from fr_core.storage.postgres.registry import Registry
from support.faults import until
from support.postgres import Cluster
from support.postgres_proxy import Proxy

LASTS_S = 10.0
ITSELF = Itself("one", "one.example.org:50061", "1.0")

HOLDS_AND_WAITS = """
import sys, time
from pathlib import Path
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_shared
time.time = lambda: 0.0  # its wall clock is wrong by decades
place = sys.argv[1]
location = Postgres(place) if place.startswith("postgresql:") else Path(place)
lease = open_shared(location, Path(sys.argv[2]), "other")[0].take("purge", 3600.0)
print("none" if lease is None else lease.number, flush=True)
sys.stdin.read()
"""


class Clock:
    """The own clock of one server, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class World:
    """A database, and the servers on it, each with a connection and a clock of its own."""

    cluster: Cluster
    database: Postgres
    close: list[Callable[[], None]]

    def registry(self, database: Postgres | None = None) -> Registry:
        made = Registry(database or self.database, 2.0)
        self.close.append(made.close)
        return made

    def member(self, name: str = "one", database: Postgres | None = None) -> tuple[PostgresMembers, Clock]:
        clock = Clock()
        itself = Itself(name, f"{name}.example.org:50061", "1.0")
        return PostgresMembers(self.registry(database), itself, LASTS_S, clock), clock

    def leases(self, holder: str) -> tuple[PostgresLeases, Clock]:
        clock = Clock()
        return PostgresLeases(self.registry(), holder, clock), clock

    def execute(self, sql: str) -> None:
        with closing(Registry(self.database, 5.0)) as registry:
            registry.run(sql)

    def cut_connections(self) -> None:
        """End all connections, and wait until they have ended."""
        self.cluster.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name LIKE 'fr-core%'"
        )


@pytest.fixture
def world(postgres: Cluster) -> Iterator[World]:
    made = World(postgres, postgres.database(), [])
    yield made
    for close in made.close:
        close()


@pytest.fixture(params=["folder", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Leases, Leases]]:
    """The leases of two processes, in each of the places that keep them."""
    if request.param == "folder":
        pair: tuple[Leases, Leases] = FolderLeases(tmp_path), FolderLeases(tmp_path)
    else:
        world: World = request.getfixturevalue("world")
        pair = world.leases("a")[0], world.leases("b")[0]
    yield pair
    for one in pair:
        one.close()


@contextmanager
def held_by(held: Hold | None) -> Iterator[Hold]:
    assert held is not None
    with held:
        yield held


def taken(leases: Leases, name: str = "purge") -> Lease:
    lease = leases.take(name, LASTS_S)
    assert lease is not None
    return lease


# --- leases


def test_one_process_at_a_time_has_a_lease(two: tuple[Leases, Leases]) -> None:
    one, other = two
    first = taken(one)
    assert other.take("purge", LASTS_S) is None
    assert one.take("purge", LASTS_S) is None  # two threads of a process are no better
    taken(other, "checkpoints")  # control: another name is free
    assert one.renew(first, LASTS_S) is not None
    assert set(one.holders()) >= {"purge"}
    one.release(first)
    one.release(first)
    second = taken(other)
    one.release(first)  # its own, not the one of the other
    assert one.take("purge", LASTS_S) is None
    other.release(second)


def test_a_lease_ends_by_the_clock_of_the_database_and_not_before(world: World) -> None:
    (one, clock), (other, _) = world.leases("a"), world.leases("b")
    first = taken(one)
    clock.now_s += 1e6  # the clock of the holder says nothing to the others
    assert other.take("purge", LASTS_S) is None
    world.execute("UPDATE leases SET expires = clock_timestamp()")  # as when its time has passed
    second = taken(other)
    assert second.number > first.number
    assert one.renew(first, LASTS_S) is None
    one.release(first)
    assert one.holders() == {"purge": "b"}


def test_the_holder_stops_no_later_than_others_may_take_the_lease(world: World) -> None:
    leases, clock = world.leases("a")
    first = hold(leases, "purge", 3 * LASTS_S, clock)
    assert first is not None
    assert first.is_held
    clock.now_s += 3 * LASTS_S
    assert not first.is_held
    first.end()
    others, others_clock = world.leases("b")
    again = hold(others, "purge", clock_s=others_clock)
    assert again is not None
    assert again.number > first.number
    assert hold(leases, "purge", clock_s=clock) is None
    again.end()


@pytest.mark.parametrize("holder", ["a", ""])  # a command has no name
def test_a_lease_is_renewed_while_it_is_held(world: World, holder: str) -> None:
    leases, clock = world.leases(holder)
    with held_by(hold(leases, "purge", 0.3, clock)) as held:
        world.execute("UPDATE leases SET expires = clock_timestamp()")
        until(lambda: bool(leases.holders()))  # the next renewal gives it time again
        assert leases.holders() == {"purge": holder}
        assert held.is_held
    assert leases.holders() == {}


def test_a_lease_is_told_of_when_it_is_taken_and_once_when_it_ends(world: World) -> None:
    (leases, clock), (others, _), told = world.leases("a"), world.leases("b"), list[str]()
    with held_by(hold(leases, "purge", LASTS_S, clock, told.append)):
        assert told == ["taken"]
    assert told == ["taken", "released"]
    told.clear()
    held = hold(leases, "purge", 0.3, clock, told.append)
    assert held is not None
    others.release(Lease("purge", held.number, 0.0))  # as if it had expired
    taken(others)
    until(lambda: told == ["taken", "lost"])
    assert not held.is_held
    held.end()
    assert told == ["taken", "lost"]
    assert leases.holders() == {"purge": "b"}


def test_a_lease_whose_time_has_passed_is_lost_even_if_a_renewal_succeeds_then(world: World) -> None:
    leases, clock = world.leases("a")
    told: list[str] = []
    held = hold(leases, "purge", 0.3, clock, told.append)
    assert held is not None
    clock.now_s += 1.0  # the process was stopped for so long
    until(lambda: told == ["taken", "lost"])
    clock.now_s -= 1.0  # no clock does that; only then would a new end be seen
    assert not held.is_held
    held.end()


def test_a_lease_is_lost_when_the_database_is_away_for_its_time(world: World, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, world.cluster.folder)
    through = Postgres(world.database.url.replace(str(world.cluster.folder), str(tmp_path)))
    told: list[str] = []
    held = hold(PostgresLeases(world.registry(through), "a"), "purge", 0.5, told=told.append)
    assert held is not None
    proxy.open = False
    world.cut_connections()
    until(lambda: told == ["taken", "lost"])
    held.end()
    proxy.close()


def test_a_lease_outlives_a_lost_connection(world: World) -> None:
    (one, _), (other, _) = world.leases("a"), world.leases("b")
    first = taken(one)
    world.cut_connections()
    assert other.take("purge", LASTS_S) is None
    assert one.renew(first, LASTS_S) is not None


@contextmanager
def other_process(location: Location, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has taken the lease; it is killed at the end of the block at the latest."""
    where = str(location) if isinstance(location, Path) else location.url
    command = [sys.executable, "-c", HOLDS_AND_WAITS, where, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() != "none\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("place", ["folder", "postgresql"])
def test_a_killed_process_with_a_wrong_wall_clock(place: str, world: World, tmp_path: Path) -> None:
    location = tmp_path if place == "folder" else world.database
    with (
        closing(open_shared(location, tmp_path, "own")[0]) as leases,
        closing(open_shared(location, tmp_path / "elsewhere", "other")[0]) as others,
        other_process(location, tmp_path) as process,
    ):
        assert leases.take("purge", LASTS_S) is None
        process.kill()
        process.wait()
        if place == "postgresql":  # a server with another folder cannot know that it has ended
            assert others.take("purge", LASTS_S) is None
        assert taken(leases).name == "purge"  # a server with the same one need not wait


def test_a_lease_of_a_process_that_only_lost_its_connection_stays(world: World, tmp_path: Path) -> None:
    with closing(open_shared(world.database, tmp_path, "own")[0]) as leases:
        with other_process(world.database, tmp_path) as process:
            process.send_signal(signal.SIGSTOP)
            world.cut_connections()
            assert leases.take("purge", LASTS_S) is None
        assert leases.take("purge", LASTS_S) is not None  # control


def spoil_boot(note: Path) -> None:
    note.write_bytes(b"1" + note.read_bytes()[1:] if note.read_bytes()[:1] != b"1" else b"2" + note.read_bytes()[1:])


def copy_anew(note: Path) -> None:
    note.rename(note.with_name("before"))
    shutil.copy(note.with_name("before"), note)


def shorten(note: Path) -> None:
    note.write_bytes(note.read_bytes()[:-1])


@pytest.mark.parametrize("alter", [spoil_boot, copy_anew, shorten, Path.unlink])
def test_a_note_of_another_machine_or_in_a_copy_releases_nothing(
    alter: Callable[[Path], None], world: World, tmp_path: Path
) -> None:
    with other_process(world.database, tmp_path):
        pass
    alter(tmp_path / "purge.lease")
    with closing(open_shared(world.database, tmp_path, "own")[0]) as leases:
        assert leases.take("purge", LASTS_S) is None


def test_a_note_of_another_database_or_of_an_older_lease_releases_nothing(world: World, tmp_path: Path) -> None:
    (one, _), another = world.leases("a"), world.cluster.database()
    with other_process(another, tmp_path):
        pass
    taken(one)
    with closing(open_shared(world.database, tmp_path, "own")[0]) as leases:
        assert leases.take("purge", LASTS_S) is None


def test_an_old_lease_that_is_released_leaves_the_note_of_the_next(world: World, tmp_path: Path) -> None:
    with (
        closing(open_shared(world.database, tmp_path, "own")[0]) as leases,
        closing(open_shared(world.database, tmp_path, "beside")[0]) as beside,
    ):
        first = taken(leases)
        world.execute("UPDATE leases SET expires = clock_timestamp()")
        second = taken(leases)
        leases.release(first)
        assert beside.take("purge", LASTS_S) is None
        leases.release(second)
        assert beside.take("purge", LASTS_S) is not None


def test_a_lease_is_noted_later_where_that_failed_at_first(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    folder.write_text("a file")
    with closing(open_shared(world.database, folder, "own")[0]) as leases:
        lease = taken(leases)
        assert "it cannot note them" in caplog.text
        folder.unlink()
        assert leases.renew(lease, LASTS_S) is not None
    with closing(open_shared(world.database, folder, "again")[0]) as leases:
        assert leases.take("purge", LASTS_S) is not None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        FolderLeases(tmp_path / "gone").take("purge", LASTS_S)


# --- members


def names(members: Members) -> list[str]:
    return [one.itself.name for one in members.members()]


def test_servers_see_each_other_until_they_leave(world: World) -> None:
    (one, _), (two, _) = world.member("one"), world.member("two")
    assert names(one) == names(two) == ["one", "two"]
    (first, _) = one.members()
    assert first.itself == ITSELF == one.itself
    assert 0 <= first.heard_s < 60
    one.leave()
    assert one.term is None
    one.beat()  # a heartbeat that comes late brings nobody back
    assert one.term is None
    assert names(two) == ["two"]


def test_a_server_stops_before_others_take_it_for_gone(world: World) -> None:
    (one, own), (two, others) = world.member("one"), world.member("two")
    assert names(two) == ["one", "two"]
    for clock in (own, others):
        clock.now_s += LASTS_S * 0.99
    assert one.term == 1
    for clock in (own, others):
        clock.now_s += LASTS_S * 0.02
    assert one.term is None
    two.beat()
    assert names(two) == ["one", "two"]  # its own clock may be somewhat slower
    others.now_s += LASTS_S * 0.1
    assert names(two) == ["two"]


def test_a_heartbeat_lengthens_a_term_and_nothing_brings_one_back(world: World) -> None:
    (one, own), (two, others) = world.member("one"), world.member("two")
    for _ in range(20):
        own.now_s += LASTS_S / 2
        others.now_s += LASTS_S / 2
        one.beat()
        two.beat()
        assert one.term == 1
    (before, _) = two.members()
    own.now_s += LASTS_S + 0.01
    assert one.term is None
    one.beat()
    assert one.term == 2
    (_, after) = two.members()
    assert before.itself == after.itself == one.itself
    assert before.server_id != after.server_id


def test_a_server_that_others_took_for_gone_begins_a_new_term(world: World) -> None:
    (one, _), (two, others) = world.member("one"), world.member("two")
    names(two)
    others.now_s += LASTS_S * 1.2  # a clock that runs far too fast
    two.beat()
    assert names(two) == ["two"]
    one.beat()
    assert one.term == 2
    assert names(two) == ["two", "one"]


def test_an_erasure_waits_for_those_that_may_still_answer(world: World) -> None:
    (one, _), (two, others) = world.member("one"), world.member("two")
    one.note("galleries", 7)
    two.note("galleries", 6)
    two.flush()
    assert [late.itself.name for late in one.behind("galleries", 7)] == ["two"]
    assert one.behind("galleries", 6) == ()
    assert len(one.behind("cases", 0)) == 2  # who has noted nothing is behind
    two.note("galleries", 7)
    assert len(one.behind("galleries", 7)) == 1  # not seen yet
    two.beat()
    assert one.behind("galleries", 7) == ()
    assert [dict(member.applied) for member in two.members()] == [{"galleries": 7}] * 2
    three, _ = world.member("three")
    assert [late.itself.name for late in one.behind("galleries", 7)] == ["three"]
    three.note("galleries", 9)
    three.forget("galleries")
    three.flush()
    assert len(one.behind("galleries", 7)) == 1
    assert others.now_s == 1_000.0


def test_what_was_applied_in_another_term_counts_for_nothing(world: World) -> None:
    (one, own), (two, _) = world.member("one"), world.member("two")
    one.note("galleries", 7)
    one.flush()
    two.note("galleries", 7)
    assert two.behind("galleries", 7) == ()
    one.note("galleries", 8)
    own.now_s += LASTS_S + 1
    one.beat()
    assert [late.itself.name for late in two.behind("galleries", 7)] == ["one"]


def test_a_server_cut_off_from_the_database_ends_its_term_by_itself(world: World, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, world.cluster.folder)
    through = Postgres(world.database.url.replace(str(world.cluster.folder), str(tmp_path)))
    (one, own), (two, others) = world.member("one", through), world.member("two")
    assert names(two) == ["one", "two"]
    proxy.open = False
    world.cut_connections()
    with pytest.raises(StoreFailed):
        one.beat()
    assert one.term == 1
    own.now_s += LASTS_S
    assert one.term is None
    with pytest.raises(StoreFailed):
        one.beat()
    others.now_s += LASTS_S * 1.2
    two.beat()
    assert names(two) == ["two"]
    proxy.open = True
    one.beat()
    assert one.term == 2
    proxy.close()


def test_a_lost_connection_costs_nothing_but_time(world: World) -> None:
    one, _ = world.member()
    one.note("galleries", 1)
    world.cut_connections()
    one.beat()
    assert one.term == 1
    assert one.behind("galleries", 1) == ()


def test_the_heart_beats_until_it_is_closed(world: World) -> None:
    two, _ = world.member("two")
    with closing(open_members(world.database, ITSELF)) as one:
        heart = Heartbeat(one, 0.05)
        assert names(two) == ["two", "one"]
        heart.close()
        heart.close()
        assert names(two) == ["two"]


def test_one_server_alone() -> None:
    one = open_members(Path(), ITSELF)
    assert isinstance(one, SoleMember)
    one.beat()
    assert one.term == 1
    assert len(one.behind("galleries", 1)) == 1
    one.note("galleries", 1)
    one.flush()
    assert one.behind("galleries", 1) == ()
    one.forget("galleries")
    assert dict(one.members()[0].applied) == {}
    one.leave()
    assert one.term is None
    one.close()


def test_tables_of_a_later_version_are_refused(world: World) -> None:
    world.execute("UPDATE layout SET version = 2")
    with pytest.raises(StoreNewer):
        Registry(world.database, 1.0)


def test_a_role_that_may_not_make_schemas_uses_one_that_is_there(world: World) -> None:
    name = world.database.url.partition("@/")[2].partition("?")[0]
    world.cluster.execute(f"CREATE ROLE plain{os.getpid()} LOGIN")
    plain = Postgres(world.database.url.replace("postgres@", f"plain{os.getpid()}@"))
    with pytest.raises(StoreFailed):
        Registry(plain, 1.0)
    owner = Postgres(f"postgresql://postgres@/{name}?host={world.cluster.folder}")
    with closing(Registry(owner, 1.0)) as registry:
        registry.run("DROP SCHEMA fr_servers CASCADE")
        registry.run(f"CREATE SCHEMA fr_servers AUTHORIZATION plain{os.getpid()}")
    assert names(PostgresMembers(world.registry(plain), ITSELF)) == ["one"]
