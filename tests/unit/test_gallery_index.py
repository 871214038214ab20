"""The one similarity, the reference index against plain Python, and what is FAISS's own."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.errors import DeviceUnavailable
from fr_core.gallery.index.faiss_compact import CompactIndex
from fr_core.gallery.index.faiss_flat import FaissFlatIndex
from fr_core.gallery.index.faiss_gpu import gpu_count
from fr_core.gallery.index.growing import GrowingArray
from fr_core.gallery.index.protocol import IndexMemory, Upkeep, VectorIndex, exact_similarity, scan_error_bound
from fr_core.gallery.index.register import INDEX_NAMES, index_maker, new_index
from fr_core.types import F32, I64, Embedding
from support.ledger import MODEL


def unit_vectors(n: int, dimension: int, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension))
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def ids(*numbers: int) -> I64:
    return np.array(numbers, dtype=np.int64)


@pytest.fixture(params=[name for name in INDEX_NAMES if name != "gpu" or gpu_count()])
def index(request: pytest.FixtureRequest) -> VectorIndex:
    return new_index(request.param, 3)


@pytest.mark.parametrize("dimension", [1, 3, 64, 127, 128, 500, 512, 1024, 4096])
def test_similarity_is_that_of_embeddings_to_the_last_bit(dimension: int) -> None:
    vectors = unit_vectors(300, dimension)
    probe = unit_vectors(1, dimension, seed=1)[0]
    together = exact_similarity(vectors, probe)
    for vector, similarity in zip(vectors, together, strict=True):
        assert Embedding(vector, MODEL).similarity(Embedding(probe, MODEL)) == similarity
        assert Embedding(probe, MODEL).similarity(Embedding(vector, MODEL)) == similarity


@pytest.mark.parametrize("dimension", [3, 127, 512])
def test_similarity_depends_neither_on_the_batch_nor_on_the_place_in_memory_nor_on_pairing(dimension: int) -> None:
    vectors = unit_vectors(301, dimension)
    probe = unit_vectors(1, dimension, seed=1)[0]
    together = exact_similarity(vectors, probe)
    for start, end in ((0, 1), (1, 2), (7, 12), (150, 301)):
        assert (exact_similarity(vectors[start:end], probe) == together[start:end]).all()
    assert (exact_similarity(vectors[::-3], probe) == together[::-3]).all()
    assert (exact_similarity(np.asfortranarray(vectors), probe) == together).all()
    probes = unit_vectors(301, dimension, seed=1)
    pairs = exact_similarity(vectors, probes)
    for vector, probe, similarity in zip(vectors, probes, pairs, strict=True):
        assert exact_similarity(vector[None], probe)[0] == similarity


def test_similarity_never_leaves_its_range() -> None:
    vectors = unit_vectors(1000, 512)
    ones = np.array([exact_similarity(vector[None], vector)[0] for vector in vectors])
    assert ones.max() == 1.0
    assert ones.min() > 1.0 - 1e-6
    assert min(exact_similarity(-vector[None], vector)[0] for vector in vectors) == -1.0


def test_an_empty_index_finds_nothing(index: VectorIndex) -> None:
    hits = index.search(unit_vectors(2, 3), 5)
    assert hits.ids.shape == hits.similarities.shape == (2, 0)
    assert hits.ids.dtype == np.int64
    assert hits.similarities.dtype == np.float64
    index.remove(ids())
    for call in (index.remove, index.vectors):
        with pytest.raises(KeyError):
            call(ids(0))
    index.add(ids(1), unit_vectors(1, 3))
    assert index.search(np.empty((0, 3), dtype=np.float32), 5).ids.shape == (0, 1)


def test_removing_what_is_not_there_changes_nothing(index: VectorIndex) -> None:
    index.add(ids(1, 2), unit_vectors(2, 3))
    index.remove(ids(2))
    for missing in (ids(2), ids(1, 2), ids(0), ids(1, 3)):
        with pytest.raises(KeyError):
            index.remove(missing)
        assert index.size == 1
    index.remove(ids())
    assert index.size == 1


@pytest.mark.parametrize("numbers", [ids(5), ids(4), ids(7, 7), ids(8, 7)])
def test_ids_must_ascend(index: VectorIndex, numbers: I64) -> None:
    index.add(ids(2, 5), unit_vectors(2, 3))
    index.remove(ids(5))  # an id is not free again when its vector is gone
    with pytest.raises(ValueError, match="ascend"):
        index.add(numbers, unit_vectors(len(numbers), 3))
    assert index.size == 1


@pytest.mark.parametrize("shape", [(1, 3), (2, 4), (6,)])
def test_vectors_of_another_shape_are_refused(index: VectorIndex, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="vectors"):
        index.add(ids(1, 2), np.zeros(shape, dtype=np.float32))


def test_a_wrong_search_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="probes"):
        index.search(np.zeros((1, 4), dtype=np.float32), 1)
    with pytest.raises(ValueError, match="probes"):
        index.search(np.zeros(3, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="k must"):
        index.search(np.zeros((1, 3), dtype=np.float32), 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_beyond_one_the_longer_vector_does_not_win(index: VectorIndex, sign: int) -> None:
    """Similarities are clipped: vectors that are a little longer than 1 are as alike as one can be, no more."""
    lengths = 1.0 + np.array([0.0001, 0.0003, 0.0002, 0.0004, 0.0001])
    index.add(np.arange(5), (lengths[:, None] * [[0.0, sign, 0.0]]).astype(np.float32))
    hits = index.search(np.array([[0, 1, 0]], dtype=np.float32), 2)
    assert hits.ids.tolist() == [[0, 1]]
    assert hits.similarities.tolist() == [[sign, sign]]


def test_vectors_are_given_back_as_copies(index: VectorIndex) -> None:
    vectors = unit_vectors(3, 3)
    index.add(ids(1, 4, 7), vectors)
    index.remove(ids(4))
    found = index.vectors(ids(7, 1, 7))
    assert (found == vectors[[2, 0, 2]]).all()
    found[:] = 0.0
    assert (index.vectors(ids(7, 1)) == vectors[[2, 0]]).all()
    assert index.vectors(ids()).shape == (0, 3)
    for missing in (ids(4), ids(1, 2), ids(8)):
        with pytest.raises(KeyError):
            index.vectors(missing)


def test_memory_is_counted(index: VectorIndex) -> None:
    assert index.memory() == IndexMemory(0, 0, 0)
    index.add(np.arange(100), unit_vectors(100, 3))
    assert index.memory().store_bytes == 100 * 3 * 4
    assert index.memory().other_bytes == 100 * (8 + 1)


def upkeep_of(index: VectorIndex) -> Upkeep:
    work = index.upkeep()
    assert work is not None
    return work


def test_a_removed_vector_is_erased_at_once_and_its_row_dropped_by_upkeep(index: VectorIndex) -> None:
    vectors = unit_vectors(6000, 3)
    index.add(np.arange(6000), vectors)
    index.remove(np.arange(1, 1401))
    assert index.upkeep() is None
    index.remove(np.arange(1401, 1502))
    assert index.memory().store_bytes == 6000 * 12
    work = upkeep_of(index)
    index.remove(ids(1600))
    work.prepare()
    index.remove(ids(1700))
    index.add(ids(6000, 6001), vectors[[1, 0]])
    index.remove(ids(6000))
    work.finish()
    assert index.upkeep() is None
    live = [0, *(n for n in range(1502, 6000) if n not in (1600, 1700))]
    assert index.size == len(live) + 1
    assert index.memory().store_bytes <= (len(live) + 3) * 12
    assert (index.vectors(np.array(live)) == vectors[live]).all()
    assert index.search(vectors[:1], 2).ids.tolist() == [[0, 6001]]
    for gone in (1600, 1700, 6000):
        with pytest.raises(KeyError):
            index.vectors(ids(gone))
    index.add(ids(6002), vectors[:1])
    assert index.search(vectors[:1], 3).ids.tolist() == [[0, 6001, 6002]]


def test_the_error_bound_holds_for_the_worst_that_was_tried() -> None:
    """Long sums of one sign lose the most; the bound must hold for them, and not be so wide that it bounds nothing."""
    for dimension in (2, 64, 512, 4096):
        alike = np.full((1, dimension), dimension**-0.5, dtype=np.float32)
        vectors = np.concatenate([alike, np.abs(unit_vectors(500, dimension)), unit_vectors(500, dimension)])
        index = FaissFlatIndex(dimension)
        index.add(np.arange(len(vectors)), vectors)
        for probe in (alike[0], vectors[1], vectors[700]):
            scores, rows = index._scan(probe[None], len(vectors), None)
            error = np.abs(scores[0] - vectors[rows[0]].astype(np.float64) @ probe.astype(np.float64)).max()
            assert error <= scan_error_bound(dimension) <= 2e-7 * dimension


def test_a_removed_vector_is_overwritten() -> None:
    index = FaissFlatIndex(8)
    index.add(np.arange(10), unit_vectors(10, 8))
    index.remove(ids(3, 4))
    assert (index._rows.vectors.any(axis=1) == ~np.isin(np.arange(10), [3, 4])).all()


def test_an_array_with_a_limit_is_not_copied_again_from_an_eighth_of_it_on() -> None:
    array = GrowingArray(np.int64, limit=800)
    array.append(np.arange(99))
    small = array.rows.base
    array.append(np.arange(99, 101))
    whole = array.rows.base
    assert whole is not small
    array.append(np.arange(101, 800))
    assert array.rows.base is whole
    assert (array.rows == np.arange(800)).all()


@pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU")
def test_without_a_gpu_the_gpu_index_is_refused_and_auto_is_the_compact_one() -> None:
    with pytest.raises(DeviceUnavailable, match="no GPU"):
        new_index("gpu", 3)
    assert isinstance(new_index("auto", 3), CompactIndex)


def test_indexes_of_one_maker_share_their_threads() -> None:
    make = index_maker("compact", 2)
    one, other = make(3), make(4)
    assert isinstance(one, CompactIndex)
    assert isinstance(other, CompactIndex)
    assert (one.dimension, other.dimension) == (3, 4)
    assert one._workers is other._workers
