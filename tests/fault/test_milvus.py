"""A real Milvus server that is killed, away, or holds what it should not; and what it keeps of an erased vector."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from fr_core.errors import IndexUnavailable
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.milvus_indexes import MilvusIndexes
from fr_core.gallery.index.protocol import VectorIndex
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import F32, I64, Embedding
from support.counts import count
from support.indexes import assert_same, crowd
from support.ledger import KEY, MODEL
from support.milvus import (
    MilvusServer,
    answers,
    due,
    indexes_of,
    keep_up,
    keep_up_until,
    milvus_server,
    settings_of,
    truth_of,
)

SIZE = 64
SEARCH_S = 2.0


class Beside:
    """An index in Milvus beside the reference, changed alike."""

    def __init__(self, uri: str, number: int, **settings: float) -> None:
        self.reference = NumpyIndex(SIZE)
        self.rng = np.random.default_rng(number)
        self.live: I64 = np.empty(0, dtype=np.int64)
        self.last = -1
        self.number = number
        self.settings = settings_of(uri, search_timeout_s=SEARCH_S, **settings)
        self.indexes: MilvusIndexes
        self.index: VectorIndex
        self.begin()

    def begin(self) -> None:
        """Begin as a process does: with every id of the truth."""
        self.indexes = indexes_of(self.settings, truth_of(self.reference, lambda: self.live))
        self.index = self.indexes.new(self.number, SIZE)
        self.index.add(self.live, self.reference.vectors(self.live))
        self.indexes.filled()

    def add(self, n: int) -> None:
        ids = self.last + 1 + np.arange(n)
        self.last += n
        vectors = crowd(self.rng, n, SIZE, 500, 0.2)
        for index in (self.reference, self.index):
            index.add(ids, vectors)
        self.live = np.concatenate([self.live, ids])

    def remove(self, n: int) -> I64:
        gone = self.rng.choice(self.live, n, replace=False)
        for index in (self.reference, self.index):
            index.remove(gone)
        self.live = np.setdiff1d(self.live, gone)
        return gone

    def probes(self, n: int = 3) -> F32:
        return crowd(self.rng, n, SIZE, 500, 0.2)

    def agree(self) -> None:
        probes = self.probes()
        assert_same(self.index.search(probes, 10), self.reference.search(probes, 10))


@pytest.fixture
def server() -> Iterator[MilvusServer]:
    # Files that belong to nothing go after seconds, not after three hours.
    tolerance = {"DATACOORD_GC_INTERVAL": "5", "DATACOORD_GC_DROPTOLERANCE": "5", "DATACOORD_GC_MISSINGTOLERANCE": "5"}
    with milvus_server(**tolerance) as running:
        yield running


def test_killed_while_it_is_written_to_milvus_is_whole_again(server: MilvusServer) -> None:
    beside = Beside(server.uri, 1)
    beside.add(2000)
    keep_up(beside.index)
    for _ in range(count("MILVUS_KILLS")):
        beside.add(3000)
        beside.remove(100)
        work = due(beside.index)
        server.kill()  # what is asked for now fails, and what was acknowledged may be lost
        begun = monotonic()
        work.prepare()
        work.finish()
        with pytest.raises(IndexUnavailable):
            beside.index.search(beside.probes(), 10)
        assert monotonic() - begun < 300.0
        beside.add(50)  # the galleries go on
        server.start()
        keep_up_until(beside.index, lambda: answers(beside.index, beside.probes(1)))
        beside.agree()


def test_a_search_is_refused_in_time_while_milvus_is_away(server: MilvusServer) -> None:
    beside = Beside(server.uri, 2)
    beside.add(1000)
    keep_up(beside.index)
    beside.agree()
    server.kill()
    begun = monotonic()
    with pytest.raises(IndexUnavailable) as refused:
        beside.index.search(beside.probes(), 10)
    assert monotonic() - begun < 20 * SEARCH_S
    assert refused.value.reason == "INDEX_UNAVAILABLE"
    few = beside.live[:50]  # so few are compared with the truth
    probes = beside.probes()
    assert_same(beside.index.search(probes, 10, few), beside.reference.search(probes, 10, few))
    server.start()
    keep_up_until(beside.index, lambda: answers(beside.index, beside.probes(1)))
    beside.agree()


def test_what_milvus_has_lost_or_exchanged_is_found_and_put_right(server: MilvusServer) -> None:
    beside = Beside(server.uri, 3, watch_every_s=0.3)
    beside.add(1000)
    keep_up_until(beside.index, lambda: answers(beside.index, beside.probes(1)))
    own = [name for name in _client(server).list_collections() if "_3_" in name]
    _client(server).delete(own[0], filter="id < 200")
    keep_up_until(beside.index, lambda: _count(server, own[0]) == 1000)
    beside.agree()
    # An exchanged vector that is found has another score than the truth says, and all of them are written anew.
    probe = beside.reference.vectors(beside.live[500:501])
    (row,) = _client(server).get(own[0], ids=[700], output_fields=["*"], consistency_level="Strong")
    (other,) = _client(server).get(own[0], ids=[500], output_fields=["*"], consistency_level="Strong")
    _client(server).upsert(own[0], [{**row, "vector": other["vector"]}])
    _count(server, own[0])  # waits for it
    with pytest.raises(IndexUnavailable):
        beside.index.search(probe, 5)
    keep_up_until(beside.index, lambda: answers(beside.index, probe))
    assert_same(beside.index.search(probe, 5), beside.reference.search(probe, 5))


def test_an_erased_vector_leaves_the_segments_of_milvus_and_stays_in_its_message_log(server: MilvusServer) -> None:
    beside = Beside(server.uri, 4, compact_every_s=0.0)
    beside.add(1000)
    keep_up(beside.index)
    (name,) = [name for name in _client(server).list_collections() if "_4_" in name]
    _client(server).flush(name)
    victim = beside.live[123]
    (row,) = _client(server).get(name, ids=[int(victim)], output_fields=["vector"], consistency_level="Strong")
    needle = np.asarray(row["vector"], dtype=np.float32).tobytes()
    before = server.files_with(needle)
    assert any(path.parts[0] == "insert_log" for path in before)  # the control
    probe = beside.reference.vectors(np.array([victim]))
    for index in (beside.reference, beside.index):
        index.remove(np.array([victim]))
    beside.live = np.setdiff1d(beside.live, [victim])
    assert victim not in beside.index.search(probe, 5).ids
    assert not beside.indexes.clean

    def is_gone() -> bool:
        server.revive()  # Milvus 2.3.5 sometimes dies when a compaction ends whose segments are gone
        beside.indexes.tidy()
        return beside.indexes.clean and not any(path.parts[0] == "insert_log" for path in server.files_with(needle))

    keep_up_until(beside.index, is_gone)
    left = {path.parts[0] for path in server.files_with(needle)}
    assert left <= {"rocksmq"}  # as docs/milvus.md says
    assert victim not in beside.index.search(probe, 5).ids


def test_galleries_start_without_milvus_and_recover_by_themselves(server: MilvusServer, tmp_path: Path) -> None:
    server.kill()
    settings = settings_of(server.uri, search_timeout_s=SEARCH_S)
    vectors = crowd(np.random.default_rng(5), 600, SIZE, 600, 1.0)
    with Galleries.open(tmp_path / "data", key=KEY, index=settings) as galleries:
        galleries.create("g", "", MODEL, SIZE)
        galleries.create("gone", "", MODEL, SIZE)
        for start in range(0, 600, 200):
            galleries.enrol_many("g", [_enrolment(n, vectors[n]) for n in range(start, start + 200)])
        assert _first(galleries, vectors[7]) == "s7"  # a new gallery waits in memory
    with Galleries.open(tmp_path / "data", key=KEY, index=settings) as galleries:
        with pytest.raises(IndexUnavailable):
            _first(galleries, vectors[7])
        server.start()
        until = monotonic() + 120.0
        while not _answers(galleries, vectors[7]):
            assert monotonic() < until
        assert _first(galleries, vectors[7]) == "s7"
        erased = galleries.erase_subject("g", "s7")
        assert not erased.scrubbed  # Milvus has not compacted it
        assert _first(galleries, vectors[7]) != "s7"
        galleries.delete("gone")
        galleries.enrol("g", _enrolment(700, vectors[7]))
        assert _first(galleries, vectors[7]) == "s700"
    with Galleries.open(tmp_path / "data", key=KEY, index=settings) as galleries:
        assert _first(galleries, vectors[7]) == "s700"
        assert _first(galleries, vectors[8]) == "s8"
        assert [name for name in _client(server).list_collections() if name.startswith("fr_")]


def _client(server: MilvusServer) -> Any:
    from pymilvus import MilvusClient

    return MilvusClient(server.uri)


def _count(server: MilvusServer, name: str) -> int:
    (row,) = _client(server).query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    return int(row["count(*)"])


def _enrolment(number: int, vector: F32) -> Enrolment:
    return Enrolment(f"s{number}", NewTemplate(Embedding(vector, MODEL)))


def _first(galleries: Galleries, vector: F32) -> str:
    return galleries.search("g", Embedding(vector, MODEL), 1, -1.0).identification.candidates[0].subject_id


def _answers(galleries: Galleries, vector: F32) -> bool:
    try:
        _first(galleries, vector)
    except IndexUnavailable:
        return False
    return True
