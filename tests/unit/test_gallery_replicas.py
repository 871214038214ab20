"""Several servers on one database: what one commits, the others search, or refuse to search in time."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.errors import (
    ErasureUnconfirmed,
    InternalError,
    InvalidField,
    ReplicaBehind,
    UnknownGallery,
    UnknownSubject,
)
from fr_core.gallery import replica
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import SubjectFilter
from fr_core.gallery.search import following
from fr_core.gallery.store.lag import lags_of
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Deleted, Enrolled, Enrolment, Erased, GalleryUpdate, NewTemplate, SubjectUpdate
from fr_core.gallery.versions import version_of, version_token
from fr_core.storage.audit.verify import require_unbroken
from fr_core.storage.leases import Leases
from fr_core.storage.location import Location, Postgres
from fr_core.storage.members import Itself, Members
from fr_core.storage.opening import open_members, open_shared
from fr_core.storage.postgres.members import PostgresMembers
from fr_core.storage.postgres.registry import Registry
from support.faults import until
from support.ledger import GALLERY, KEY, MODEL, SIZE, embedding
from support.postgres import Cluster
from support.stores import content, outside

NEVER_S = 3_600.0


def opened(location: Location) -> Galleries:
    return Galleries.open(location, key=KEY, index="numpy")


@pytest.fixture
def database(postgres: Cluster) -> Postgres:
    return postgres.database()


@pytest.fixture
def pair(database: Postgres) -> Iterator[tuple[Galleries, Galleries]]:
    """Two servers of a gallery; the second looks for changes only when a search needs them."""
    with opened(database) as one, opened(replace(database, follow_interval_s=NEVER_S, follow_timeout_s=10.0)) as other:
        one.create(GALLERY, "", MODEL, SIZE)
        yield one, other


def enrolment(number: int, subject_id: str = "", **metadata: str) -> Enrolment:
    return Enrolment(subject_id or f"s{number}", NewTemplate(embedding(number), f"{number:064x}"), metadata=metadata)


def enrol(galleries: Galleries, *numbers: int) -> list[int]:
    return [galleries.enrol(GALLERY, enrolment(number)).template_id for number in numbers]


def found(galleries: Galleries, number: int = 0, among: SubjectFilter | None = None) -> dict[str, int]:
    """Return the subjects that a search finds, with their best templates."""
    answer = galleries.search(GALLERY, embedding(number), 100, -1.0, among=among)
    assert answer.identification.gallery_version <= galleries.get(GALLERY).version
    return {candidate.subject_id: candidate.template_id for candidate in answer.identification.candidates}


def test_each_change_shows_on_the_other_server_at_once(pair: tuple[Galleries, Galleries]) -> None:
    one, other = pair
    assert found(other) == {}
    first, second = enrol(one, 1, 2)
    assert found(other) == {"s1": first, "s2": second}
    (third,) = enrol(other, 3)  # numbers go on where the other server has left off
    assert third == second + 1
    kept = one.enrol_many(GALLERY, [enrolment(number) for number in range(4, 30)])
    templates = [outcome.template_id for outcome in kept if isinstance(outcome, Enrolled)]
    assert templates == list(range(third + 1, third + 27))
    assert found(one) == found(other)
    assert len(found(other)) == 29
    other.delete_template(GALLERY, first)
    assert "s1" not in found(one)
    one.delete_subject(GALLERY, "s2")
    other.erase_subject(GALLERY, "s3")
    assert found(one) == found(other)
    assert set(found(other)) == {f"s{number}" for number in range(4, 30)}
    with pytest.raises(UnknownSubject):
        one.subject(GALLERY, "s3")


def test_names_filters_and_galleries_show_on_the_other_server(pair: tuple[Galleries, Galleries]) -> None:
    one, other = pair
    enrol(one, 1, 2)
    other.update_subject(GALLERY, "s1", SubjectUpdate(metadata={"unit": "north"}))
    assert set(found(one, among=SubjectFilter({"unit": "north"}))) == {"s1"}
    one.update(GALLERY, GalleryUpdate(display_name="Renamed"))
    assert other.get(GALLERY).display_name == "Renamed"
    assert len(found(other)) == 2
    other.delete(GALLERY)
    with pytest.raises(UnknownGallery):
        found(one)
    one.create(GALLERY, "", MODEL, SIZE)
    assert found(other) == {}
    (template,) = enrol(other, 5)
    assert found(one) == {"s5": template}


def test_changes_that_come_and_go_between_two_looks(pair: tuple[Galleries, Galleries]) -> None:
    one, other = pair
    enrol(one, *range(10))
    assert len(found(other)) == 10
    for number in range(10, 20):
        enrol(one, number)
        one.delete_subject(GALLERY, f"s{number}")
    one.delete_subject(GALLERY, "s9")
    assert set(found(other)) == {f"s{number}" for number in range(9)}


def test_a_server_that_the_log_no_longer_serves_reads_the_gallery_anew(
    pair: tuple[Galleries, Galleries], database: Postgres
) -> None:
    one, other = pair
    enrol(one, *range(5))
    assert len(found(other)) == 5
    one.delete_subject(GALLERY, "s0")
    one.delete_subject(GALLERY, "s1")
    enrol(one, 7)
    outside(database, SCHEMA, "DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)")
    assert set(found(other)) == {"s2", "s3", "s4", "s7"}
    enrol(other, 8)
    assert set(found(one)) == {"s2", "s3", "s4", "s7", "s8"}
    assert len(found(other)) == 5
    one.delete_subject(GALLERY, "s8")
    enrol(one, 9)
    one.update(GALLERY, GalleryUpdate(display_name="As many templates as before"))
    outside(database, SCHEMA, "DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)")
    assert set(found(other)) == {"s2", "s3", "s4", "s7", "s9"}


@pytest.mark.parametrize("column", ["removed = '[]'", "first_template = NULL", "since = since - 1"])
def test_a_log_that_was_altered_is_not_followed(
    pair: tuple[Galleries, Galleries], database: Postgres, column: str
) -> None:
    one, other = pair
    enrol(one, *range(5))
    assert len(found(other)) == 5
    one.delete_subject(GALLERY, "s0")
    enrol(one, 7)
    outside(database, SCHEMA, f"UPDATE changes SET {column} WHERE seq > 6")
    with pytest.raises(InternalError):
        found(other)
    other.create("h", "", MODEL, SIZE)  # the control: other galleries go on
    assert other.search("h", embedding(1), 1, 0.0).searched_templates == 0


def test_the_log_holds_no_data_of_a_person(database: Postgres) -> None:
    with opened(database) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
        galleries.enrol(GALLERY, enrolment(1, "Erika Mustermann", unit="north"))
        galleries.erase_subject(GALLERY, "Erika Mustermann")
    rows = outside(database, SCHEMA, "SELECT * FROM changes ORDER BY seq")
    assert [len(row) for row in rows] == [8, 8, 8]
    assert all(isinstance(value, (int, bytes, type(None))) or set(value) <= set("[]0123456789, ") for value in rows[2])
    assert b"Erika" not in content(database, SCHEMA)


def test_a_store_in_a_folder_keeps_no_log(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with opened(folder) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
        enrol(galleries, 1)
    assert outside(folder, SCHEMA, "SELECT count(*) FROM changes") == [(0,)]


@contextmanager
def log_locked(database: Postgres) -> Iterator[None]:
    """Keep everybody from the log of changes within the block."""
    with psycopg.connect(database.url) as connection:
        connection.execute("LOCK TABLE fr_galleries.changes IN ACCESS EXCLUSIVE MODE")
        yield


def test_a_search_that_cannot_see_the_newest_version_is_refused_in_time(database: Postgres) -> None:
    with opened(database) as one, opened(replace(database, follow_interval_s=NEVER_S, follow_timeout_s=0.3)) as other:
        one.create(GALLERY, "", MODEL, SIZE)
        enrol(one, 1)
        assert len(found(other)) == 1
        enrol(one, 2)
        with log_locked(database), pytest.raises(ReplicaBehind):
            found(other)
        assert len(found(other)) == 2


def test_servers_that_write_at_once_take_turns_and_agree(database: Postgres) -> None:
    with opened(database) as one, opened(database) as two, opened(database) as three:
        one.create(GALLERY, "", MODEL, SIZE)
        servers, barrier = (one, two, three), threading.Barrier(6)

        def work(hand: int) -> list[int]:
            galleries = servers[hand % 3]
            barrier.wait()
            made = []
            for number in range(hand * 100, hand * 100 + 12):
                made += enrol(galleries, number)
                assert f"s{number}" in found(galleries, number)
                if number % 4 == 0:
                    galleries.erase_subject(GALLERY, f"s{number}")
            return made

        with ThreadPoolExecutor(6) as pool:
            ids = [template_id for made in pool.map(work, range(6)) for template_id in made]
        assert len(set(ids)) == len(ids) == 72
        expected = {f"s{n}" for hand in range(6) for n in range(hand * 100, hand * 100 + 12) if n % 4}
        assert set(found(one)) == set(found(two)) == set(found(three)) == expected
        with one.auditing() as audit:
            assert require_unbroken(audit) == 1 + 72 + 18


@pytest.fixture
def silent(database: Postgres) -> Iterator[Members]:
    """A server that has read the galleries, and says nothing of what it has applied since."""
    with closing(open_members(database, Itself("silent", "", "1"))) as members:
        members.note(following.SCOPE, 0)
        members.flush()
        yield members


def test_an_erasure_does_not_wait_for_a_server_that_still_reads_the_galleries(database: Postgres) -> None:
    with opened(database) as galleries, closing(open_members(database, Itself("begins", "", "1"))) as members:
        galleries.create(GALLERY, "", MODEL, SIZE)
        enrol(galleries, 1)
        assert len(members.members()) == 2
        assert galleries.erase_subject(GALLERY, "s1").templates == 1


def test_an_erasure_returns_when_every_server_has_applied_it_or_is_gone(database: Postgres, silent: Members) -> None:
    with opened(database) as one, opened(database) as other, ThreadPoolExecutor(3) as pool:
        one.create(GALLERY, "", MODEL, SIZE)
        one.create("h", "", MODEL, SIZE)
        enrol(one, 1, 2)
        one.delete_subject(GALLERY, "s2")  # which tells nobody that nothing is left
        erasures: list[Future[Erased] | Future[Deleted]] = [
            pool.submit(one.erase_subject, GALLERY, "s1"),
            pool.submit(other.delete, "h"),
        ]
        until(lambda: found(other) == {})
        for erasure in erasures:
            with pytest.raises(NotYet):
                erasure.result(0.3)
        silent.leave()
        assert [type(erasure.result(10)).__name__ for erasure in erasures] == ["Erased", "Deleted"]


def test_an_erasure_that_is_not_confirmed_says_so_until_it_is(
    database: Postgres, silent: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_CONFIRMED_S", 0.3)
    with opened(database) as one:
        one.create(GALLERY, "", MODEL, SIZE)
        enrol(one, 1)
        for _ in range(2):  # the second time there is nothing left to erase
            with pytest.raises(ErasureUnconfirmed, match="every server has confirmed"):
                one.erase_subject(GALLERY, "s1")
        silent.leave()
        with pytest.raises(UnknownSubject):
            one.erase_subject(GALLERY, "s1")


def test_a_server_that_others_may_take_for_gone_answers_no_search(database: Postgres) -> None:
    now_s = [1_000.0]
    members = PostgresMembers(Registry(database, 5.0), Itself("one", "", "1"), 10.0, lambda: now_s[0])
    with (
        closing(members),
        opened(database) as other,
        Galleries.open(database, key=KEY, index="numpy", members=members) as galleries,
    ):
        galleries.create(GALLERY, "", MODEL, SIZE)
        enrol(galleries, 1)
        assert len(found(galleries)) == 1
        now_s[0] += 11.0
        with pytest.raises(ReplicaBehind, match="lost contact"):
            found(galleries)
        assert galleries.get(GALLERY).template_count == 1  # what comes from the database itself
        other.delete_subject(GALLERY, "s1")
        members.beat()  # a new term, in which the changes of others are applied first

        def answers() -> bool:
            try:
                return found(galleries) == {}
            except ReplicaBehind:
                return False

        until(answers)


def test_what_every_server_has_applied_is_pruned_from_the_log(
    database: Postgres, silent: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_PRUNE_EVERY_S", 0.0)

    def log() -> list[int]:
        return [seq for (seq,) in outside(database, SCHEMA, "SELECT seq FROM changes ORDER BY 1")]

    with opened(database) as one, opened(database) as other:
        one.create(GALLERY, "", MODEL, SIZE)
        enrol(one, 1, 2)
        enrol(other, 3)
        with pytest.raises(AssertionError):  # the control: a server that has not applied it keeps the log
            until(lambda: len(log()) < 4, 2.5)
        silent.leave()
        until(lambda: log() == [4])
        enrol(other, 4)
        assert len(found(one)) == 4
        until(lambda: log() == [5])


def test_one_server_purges_what_has_expired(database: Postgres, tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with Galleries.open(database, key=KEY, index="numpy", clock=lambda: now) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE, retention=timedelta(days=1))
        enrol(galleries, 1)
    now += timedelta(days=2)
    leases: Leases = open_shared(database, tmp_path)[0]
    with closing(leases):
        lease = leases.take("purge_galleries", 60.0)
        assert lease is not None
        with Galleries.open(database, key=KEY, index="numpy", clock=lambda: now) as galleries:
            assert galleries.get(GALLERY).template_count == 1  # another server is about to
        leases.release(lease)
    with Galleries.open(database, key=KEY, index="numpy", clock=lambda: now) as galleries:
        assert galleries.get(GALLERY).template_count == 0


def test_a_server_keeps_the_purge_until_it_ends(database: Postgres, tmp_path: Path) -> None:
    with closing(open_shared(database, tmp_path, "other")[0]) as others:
        with opened(database), opened(database):
            assert others.take("purge_galleries", 60.0) is None
            assert "purge_galleries" in others.holders()
        assert others.take("purge_galleries", 60.0) is not None


def test_a_token_makes_a_reader_wait_for_its_version_or_be_refused(location: Location) -> None:
    with opened(location) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
        enrolled = galleries.enrol(GALLERY, enrolment(1))
        token = version_token(enrolled.gallery_no, enrolled.gallery_version)
        galleries.require_version(GALLERY, token)
        deleted = galleries.delete(GALLERY)
        for of_the_deleted in (token, version_token(deleted.gallery_no, deleted.gallery_version)):
            galleries.require_version(GALLERY, of_the_deleted)  # whoever reads now learns that it is gone
        galleries.create(GALLERY, "", MODEL, SIZE)
        galleries.require_version(GALLERY, token)  # a later gallery is no older one
        assert galleries.get(GALLERY).version == 1 < enrolled.gallery_version


def test_a_token_that_the_store_does_not_reach_is_refused_in_time(database: Postgres) -> None:
    with opened(replace(database, follow_timeout_s=0.2)) as galleries, ThreadPoolExecutor(1) as pool:
        for ahead in (version_token(1, 1), version_token(1, 2)):
            with pytest.raises(ReplicaBehind):
                galleries.require_version(GALLERY, ahead)
        galleries.create(GALLERY, "", MODEL, SIZE)
        with opened(replace(database, follow_timeout_s=60.0)) as patient:
            waiting = pool.submit(patient.require_version, GALLERY, version_token(1, 2))
            with pytest.raises(NotYet):
                waiting.result(0.2)
            enrol(galleries, 1)
            waiting.result(10)


@settings(max_examples=200)
@given(st.integers(0, 2**62), st.integers(1, 2**62), st.text(max_size=40))
def test_a_token_comes_back_whole_or_not_at_all(gallery_no: int, version: int, other: str) -> None:
    token = version_token(gallery_no, version)
    assert version_of(token) == (gallery_no, version)
    for broken in (token[:-1], token + "A", other, token.swapcase(), ""):
        if broken != token:
            with pytest.raises(InvalidField, match="token"):
                version_of(broken)


def test_the_lag_of_a_server_is_told_by_gallery(database: Postgres) -> None:
    assert lags_of(database, [0]) == [()]  # there is no store yet
    with opened(database) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
        galleries.create("h", "", MODEL, SIZE)
        enrol(galleries, 1, 2, 3)
        galleries.delete("h")
    nothing, some, everything = lags_of(database, [6, 4, 0])
    assert nothing == ()
    assert [(lag.gallery_id, lag.versions) for lag in some] == [(GALLERY, 1), ("", 1)]
    assert [(lag.gallery_id, lag.versions) for lag in everything] == [(GALLERY, 4), ("", 2)]
    assert 0 <= some[1].seconds <= some[0].seconds <= everything[0].seconds < 600
