"""Every index returns exactly what plain Python would, ties, near ties and deletions included."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.gallery.faiss_flat import FaissFlatIndex
from fr_core.gallery.flat import FlatIndex
from fr_core.gallery.index import Hits
from fr_core.types import F32, Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)

# Steps: ("add", n), ("remove", share of what lives), ("search", k).
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 60)),
        st.tuples(st.just("add"), st.integers(1000, 3000)),
        st.tuples(st.just("remove"), st.floats(0.0, 1.0)),
        st.tuples(st.just("search"), st.sampled_from([1, 2, 5, 33, 100, 100_000])),
    ),
    min_size=1,
    max_size=12,
)


def crowd(rng: np.random.Generator, n: int, dimension: int, distinct: int, noise: float) -> F32:
    """n unit vectors around few centres: many equal ones, and many that differ by about `noise` only."""
    centres = np.random.default_rng(dimension).standard_normal((distinct, dimension))
    vectors = centres[rng.integers(distinct, size=n)] + noise * rng.standard_normal((n, dimension)) * (
        rng.random((n, 1)) < 0.5
    )
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def plain(live: dict[int, F32], probe: F32, k: int) -> list[tuple[float, int]]:
    wanted = Embedding(probe, MODEL)
    return sorted((-wanted.similarity(Embedding(vector, MODEL)), number) for number, vector in live.items())[:k]


def assert_same(one: Hits, other: Hits) -> None:
    assert (one.ids == other.ids).all()
    assert (one.similarities == other.similarities).all()


@settings(max_examples=80, deadline=None)
@given(
    steps=STEPS,
    dimension=st.sampled_from([1, 2, 8, 65]),
    distinct=st.sampled_from([1, 2, 30]),
    noise=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-4, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_faiss_and_numpy_agree(
    steps: list[tuple[str, float]], dimension: int, distinct: int, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    flat, scanned = FlatIndex(dimension), FaissFlatIndex(dimension)
    live: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    following = 0
    for kind, amount in [*steps, ("search", 7)]:
        if kind == "add":
            ids = following + np.cumsum(rng.integers(1, 4, size=int(amount)))
            following = int(ids[-1])
            vectors = crowd(rng, len(ids), dimension, distinct, noise)
            flat.add(ids, vectors)
            scanned.add(ids, vectors)
            live = np.concatenate([live, ids])
        elif kind == "remove":
            gone = rng.random(len(live)) < amount
            flat.remove(live[gone])
            scanned.remove(live[gone])
            live = live[~gone]
        else:
            probes = crowd(rng, 3, dimension, distinct, noise)
            hits = flat.search(probes, int(amount))
            assert hits.ids.shape == (3, min(int(amount), len(live)))
            assert_same(scanned.search(probes, int(amount)), hits)
        assert flat.size == scanned.size == len(live)


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(0, 60),
    k=st.integers(1, 70),
    dimension=st.sampled_from([1, 2, 8, 128]),
    noise=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1.0]),
    removed=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_reference_is_what_plain_python_gives(
    n: int, k: int, dimension: int, noise: float, removed: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = crowd(rng, n, dimension, 3, noise)
    probes = crowd(rng, 2, dimension, 3, noise)
    gone = rng.random(n) < removed
    index = FlatIndex(dimension)
    index.add(np.arange(n), vectors)
    index.remove(np.flatnonzero(gone))
    live = {number: vector for number, vector in enumerate(vectors) if not gone[number]}
    hits = index.search(probes, k)
    for row, probe in enumerate(probes):
        expected = plain(live, probe, k)
        assert hits.ids[row].tolist() == [number for _, number in expected]
        assert hits.similarities[row].tolist() == [-negated for negated, _ in expected]


def test_many_probes_at_once_agree_with_each_alone() -> None:
    """FAISS multiplies matrices for 20 probes and more, and sums in another order then."""
    rng = np.random.default_rng(0)
    vectors = crowd(rng, 2000, 512, 5, 1e-7)
    probes = crowd(rng, 40, 512, 5, 1e-7)
    flat, scanned = FlatIndex(512), FaissFlatIndex(512)
    for index in (flat, scanned):
        index.add(np.arange(2000), vectors)
    together = scanned.search(probes, 50)
    assert_same(together, flat.search(probes, 50))
    for row, probe in enumerate(probes):
        alone = scanned.search(probe[None], 50)
        assert (alone.ids[0] == together.ids[row]).all()
        assert (alone.similarities[0] == together.similarities[row]).all()
