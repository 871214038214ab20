"""Walks of additions, removals and searches, which every index takes beside the reference."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from fr_core.gallery.index.protocol import Hits, Upkeep, VectorIndex
from fr_core.types import F32, I64

# Steps: ("add", n), ("remove", share of what lives), ("search", k), ("filter", share of the ids), ("prepare", _) and
# ("finish", _) of an upkeep, with whatever comes between.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 60)),
        st.tuples(st.just("add"), st.integers(1000, 3000)),
        st.tuples(st.just("remove"), st.floats(0.0, 1.0)),
        st.tuples(st.just("search"), st.sampled_from([1, 2, 5, 33, 100, 100_000])),
        st.tuples(st.just("filter"), st.floats(0.0, 1.0)),
        st.tuples(st.sampled_from(["prepare", "finish"]), st.just(0)),
    ),
    min_size=1,
    max_size=16,
)


def crowd(rng: np.random.Generator, n: int, dimension: int, distinct: int, noise: float) -> F32:
    """n unit vectors around few centres: many equal ones, and many that differ by about `noise` only."""
    centres = np.random.default_rng(dimension).standard_normal((distinct, dimension))
    vectors = centres[rng.integers(distinct, size=n)] + noise * rng.standard_normal((n, dimension)) * (
        rng.random((n, 1)) < 0.5
    )
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def assert_same(one: Hits, other: Hits, name: str = "") -> None:
    assert one.ids.shape == other.ids.shape, name
    assert (one.ids == other.ids).all(), name
    assert (one.similarities == other.similarities).all(), name


class Walk:
    """Every index, changed alike, each with the upkeep that it has in hand."""

    def __init__(self, indexes: dict[str, VectorIndex], rng: np.random.Generator) -> None:
        self.rng = rng
        self.indexes = indexes
        self.live: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.last_id = -1
        self.in_hand: dict[str, Upkeep] = {}

    def add(self, vectors: F32) -> None:
        ids = self.last_id + np.cumsum(self.rng.integers(1, 4, size=len(vectors)))
        self.last_id = int(ids[-1])
        for index in self.indexes.values():
            index.add(ids, vectors)
        self.live = np.concatenate([self.live, ids])

    def remove(self, share: float) -> None:
        gone = self.rng.random(len(self.live)) < share
        for index in self.indexes.values():
            index.remove(self.rng.permutation(self.live[gone]))
        self.live = self.live[~gone]

    def prepare(self) -> None:
        for name, index in self.indexes.items():
            if name not in self.in_hand and (work := index.upkeep()) is not None:
                work.prepare()
                self.in_hand[name] = work

    def finish(self) -> None:
        for work in self.in_hand.values():
            work.finish()
        self.in_hand.clear()

    def search(self, probes: F32, k: int, among: I64 | None = None) -> None:
        expected = self.indexes["numpy"].search(probes, k, among)
        found = self.live if among is None else np.intersect1d(self.live, among)
        assert expected.ids.shape == (len(probes), min(k, len(found)))
        for name, index in self.indexes.items():
            assert index.size == len(self.live)
            assert_same(index.search(probes, k, among), expected, name)

    def filter(self, probes: F32, share: float) -> None:
        among = np.flatnonzero(self.rng.random(self.last_id + 9) < share).astype(np.int64)
        self.search(probes, 7, among)

    def vectors(self) -> None:
        some = self.rng.permutation(self.live)[:9]
        expected = self.indexes["numpy"].vectors(some)
        for index in self.indexes.values():
            assert (index.vectors(some) == expected).all()

    def take(self, steps: Sequence[tuple[str, float]], dimension: int, distinct: int, noise: float) -> None:
        for kind, amount in steps:
            probes = crowd(self.rng, 3, dimension, distinct, noise)
            if kind == "add":
                self.add(crowd(self.rng, int(amount), dimension, distinct, noise))
            elif kind == "remove":
                self.remove(amount)
            elif kind == "search":
                self.search(probes, int(amount))
            elif kind == "filter":
                self.filter(probes, amount)
            elif kind == "prepare":
                self.prepare()
            else:
                self.finish()
