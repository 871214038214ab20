"""The shelf that servers share: times, versions and secrets; and what pages and learning platforms leave there."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from fr_api.v1 import access_pb2, common_pb2
from fr_client.errors import FrApiError
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_shelf
from fr_core.storage.postgres.registry import Registry
from fr_core.storage.postgres.shelf import PostgresShelf
from fr_core.storage.protocol import Row
from fr_core.storage.shelf import Shelf
from fr_core.storage.vault import Value
from fr_locales.messages import Audience, message
from fr_server.web_shelf import ShelfServer
from fr_web.console.sessions import Inquiry, Session
from fr_web.console.shared_sessions import SharedSessions
from fr_web.console.views import examiner
from fr_web.console.views.trainer_drafts import Draft, Wanted, Work
from fr_web.console.works import Works
from fr_web.packing import Unreadable, packed, unpacked
from fr_web.shelf import SharedShelf
from support.ledger import KEY, OTHER_KEY
from support.postgres import Cluster

NAME = bytes(32)


@dataclass
class World:
    """A database, and the shelves of servers on it."""

    database: Postgres
    close: list[Callable[[], None]] = field(default_factory=list)

    def shelf(self, key: KeyEncryptionKey = KEY) -> Shelf:
        made = open_shelf(self.database, key)
        self.close.append(made.close)
        return made

    def execute(self, sql: str) -> None:
        with closing(Registry(self.database, 5.0)) as registry:
            registry.run(sql)

    @asynccontextmanager
    async def site(self) -> AsyncIterator[SharedShelf]:
        """The shelf as the HTTP interface of one server sees it."""
        server = ShelfServer(self.shelf())
        shared = await SharedShelf.open(os.dup(server.other.fileno()))
        server.passed_on()
        try:
            yield shared
        finally:
            await shared.close()
            await server.close()

    def run(self, work: Callable[[SharedShelf, SharedShelf], Coroutine[Any, Any, None]]) -> None:
        """Run work with the shelves of two servers."""

        async def both() -> None:
            async with self.site() as one, self.site() as two:
                await work(one, two)

        asyncio.run(both())


@pytest.fixture
def world(postgres: Cluster) -> Iterator[World]:
    made = World(postgres.database())
    yield made
    for close in made.close:
        close()


def test_a_value_is_there_until_its_time_is_over(world: World) -> None:
    one, two = world.shelf(), world.shelf()
    assert one.get(NAME) is None
    assert one.put(NAME, b"first", 0, 600.0, 3_600.0) == 1
    found = two.get(NAME, 600.0)
    assert found is not None
    assert (found.value, found.version) == (b"first", 1)
    assert 0 <= found.age_s < 60
    world.execute("UPDATE shelf SET expires = clock_timestamp()")
    assert one.get(NAME, 600.0) is None
    assert one.put(NAME, b"later", 1, 600.0, 3_600.0) == 0
    assert two.take(NAME) is None
    assert one.put(NAME, b"new", 0, 600.0, 3_600.0) == 1


def test_reading_lengthens_the_time_of_a_value_but_not_its_end(world: World) -> None:
    one = world.shelf()
    one.put(NAME, b"x", 0, 600.0, 3_600.0)
    world.execute("UPDATE shelf SET expires = expires - interval '5 minutes'")
    assert one.get(NAME) is not None
    left = "SELECT (expires - clock_timestamp()) > interval '9 minutes', expires <= ends FROM shelf"
    with closing(Registry(world.database, 5.0)) as registry:
        assert registry.run(left) == [(False, True)]
        assert one.get(NAME, 600.0) is not None
        assert registry.run(left) == [(True, True)]
        registry.run(
            "UPDATE shelf SET ends = clock_timestamp() + interval '1 minute', expires = clock_timestamp()"
            " + interval '30 seconds'"
        )
        assert one.get(NAME, 600.0) is not None
        assert registry.run(left) == [(False, True)]


def test_a_version_is_changed_once_and_a_value_taken_once(world: World) -> None:
    one, two = world.shelf(), world.shelf()
    assert one.put(NAME, b"x", 0, 60.0, 60.0) == 1
    assert two.put(NAME, b"y", 0, 60.0, 60.0) == 0
    assert two.put(NAME, b"y", 1, 60.0, 60.0) == 2
    assert one.put(NAME, b"z", 1, 60.0, 60.0) == 0
    assert [one.take(NAME), two.take(NAME)] == [b"y", None]


def test_servers_share_a_secret_under_the_key_of_the_stores(world: World) -> None:
    secret = world.shelf().secret
    assert len(secret) == 32
    assert world.shelf().secret == secret
    changed = world.shelf(OTHER_KEY).secret  # after the key was changed
    assert changed != secret
    assert world.shelf(OTHER_KEY).secret == changed


def test_sites_add_a_name_once(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        assert [await one.add("state", 60.0), await two.add("state", 60.0), await two.add("other", 60.0)] == [
            True,
            False,
            True,
        ]
        assert one.secret == two.secret

    world.run(work)


def test_a_database_that_fails_is_said_so_and_comes_back(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        world.execute("ALTER TABLE shelf RENAME TO gone")
        with pytest.raises(FrApiError, match="does not answer") as caught:
            await one.get("x")
        assert caught.value.reason == "STORE_FAILED"
        world.execute("ALTER TABLE gone RENAME TO shelf")
        assert await one.get("x") is None

    world.run(work)


def person() -> Session:
    return Session("key", "code", "key:1", frozenset({access_pb2.ROLE_OPERATOR}))


def test_two_requests_at_once_each_keep_what_they_have_changed(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        first, second = SharedSessions(one), SharedSessions(two)
        session_id = first.begin(person())
        await first.store(session_id)
        await second.fetch(session_id)
        here, there = first.find(session_id), second.find(session_id)
        assert here is not None
        assert there is not None
        assert (there.key, there.code, there.who, there.roles) == ("key", "code", "key:1", person().roles)
        here.sittings["pairs"] = "s1"
        here.drafts["a"] = frozenset({"x"})
        there.inquiry = Inquiry(common_pb2.PURPOSE_INVESTIGATION, "AZ 1")
        there.drafts["b"] = {"trial": "notes"}
        await first.store(session_id)
        await second.store(session_id)
        for sessions in (first, second):
            await sessions.fetch(session_id)
            found = sessions.find(session_id)
            assert found is not None
            assert (found.sittings, found.inquiry) == (
                {"pairs": "s1"},
                Inquiry(common_pb2.PURPOSE_INVESTIGATION, "AZ 1"),
            )
            assert found.drafts == {"a": frozenset({"x"}), "b": {"trial": "notes"}}

    world.run(work)


def test_the_same_person_finds_drafts_again_on_another_server(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        first, second = SharedSessions(one), SharedSessions(two)
        session_id = first.begin(begun := person())
        begun.drafts["a"] = "notes"
        await first.store(session_id)
        first.end(session_id)
        await first.store(session_id)
        assert await two.get(f"session {session_id}") is None
        again = second.begin(person())
        await second.store(again)
        await second.fetch(again)
        found = second.find(again)
        assert found is not None
        assert found.drafts == {"a": "notes"}

    world.run(work)


def test_a_session_that_ended_elsewhere_is_not_brought_back(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        first, second = SharedSessions(one), SharedSessions(two)
        session_id = first.begin(person())
        await first.store(session_id)
        await second.fetch(session_id)
        left = second.find(session_id)
        assert left is not None
        first.end(session_id)
        await first.store(session_id)
        left.inquiry = Inquiry(common_pb2.PURPOSE_INVESTIGATION, "AZ 1")
        await second.store(session_id)  # of a request that was at work meanwhile
        assert second.holds(session_id)
        await second.refresh(session_id)
        assert not second.holds(session_id)
        await first.fetch(session_id)
        assert first.find(session_id) is None

    world.run(work)


async def finds(works: Works, name: str, said: object) -> None:
    """Wait until a work has a state."""
    for _ in range(3_000):
        if await works.find(name) == said:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await works.find(name))


def test_work_is_followed_and_stopped_from_another_server(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        here, there = Works(one), Works(two)
        state, go_on, was_stopped = Work(runs=True), asyncio.Event(), asyncio.Event()

        async def at_work() -> None:
            state.done = 7
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                was_stopped.set()
                raise
            state.made, state.runs = "c1", False

        assert await here.begin("first", state, at_work)
        assert not await there.begin("first", Work(), at_work)  # no course is made twice
        await finds(there, "first", Work(runs=True, done=7))
        assert (here.runs_here("first"), there.runs_here("first")) == (True, False)
        go_on.set()
        for works in (there, here):
            await finds(works, "first", Work(done=7, made="c1"))
        go_on.clear()
        assert await here.begin("second", state, at_work)
        await there.stop("second")
        assert await there.find("second") is None
        await asyncio.wait_for(was_stopped.wait(), 30)
        await finds(here, "second", None)

    world.run(work)


def test_work_that_could_not_begin_is_none_and_can_begin_later(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        here, state = Works(one), Work(runs=True)

        async def at_work() -> None:
            state.runs = False

        await asyncio.to_thread(world.execute, "ALTER TABLE shelf RENAME TO away")
        with pytest.raises(FrApiError):
            await here.begin("first", state, at_work)
        assert not here.runs_here("first")
        await asyncio.to_thread(world.execute, "ALTER TABLE away RENAME TO shelf")
        assert await here.find("first") is None
        assert await here.begin("first", state, at_work)
        await finds(Works(two), "first", Work())

    world.run(work)


def test_the_end_of_work_is_told_although_an_answer_of_the_database_was_lost(world: World) -> None:
    async def work(one: SharedShelf, two: SharedShelf) -> None:
        here, there = Works(one), Works(two)
        state, go_on = Work(runs=True), asyncio.Event()

        async def at_work() -> None:
            await go_on.wait()
            state.made, state.runs = "c1", False

        assert await here.begin("first", state, at_work)
        found = await one.get("work first")
        assert found is not None
        assert await one.put("work first", found.value, found.version, 60.0, 60.0)  # written, and its answer lost
        go_on.set()
        await finds(there, "first", Work(made="c1"))

    world.run(work)


def test_work_of_a_server_alone_is_kept_and_stopped() -> None:
    async def work() -> None:
        works, state = Works(None), Work(runs=True)

        async def at_work() -> None:
            state.made, state.runs = "c1", False

        assert await works.begin("first", state, at_work)
        assert not await works.begin("first", state, at_work)
        await finds(works, "first", Work(made="c1"))
        assert await works.begin("second", state, asyncio.Event().wait)  # type: ignore[arg-type]
        await works.stop("second")
        assert await works.find("second") is None

    asyncio.run(work())


def test_values_of_pages_come_back_as_they_were() -> None:
    told = message("console.time.given", count=3, audience=Audience.COHORT)
    wanted = Wanted(plan="x", dataset={"people": 1})
    opinion = examiner.Opinion("7", 2, "blurred", parts={"eyes": 1})
    for value in (
        {"a": (1, 2.5, None, True, frozenset({"x"}), b"y", [date(2026, 12, 1)])},
        {1: "a number as a key"},
        told,
        Inquiry(common_pb2.PURPOSE_INVESTIGATION, "AZ 1"),
        Draft(wanted),
        Work(failed=("INTERNAL", "X", "words"), forecast=b"x"),
        examiner.Draft(("7",), "notes", {"7": opinion}),
    ):
        assert unpacked(packed(value)) == value
    seen: Any = {"7": ()}
    worked_on = examiner.Draft(("7",), "notes", landmarks=seen)
    assert unpacked(packed(worked_on)).landmarks == {}  # the process detects faces again


def test_nothing_else_is_packed_or_read() -> None:
    for value in (os.system, Registry, object(), person()):
        with pytest.raises(TypeError):
            packed(value)
    for text in ("", "{", '{"os.system": "x"}', '{"builtins.eval": {}}', '{"date": "x"}', '{"a": 1, "b": 2}'):
        with pytest.raises(Unreadable):
            unpacked(text)


class Overtaken(Registry):
    """A registry in which another server deletes the former secret just before this one reads it, once."""

    def __init__(self, server: Postgres, other: Registry) -> None:
        super().__init__(server)
        self._others = [other]

    def run(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        if sql.startswith("SELECT key_id") and self._others:
            self._others.pop().run("DELETE FROM secret")
        return super().run(sql, values)


def test_servers_that_start_at_once_under_another_key(world: World) -> None:
    world.shelf(OTHER_KEY)
    with (
        closing(Registry(world.database)) as other,
        closing(PostgresShelf(Overtaken(world.database, other), KEY)) as overtaken,
    ):
        assert overtaken.secret == world.shelf().secret
