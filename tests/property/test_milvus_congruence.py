"""An index in Milvus returns exactly what the reference does: by day in Milvus Lite, at night in a real server too."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fr_core.gallery.index.milvus_indexes import MilvusIndexes
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.types import I64
from support.counts import NIGHTLY, examples
from support.indexes import STEPS, Walk, crowd
from support.milvus import answers, derive, indexes_of, keep_up, lite, milvus_server, settings_of, truth_of


@pytest.fixture(scope="module", params=["lite", "server"])
def milvus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusSettings]:
    if request.param == "lite":
        yield settings_of(lite(tmp_path_factory.mktemp("milvus")))
        return
    with milvus_server() as server:
        yield settings_of(server.uri)


@settings(max_examples=examples(60) if NIGHTLY else 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=STEPS,
    dimension=st.sampled_from([1, 2, 3, 8, 65, 128]),
    distinct=st.sampled_from([1, 2, 30]),
    noise=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-4, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_milvus_agrees_with_the_reference(
    milvus: MilvusSettings, steps: list[tuple[str, float]], dimension: int, distinct: int, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reference = NumpyIndex(dimension)
    walk = Walk({"numpy": reference}, rng)
    indexes = indexes_of(milvus, truth_of(reference, lambda: walk.live))
    index = indexes.new(1, dimension)
    indexes.filled()
    keep_up(index)
    walk.indexes["milvus"] = index
    walk.take([*steps, ("search", 7), ("filter", 0.5), ("filter", 0.05)], dimension, distinct, noise)
    walk.vectors()
    for work in walk.in_hand.values():
        work.finish()
    keep_up(index)
    walk.take([("search", 7), ("filter", 0.5), ("filter", 0.05)], dimension, distinct, noise)
    indexes.drop(1)
    indexes.tidy()
    indexes.close()


def test_what_ends_and_begins_again_finds_the_collection_as_it_was(milvus: MilvusSettings) -> None:
    rng = np.random.default_rng(0)
    reference, live = NumpyIndex(64), np.arange(1000)
    reference.add(live, crowd(rng, 1000, 64, 1000, 1.0))
    probes = crowd(rng, 5, 64, 1000, 1.0)
    truth = truth_of(reference, lambda: live)

    def one_life(ids: I64) -> None:
        indexes = indexes_of(milvus, truth)
        index = indexes.new(2, 64)
        index.add(ids, reference.vectors(ids))
        indexes.filled()
        keep_up(index)
        hits, expected = index.search(probes, 10), reference.search(probes, 10, ids)
        assert (hits.ids == expected.ids).all()
        assert (hits.similarities == expected.similarities).all()
        assert hits.exhaustive
        indexes.close()

    one_life(live)
    one_life(live[::2])  # what is extra in Milvus is deleted
    one_life(live)  # and what is missing is added


def test_a_gallery_is_filled_in_pieces_and_not_searched_before(tmp_path: Path) -> None:
    """Each piece takes longer than the time of this clock allows, and all the same they come to an end."""
    rng = np.random.default_rng(1)
    reference, ids = NumpyIndex(8), np.arange(10_000)
    reference.add(ids, crowd(rng, 10_000, 8, 10_000, 1.0))
    seconds = itertools.count(step=1000.0)
    settings = settings_of(lite(tmp_path))
    indexes = MilvusIndexes(settings, derive, truth_of(reference, lambda: ids), lambda: next(seconds))
    index = indexes.new(1, 8)
    index.add(ids, reference.vectors(ids))
    indexes.filled()
    pieces, probes = 0, crowd(rng, 2, 8, 10_000, 1.0)
    while not answers(index, probes, 5):
        work = index.upkeep()
        assert work is not None
        work.prepare()
        work.finish()
        pieces += 1
    assert pieces == 3
    assert (index.search(probes, 5).ids == reference.search(probes, 5).ids).all()
    indexes.close()


def test_what_milvus_is_being_given_is_found_once_and_what_is_removed_meanwhile_not_at_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    reference = NumpyIndex(16)
    walk = Walk({"numpy": reference}, rng)
    indexes = indexes_of(settings_of(lite(tmp_path)), truth_of(reference, lambda: walk.live))
    index = walk.indexes["milvus"] = indexes.new(1, 16)
    indexes.filled()
    walk.add(crowd(rng, 500, 16, 500, 1.0))
    keep_up(index)
    walk.add(crowd(rng, 500, 16, 500, 1.0))
    walk.remove(0.1)
    walk.prepare()  # Milvus has them now, and so has memory
    walk.search(crowd(rng, 5, 16, 500, 1.0), 20)
    walk.filter(crowd(rng, 5, 16, 500, 1.0), 0.6)
    walk.remove(0.1)
    walk.add(crowd(rng, 50, 16, 50, 1.0))
    walk.search(crowd(rng, 5, 16, 500, 1.0), 20)
    walk.finish()
    walk.search(crowd(rng, 5, 16, 500, 1.0), 20)
    keep_up(index)
    walk.search(crowd(rng, 5, 16, 500, 1.0), 20)
    walk.filter(crowd(rng, 5, 16, 500, 1.0), 0.6)
    indexes.close()


@pytest.mark.parametrize("kind", ["IVF_FLAT", "HNSW"])
def test_an_approximate_index_says_so_and_says_what_it_loses(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(3)
    reference, ids = NumpyIndex(32), np.arange(3000)
    reference.add(ids, crowd(rng, 3000, 32, 3000, 1.0))
    indexes = indexes_of(settings_of(lite(tmp_path), kind=kind), truth_of(reference, lambda: ids))
    index = indexes.new(1, 32)
    index.add(ids, reference.vectors(ids))
    indexes.filled()
    with caplog.at_level("WARNING"):
        keep_up(index)
    assert f"{kind} is approximate: of 200 templates of this gallery, " in caplog.text
    assert not index.exact
    hits = index.search(reference.vectors(ids[:5]), 10)
    assert not hits.exhaustive
    assert (hits.ids[:, 0] == ids[:5]).all()
    indexes.close()


def test_what_is_removed_while_milvus_compacts_is_compacted_afterwards(tmp_path: Path) -> None:
    ids, now_s = np.arange(100), [0.0]
    reference = NumpyIndex(16)
    reference.add(ids, crowd(np.random.default_rng(6), 100, 16, 50, 0.2))
    settings = settings_of(lite(tmp_path), compact_every_s=0.0)
    indexes = MilvusIndexes(settings, derive, truth_of(reference, lambda: ids), lambda: now_s[0])
    index = indexes.new(1, 16)
    index.add(ids, reference.vectors(ids))
    indexes.filled()
    keep_up(index)
    indexes.tidy()
    index.remove(np.array([3]))
    keep_up(index)  # Milvus has begun to compact
    index.remove(np.array([5]))
    now_s[0] += 2.0
    for _ in ("deleted", "compacted"):
        work = index.upkeep()
        assert work is not None
        work.prepare()
        work.finish()
    assert not indexes.clean
    for _ in range(3):
        now_s[0] += 2.0
        keep_up(index)
    assert indexes.clean
