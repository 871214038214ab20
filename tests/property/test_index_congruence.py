"""Every index returns exactly what plain Python would, ties, near ties, filters, deletions and upkeep included."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.gallery.index import faiss_gpu
from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_compact import CompactIndex
from fr_core.gallery.index.faiss_flat import FaissFlatIndex
from fr_core.gallery.index.faiss_gpu import GpuIndex
from fr_core.gallery.index.faiss_scan import Share, scan_everything
from fr_core.gallery.index.gpu_memory import GpuOwner
from fr_core.gallery.index.protocol import Hits, VectorIndex
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.types import F32, Embedding, ModelId
from support.counts import examples
from support.gpus import NullGpu
from support.indexes import STEPS, Walk, assert_same, crowd

MODEL = ModelId("null", "1", "0" * 64)


def every_index(dimension: int) -> dict[str, VectorIndex]:
    """Indexes that promise what the reference gives: the compact ones score every candidate that there is."""
    return {
        "numpy": NumpyIndex(dimension),
        "flat": FaissFlatIndex(dimension),
        "compact": CompactIndex(dimension, 2),
        "compact in segments": CompactIndex(dimension, 2, segment_rows=300, coded_from=100_000),
        "compact with codes": CompactIndex(dimension, 2, segment_rows=300, coded_from=16, candidates=100_000),
        "scanned as on a GPU": GpuIndex(dimension, gpus(), Workers(2), block_rows=1000, fetched=20),
        "filtered as on a GPU": GpuIndex(dimension, gpus(filters=True), Workers(2), block_rows=1000, fetched=20),
    }


def gpus(*, filters: bool = False) -> list[GpuOwner]:
    return [GpuOwner(lambda: NullGpu(filters=filters)) for _ in range(2)]


def plain(live: dict[int, F32], probe: F32, k: int) -> list[tuple[float, int]]:
    wanted = Embedding(probe, MODEL)
    return sorted((-wanted.similarity(Embedding(vector, MODEL)), number) for number, vector in live.items())[:k]


@settings(max_examples=examples(150))
@given(
    steps=STEPS,
    dimension=st.sampled_from([1, 2, 3, 8, 65, 128]),
    distinct=st.sampled_from([1, 2, 30]),
    noise=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-4, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_index_agrees_with_the_reference(
    steps: list[tuple[str, float]], dimension: int, distinct: int, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    walk = Walk(every_index(dimension), rng)
    walk.take([*steps, ("search", 7), ("filter", 0.5)], dimension, distinct, noise)
    walk.vectors()


@settings(max_examples=examples(60))
@given(steps=STEPS, dimension=st.sampled_from([2, 3, 128]), seed=st.integers(0, 2**32 - 1))
def test_codes_of_equal_vectors_lose_none_of_them(steps: list[tuple[str, float]], dimension: int, seed: int) -> None:
    """Of many equal vectors the lowest ids are found, however few candidates there are."""
    rng = np.random.default_rng(seed)
    vector = crowd(rng, 1, dimension, 1, 1.0)
    compact = CompactIndex(dimension, 2, segment_rows=300, coded_from=16, candidates=20)
    walk = Walk({"numpy": NumpyIndex(dimension), "compact": compact}, rng)
    for kind, amount in [*steps, ("search", 7)]:
        if kind == "add":
            walk.add(np.repeat(vector, int(amount), axis=0))
        elif kind == "remove":
            walk.remove(amount)
        elif kind == "search":
            walk.search(vector, min(int(amount), 100))
            walk.search(-vector, min(int(amount), 100))
        else:
            walk.prepare()
            walk.finish()


@settings(max_examples=examples(200))
@given(
    n=st.integers(0, 60),
    k=st.integers(1, 70),
    dimension=st.sampled_from([1, 2, 8, 128]),
    noise=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1.0]),
    removed=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_reference_is_plain_python(n: int, k: int, dimension: int, noise: float, removed: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = crowd(rng, n, dimension, 3, noise)
    probes = crowd(rng, 2, dimension, 3, noise)
    gone = rng.random(n) < removed
    index = NumpyIndex(dimension)
    index.add(np.arange(n), vectors)
    index.remove(np.flatnonzero(gone))
    live = {number: vector for number, vector in enumerate(vectors) if not gone[number]}
    hits = index.search(probes, k)
    for row, probe in enumerate(probes):
        expected = plain(live, probe, k)
        assert hits.ids[row].tolist() == [number for _, number in expected]
        assert hits.similarities[row].tolist() == [-negated for negated, _ in expected]


@pytest.mark.parametrize("name", list(every_index(1)))
def test_many_probes_at_once_agree_with_each_alone(name: str) -> None:
    """Matrices are multiplied for many probes, and sum in another order then."""
    rng = np.random.default_rng(0)
    vectors = crowd(rng, 2000, 512, 5, 1e-7)
    probes = crowd(rng, 40, 512, 5, 1e-7)
    reference, index = NumpyIndex(512), every_index(512)[name]
    for one in (reference, index):
        one.add(np.arange(2000), vectors)
    while (work := index.upkeep()) is not None:
        work.prepare()
        work.finish()
    together = index.search(probes, 50)
    assert_same(together, reference.search(probes, 50))
    for row, probe in enumerate(probes):
        alone = index.search(probe[None], 50)
        assert (alone.ids[0] == together.ids[row]).all()
        assert (alone.similarities[0] == together.similarities[row]).all()


def test_only_the_probes_that_thousands_are_equally_like_are_answered_from_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(1)
    vectors = crowd(rng, 6000, 128, 6000, 1.0)
    vectors[rng.choice(6000, 2500, replace=False)] = vectors[0]
    nearby = vectors[0] + 0.3 * vectors[1]
    nearby /= np.linalg.norm(nearby)
    probes = np.concatenate([crowd(rng, 3, 128, 6000, 1.0), vectors[:1], -vectors[:1], nearby[None]])
    reference, index = NumpyIndex(128), every_index(128)["scanned as on a GPU"]
    for one in (reference, index):
        one.add(np.arange(6000), vectors)
    from_memory = []

    def noting(shares: Sequence[Share], probes: F32, k: int, workers: Workers) -> Hits:
        from_memory.append(probes)
        return scan_everything(shares, probes, k, workers)

    monkeypatch.setattr(faiss_gpu, "scan_everything", noting)
    hits = index.search(probes, 20)
    assert_same(hits, reference.search(probes, 20))
    assert not hits.exhaustive
    (searched,) = from_memory
    assert (searched == probes[[3, 5]]).all()
