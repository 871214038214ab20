"""The one similarity, the reference index against plain Python, and what is FAISS's own."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.errors import ConfigInvalid
from fr_core.gallery.faiss_flat import FaissFlatIndex, scan_error_bound
from fr_core.gallery.index import VectorIndex, best_first, exact_similarity
from fr_core.gallery.indexes import INDEX_NAMES, new_index
from fr_core.types import F32, I64, Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)


def unit_vectors(n: int, dimension: int, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension))
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def ids(*numbers: int) -> I64:
    return np.array(numbers, dtype=np.int64)


@pytest.fixture(params=INDEX_NAMES)
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
def test_similarity_does_not_depend_on_the_batch_nor_on_the_place_in_memory(dimension: int) -> None:
    vectors = unit_vectors(301, dimension)
    probe = unit_vectors(1, dimension, seed=1)[0]
    together = exact_similarity(vectors, probe)
    for start, end in ((0, 1), (1, 2), (7, 12), (150, 301)):
        assert (exact_similarity(vectors[start:end], probe) == together[start:end]).all()
    assert (exact_similarity(vectors[::-3], probe) == together[::-3]).all()
    assert (exact_similarity(np.asfortranarray(vectors), probe) == together).all()


def test_similarity_never_leaves_its_range() -> None:
    vectors = unit_vectors(1000, 512)
    ones = np.array([exact_similarity(vector[None], vector)[0] for vector in vectors])
    assert ones.max() == 1.0
    assert ones.min() > 1.0 - 1e-6
    assert min(exact_similarity(-vector[None], vector)[0] for vector in vectors) == -1.0


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_ties_at_the_last_place_go_to_the_lowest_id(k: int) -> None:
    found, similarities = best_first(ids(9, 4, 7, 1, 3), np.array([0.5, 0.5, 0.9, 0.5, 0.1]), k)
    assert found.tolist() == [7, 1, 4, 9, 3][:k]
    assert similarities.tolist() == [0.9, 0.5, 0.5, 0.5, 0.1][:k]


def test_an_empty_index_finds_nothing(index: VectorIndex) -> None:
    hits = index.search(unit_vectors(2, 3), 5)
    assert hits.ids.shape == hits.similarities.shape == (2, 0)
    assert hits.ids.dtype == np.int64
    assert hits.similarities.dtype == np.float64


def test_no_probe_finds_nothing(index: VectorIndex) -> None:
    index.add(ids(1), unit_vectors(1, 3))
    assert index.search(np.empty((0, 3), dtype=np.float32), 5).ids.shape == (0, 1)


def test_more_than_there_is_gives_all_there_is(index: VectorIndex) -> None:
    index.add(ids(4, 9), np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32))
    hits = index.search(np.array([[0, 1, 0]], dtype=np.float32), 1000)
    assert hits.ids.tolist() == [[9, 4]]
    assert hits.similarities.tolist() == [[1.0, 0.0]]


def test_what_was_removed_is_not_found(index: VectorIndex) -> None:
    index.add(ids(1, 2, 3), np.array([[1, 0, 0], [1, 0, 0], [0, -1, 0]], dtype=np.float32))
    index.remove(ids(1))
    assert index.size == 2
    assert index.search(np.array([[1, 0, 0]], dtype=np.float32), 3).ids.tolist() == [[2, 3]]


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


def test_the_error_bound_holds_for_the_worst_that_was_tried() -> None:
    """Long sums of one sign lose the most; the bound must hold for them, and not be so wide that it bounds nothing."""
    for dimension in (2, 64, 512, 4096):
        alike = np.full((1, dimension), dimension**-0.5, dtype=np.float32)
        vectors = np.concatenate([alike, np.abs(unit_vectors(500, dimension)), unit_vectors(500, dimension)])
        index = FaissFlatIndex(dimension)
        index.add(np.arange(len(vectors)), vectors)
        for probe in (alike[0], vectors[1], vectors[700]):
            scores, rows = index._scan.search(probe[None], len(vectors))
            error = np.abs(scores[0] - vectors[rows[0]].astype(np.float64) @ probe.astype(np.float64)).max()
            assert error <= scan_error_bound(dimension) <= 2e-7 * dimension


def test_a_removed_vector_is_overwritten_at_once_and_its_row_dropped_later() -> None:
    index = FaissFlatIndex(8)
    vectors = unit_vectors(6000, 8)
    index.add(np.arange(6000), vectors)
    index.remove(np.arange(0, 1400))
    assert index._scan.ntotal == 6000
    assert not index._vectors()[:1400].any()
    index.remove(np.arange(1400, 1501))
    assert index._scan.ntotal == index.size == 4499
    assert (index._vectors() == vectors[1501:]).all()
    index.add(ids(6000), vectors[:1])
    assert index.search(vectors[:1], 1).ids.tolist() == [[6000]]


def test_an_unknown_index_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="faiss-flat, flat"):
        new_index("ivf", 3)
