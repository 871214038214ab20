"""`fr bench search`: one gallery in this process, searched by each index, with synthetic templates."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fr_bench.speed.conditions import conditions
from fr_bench.speed.stats import latency
from fr_bench.speed.values import BenchReport, SearchDetail, SearchPoint
from fr_core.gallery.indexes import new_index
from fr_core.types import F32, I64

# Vectors that are made and added at a time: 64 MiB at 512 values.
_BLOCK = 32_768

# Calls before those that count.
_WARM_UP = 3


def bench_search(
    indexes: Sequence[str], size: int, dimension: int, queries: int, probes: int, top_k: int, seed: int
) -> BenchReport:
    """Measure.

    Args:
        indexes: names as `gallery.index` has them; at least one.
        size: vectors, at least 1.
        dimension: values per vector.
        queries: calls that are timed, at least 1, one after another.
        probes: of one call, at least 1.
        top_k: candidates, at least 1.
        seed: of all vectors.

    Raises:
        ConfigInvalid: there is no index of a name.
    """
    before = conditions()
    points = tuple(_point(name, size, dimension, queries, probes, top_k, seed) for name in indexes)
    detail = SearchDetail(size, dimension, queries, probes, top_k, seed, points)
    return BenchReport("search", None, None, None, None, before, None, None, (), (), (), detail)


def _point(name: str, size: int, dimension: int, queries: int, probes: int, top_k: int, seed: int) -> SearchPoint:
    index = new_index(name, dimension)
    rng = np.random.default_rng(seed)
    build = 0.0
    for first in range(0, size, _BLOCK):
        ids: I64 = np.arange(first, min(first + _BLOCK, size), dtype=np.int64)
        vectors = unit_vectors(rng, len(ids), dimension)
        start = time.perf_counter()
        index.add(ids, vectors)
        build += time.perf_counter() - start
    times = []
    for turn in range(_WARM_UP + queries):
        asked = unit_vectors(rng, probes, dimension)
        start = time.perf_counter()
        index.search(asked, top_k)
        if turn >= _WARM_UP:
            times.append(time.perf_counter() - start)
    found = latency(times)
    assert found is not None  # queries is at least 1
    return SearchPoint(name, build, found, queries * probes / sum(times))


def unit_vectors(rng: np.random.Generator, number: int, dimension: int) -> F32:
    """Random directions, f32[number, dimension], each of length 1."""
    drawn = rng.standard_normal((number, dimension), dtype=np.float32)
    unit: F32 = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit
