"""Three servers on one database and one Milvus answer as a plain model does, by day in Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.errors import IndexUnavailable
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.protocol import best_first, exact_similarity
from fr_core.gallery.search.following import SCOPE
from fr_core.gallery.values import Enrolled, Enrolment, NewTemplate
from fr_core.storage.location import Postgres
from fr_core.storage.members import Itself
from fr_core.storage.opening import open_members
from fr_core.types import F32, Embedding
from support.counts import NIGHTLY
from support.faults import until
from support.indexes import crowd
from support.ledger import GALLERY, KEY, MODEL
from support.milvus import lite, milvus_server, settings_of
from support.postgres import Cluster

SERVERS = 3
SIZE = 32
PEOPLE = 400  # more than a server compares by itself
LONGEST_S = 120.0


@pytest.fixture(params=["lite", "server"])
def milvus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MilvusSettings]:
    if request.param == "lite":
        settings = settings_of(lite(tmp_path), compact_every_s=0.0, watch_every_s=3_600.0)
        _client(settings)  # Milvus Lite begins with the first connection, of which there must be one at a time
        yield settings
        return
    with milvus_server() as server:
        yield settings_of(server.uri, compact_every_s=0.0, watch_every_s=3_600.0)


class Fleet:
    """Servers on one database and one Milvus, and the templates that they must find: id to (subject, vector)."""

    def __init__(self, database: Postgres, milvus: MilvusSettings) -> None:
        self._database, self._milvus = database, milvus
        self._opened = ExitStack()
        self.rng = np.random.default_rng(7)
        self.servers = [self.open() for _ in range(SERVERS)]
        self.templates: dict[int, tuple[str, F32]] = {}
        self._made = 0

    def open(self) -> Galleries:
        return self._opened.enter_context(Galleries.open(self._database, key=KEY, index=self._milvus))

    def close(self) -> None:
        self._opened.close()

    def any(self) -> Galleries:
        return self.servers[self.rng.integers(len(self.servers))]

    def enrol(self, n: int) -> None:
        vectors = crowd(self.rng, n, SIZE, 100, 0.2)
        names = [f"s{self._made + number}" for number in range(n)]
        self._made += n
        kept = self.any().enrol_many(
            GALLERY,
            [Enrolment(name, NewTemplate(Embedding(one, MODEL))) for name, one in zip(names, vectors, strict=True)],
        )
        for name, vector, outcome in zip(names, vectors, kept, strict=True):
            assert isinstance(outcome, Enrolled)
            self.templates[outcome.template_id] = name, vector

    def erase(self, n: int) -> list[F32]:
        """Erase people at any server; return their vectors."""
        gone = self.rng.choice(sorted(self.templates), n, replace=False).tolist()
        for template_id in gone:
            self.any().erase_subject(GALLERY, self.templates[template_id][0])
        return [self.templates.pop(template_id)[1] for template_id in gone]

    def agree(self, probes: list[F32], k: int = 20) -> None:
        """Search at every server, and compare with an exact search of the model."""
        ids = np.array(sorted(self.templates), dtype=np.int64)
        vectors = np.stack([self.templates[number][1] for number in ids.tolist()])
        for probe in probes:
            expected = best_first(ids, exact_similarity(vectors, probe), k)
            for server in self.servers:
                found = server.search(GALLERY, Embedding(probe, MODEL), k, -1.0)
                assert found.exhaustive
                candidates = found.identification.candidates
                assert [one.template_id for one in candidates] == expected[0].tolist()
                assert [one.similarity for one in candidates] == expected[1].tolist()

    def restart(self, at: int) -> None:
        """End a server as one ends that is stopped, and begin another."""
        self.servers[at].close()
        self.servers[at] = self.open()

    def collections(self) -> list[str]:
        return sorted(_client(self._milvus).list_collections())

    def settled(self) -> None:
        """Wait until every server searches everything in Milvus, and nothing is left to be deleted there."""

        def is_settled() -> bool:
            states = [server.remote for server in self.servers]
            return all(s and s.clean and not (s.pending_vectors or s.pending_deletions or s.incomplete) for s in states)

        until(lambda: all(answers(server, GALLERY) for server in self.servers), LONGEST_S)  # which now have followed
        until(is_settled, LONGEST_S)


def answers(server: Galleries, gallery: str) -> bool:
    """Return whether a server searches a gallery now, rather than that Milvus is being compared."""
    try:
        server.search(gallery, Embedding(np.eye(1, SIZE, dtype=np.float32)[0], MODEL), 1, -1.0)
    except IndexUnavailable:
        return False
    return True


def _client(milvus: MilvusSettings) -> Any:
    from pymilvus import MilvusClient

    return MilvusClient(milvus.uri)


@contextmanager
def fleet_of(database: Postgres, milvus: MilvusSettings) -> Iterator[Fleet]:
    fleet = Fleet(database, milvus)
    try:
        fleet.servers[0].create(GALLERY, "", MODEL, SIZE)
        yield fleet
    finally:
        fleet.close()


def test_each_server_answers_as_the_exact_search_and_none_with_what_was_erased(
    postgres: Cluster, milvus: MilvusSettings
) -> None:
    with fleet_of(postgres.database(), milvus) as fleet:
        fleet.enrol(PEOPLE)
        fleet.settled()
        for _ in range(20 if NIGHTLY else 3):
            gone = fleet.erase(5)
            fleet.agree([*gone[:2], *crowd(fleet.rng, 2, SIZE, 100, 0.2)])  # some are in Milvus still
            fleet.enrol(30)
            fleet.agree([*gone[2:], *crowd(fleet.rng, 2, SIZE, 100, 0.2)])
            fleet.settled()
            fleet.agree([*gone[2:], *crowd(fleet.rng, 2, SIZE, 100, 0.2)])
        fleet.agree([*crowd(fleet.rng, 5, SIZE, 100, 0.2)])
        fleet.agree([*crowd(fleet.rng, 2, SIZE, 100, 0.2)], k=len(fleet.templates))


def test_a_server_that_begins_searches_what_is_there_and_one_that_ends_leaves_the_writing_to_another(
    postgres: Cluster, milvus: MilvusSettings
) -> None:
    with fleet_of(postgres.database(), milvus) as fleet:
        fleet.enrol(PEOPLE)
        fleet.settled()
        before = fleet.collections()
        assert len(before) == 1
        for at in range(SERVERS):  # one of them writes
            fleet.enrol(30)
            fleet.restart(at)
            fleet.agree(list(crowd(fleet.rng, 2, SIZE, 100, 0.2)))
            fleet.erase(3)
        fleet.settled()
        fleet.agree(list(crowd(fleet.rng, 3, SIZE, 100, 0.2)))
        assert fleet.collections() == before


def test_a_gallery_that_another_server_makes_or_deletes_is_followed(postgres: Cluster, milvus: MilvusSettings) -> None:
    with fleet_of(postgres.database(), milvus) as fleet:
        fleet.enrol(PEOPLE)
        fleet.settled()
        for server in fleet.servers:
            server.delete(GALLERY)
            fleet.templates.clear()
            fleet.servers[0].create(GALLERY, "", MODEL, SIZE)
            fleet.enrol(PEOPLE)
            fleet.agree(list(crowd(fleet.rng, 2, SIZE, 100, 0.2)))
        fleet.settled()
        fleet.agree(list(crowd(fleet.rng, 2, SIZE, 100, 0.2)))
        until(lambda: len(fleet.collections()) == 1, LONGEST_S)


def test_what_milvus_has_lost_or_exchanged_is_put_right_for_every_server(
    postgres: Cluster, milvus: MilvusSettings
) -> None:
    milvus = replace(milvus, watch_every_s=2.0)
    with fleet_of(postgres.database(), milvus) as fleet:
        fleet.enrol(PEOPLE)
        fleet.settled()
        (name,) = fleet.collections()
        ids = sorted(fleet.templates)
        _client(milvus).delete(name, ids=ids[:40])
        until(lambda: _held(milvus, name) == PEOPLE, LONGEST_S)
        fleet.settled()
        fleet.agree([fleet.templates[number][1] for number in ids[:3]])
        # Milvus says that the first template looks like the last: a search that meets it has all made anew.
        rows = _client(milvus).get(name, ids=[ids[0], ids[-1]], output_fields=["*"], consistency_level="Strong")
        first, last = sorted(rows, key=lambda row: int(row["id"]))
        _client(milvus).upsert(name, [{**first, "vector": last["vector"]}])
        assert _held(milvus, name) == PEOPLE  # waits for it
        probe = Embedding(fleet.templates[ids[-1]][1], MODEL)
        with pytest.raises(IndexUnavailable):
            until(lambda: fleet.servers[1].search(GALLERY, probe, 5, -1.0) is None, LONGEST_S)
        until(lambda: fleet.collections() != [name] and len(fleet.collections()) == 1, LONGEST_S)
        fleet.settled()
        fleet.agree([fleet.templates[number][1] for number in (ids[0], ids[-1])])


def test_milvus_keeps_a_removed_vector_while_another_server_may_search_a_version_with_it(
    postgres: Cluster, milvus: MilvusSettings
) -> None:
    database = postgres.database()
    with fleet_of(database, milvus) as fleet, closing(open_members(database, Itself("slow", "", "1"))) as slow:
        fleet.enrol(PEOPLE)
        fleet.settled()
        (name,) = fleet.collections()
        slow.note(SCOPE, 0)  # it has followed nothing yet
        slow.flush()
        fleet.servers[0].delete_subject(GALLERY, "s7")
        fleet.enrol(10)
        until(lambda: _held(milvus, name) == PEOPLE + 10, LONGEST_S)  # written after the deletion was known
        assert not all(server.remote and server.remote.pending_deletions == 0 for server in fleet.servers)
        slow.leave()
        until(lambda: _held(milvus, name) == PEOPLE + 9, LONGEST_S)


def _held(milvus: MilvusSettings, name: str) -> int:
    (row,) = _client(milvus).query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    return int(row["count(*)"])
