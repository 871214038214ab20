"""The server that writes to Milvus is killed while it writes; the others go on, and one of them takes over.

Run as a script, this file is that server: it enrols without a pause. The control tells the others that Milvus has
vectors some of which it never wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.errors import IndexUnavailable
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.milvus_link import Collection
from fr_core.gallery.index.protocol import best_first, exact_similarity
from fr_core.gallery.values import Enrolled, Enrolment, NewTemplate
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_shared
from fr_core.types import F32, I64
from support.commands import script
from support.counts import count
from support.faults import until
from support.ledger import GALLERY, KEY, MODEL, SIZE, embedding
from support.milvus import MilvusServer, milvus_server, settings_of
from support.postgres import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

TOGETHER = 150
ACKNOWLEDGED = 3_000
LONGEST_S = 120.0


def _leave_some_out() -> None:
    write = Collection.write

    def partly(collection: Collection, ids: I64, tags: I64, vectors: F32, new: bool) -> None:
        kept = ids % 7 != 0
        write(collection, ids[kept], tags[kept], vectors[kept], new)

    setattr(Collection, "write", partly)  # noqa: B010 - mypy refuses to replace a method


def _write(uri: str, url: str, how: str) -> None:
    """Enrol until killed; print the ids of templates that were acknowledged, and how many Milvus lacks."""
    if how == "lies":
        _leave_some_out()
    with Galleries.open(Postgres(url), key=KEY, index=settings_of(uri)) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
        first = 1
        while True:
            seeds = range(first, first + TOGETHER)
            first += TOGETHER
            made = [Enrolment(f"s{seed}", NewTemplate(embedding(seed))) for seed in seeds]
            ids = [one.template_id for one in galleries.enrol_many(GALLERY, made) if isinstance(one, Enrolled)]
            assert galleries.remote is not None
            print(galleries.remote.pending_vectors, *ids, flush=True)  # noqa: T201 - read by the test


class Killed:
    """A server that wrote to Milvus, and what it acknowledged before it was killed."""

    def __init__(self, server: MilvusServer, database: Postgres, how: str) -> None:
        self._server, self._database = server, database
        self.templates: dict[int, int] = {}  # id to seed
        self._opened = ExitStack()
        self._process = self._opened.enter_context(script(__file__, server.uri, database.url, how))
        assert self._process.stdout is not None
        self._lines: Iterator[str] = iter(self._process.stdout)

    def __enter__(self) -> Killed:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def read(self) -> int:
        """Note what it acknowledges next; return how many vectors Milvus lacked."""
        lacked, *ids = map(int, next(self._lines).split())
        for template_id in ids:
            self.templates[template_id] = len(self.templates) + 1
        return lacked

    def others(self) -> list[Galleries]:
        """Open two more servers, once this one has the lease."""
        with closing(open_shared(self._database, Path())[0]) as leases:
            until(lambda: "index" in leases.holders() and self.read() >= 0, LONGEST_S)
        settings = settings_of(self._server.uri, watch_every_s=2.0, compact_every_s=0.0)
        return [self._opened.enter_context(Galleries.open(self._database, key=KEY, index=settings)) for _ in range(2)]

    def kill(self) -> None:
        while self.read() == 0 or len(self.templates) < ACKNOWLEDGED:
            pass
        self._process.kill()
        for line in self._lines:  # what was acknowledged before
            for template_id in map(int, line.split()[1:]):
                self.templates[template_id] = len(self.templates) + 1


def found(galleries: Galleries, seed: int, k: int = 10) -> list[tuple[int, float]] | None:
    """Return ids and similarities of the best templates, None while Milvus is compared."""
    try:
        answer = galleries.search(GALLERY, embedding(seed), k, -1.0)
    except IndexUnavailable:
        return None
    return [(one.template_id, one.similarity) for one in answer.identification.candidates]


def expected(templates: dict[int, int], seed: int, k: int = 10) -> list[tuple[int, float]]:
    ids = np.array(sorted(templates), dtype=np.int64)
    vectors = np.stack([embedding(templates[number]).vector for number in ids.tolist()])
    best = best_first(ids, exact_similarity(vectors, embedding(seed).vector), k)
    return list(zip(best[0].tolist(), best[1].tolist(), strict=True))


def wrong(servers: list[Galleries], templates: dict[int, int]) -> list[int]:
    """Return the seeds of probes that a server answers wrongly; every server must answer in time."""
    failed = []
    for seed in [*range(1, len(templates), len(templates) // 15), -1 + len(templates)]:
        for server in servers:
            answers: list[Any] = []
            until(lambda own=server, to=answers, of=seed: bool(to.append(found(own, of)) or to[-1]), LONGEST_S)  # type: ignore[misc]
            if answers[-1] != expected(templates, seed):
                failed.append(seed)
    return failed


def _unacknowledged(servers: list[Galleries], killed: Killed) -> dict[int, int]:
    """Return all templates: the last group may have been kept without an acknowledgement."""
    kept = servers[0].get(GALLERY).template_count
    last, all_of = max(killed.templates), dict(killed.templates)
    for number in range(kept - len(all_of)):
        all_of[last + 1 + number] = len(killed.templates) + 1 + number
    return all_of


def _settled(servers: list[Galleries]) -> bool:
    """Return whether Milvus has everything, and has compacted away what was deleted."""
    states = [server.remote for server in servers]
    return all(one and one.clean and not (one.pending_vectors or one.incomplete) for one in states)


def _held(milvus: MilvusServer, before: set[str]) -> tuple[set[str], list[int]]:
    """Return all collections of Milvus, and how many vectors those hold that were made since."""
    from pymilvus import MilvusClient

    client = MilvusClient(milvus.uri)
    names = set(client.list_collections())
    query = {"filter": "", "output_fields": ["count(*)"], "consistency_level": "Strong"}
    return names, [client.query(name, **query)[0]["count(*)"] for name in names - before]


def _one_death(milvus: MilvusServer, database: Postgres) -> None:
    before, _ = _held(milvus, set())
    with Killed(milvus, database, "sound") as killed:
        servers = killed.others()
        killed.kill()
        templates = _unacknowledged(servers, killed)
        assert len(templates) >= len(killed.templates)
        assert wrong(servers, templates) == []  # nobody writes yet
        for number in sorted(templates)[:50:10]:
            servers[1].erase_subject(GALLERY, f"s{templates.pop(number)}")
        assert wrong(servers, templates) == []
        until(lambda: _held(milvus, before)[1] == [len(templates)], LONGEST_S)
        until(lambda: _settled(servers), LONGEST_S)
        assert wrong(servers, templates) == []


def test_another_server_takes_over_and_nothing_is_lost(postgres: Cluster) -> None:
    with milvus_server() as milvus:
        for _ in range(count("MILVUS_KILLS")):
            _one_death(milvus, postgres.database())


def test_control_a_server_that_says_what_it_has_not_written_is_found_out(postgres: Cluster) -> None:
    with milvus_server() as milvus, Killed(milvus, postgres.database(), "lies") as killed:
        servers = killed.others()
        killed.kill()
        until(lambda: all(found(server, 1) is not None for server in servers), LONGEST_S)
        assert wrong(servers, _unacknowledged(servers, killed)) != []


if __name__ == "__main__":
    _write(sys.argv[1], sys.argv[2], sys.argv[3])
