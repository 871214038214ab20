"""The index on GPUs against the reference: half precision picks the candidates, what is returned is exact."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.gallery.index.faiss_gpu import MAX_K, GpuIndex, gpu_count, gpu_indexes
from fr_core.gallery.index.faiss_segment import Workers
from fr_core.gallery.index.numpy_scan import NumpyIndex
from fr_core.gallery.index.register import new_index
from fr_core.types import F32

pytestmark = [
    pytest.mark.alone,
    pytest.mark.gpu,
    pytest.mark.skipif(not gpu_count(), reason="FAISS has no GPU"),
]

CROWD = 20_000
DIMENSION = 512


def unit_vectors(n: int, seed: int) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


@pytest.fixture
def indexes() -> tuple[GpuIndex, NumpyIndex]:
    gpu, reference = gpu_indexes(Workers(0))(DIMENSION), NumpyIndex(DIMENSION)
    vectors = unit_vectors(CROWD, 0)
    for index in (gpu, reference):
        index.add(np.arange(CROWD), vectors)
    return gpu, reference


def test_auto_is_the_gpu() -> None:
    assert isinstance(new_index("auto", DIMENSION), GpuIndex)


@pytest.mark.parametrize("k", [1, 20, MAX_K, MAX_K + 1])
def test_the_best_are_those_of_the_reference(indexes: tuple[GpuIndex, NumpyIndex], k: int) -> None:
    gpu, reference = indexes
    probes = unit_vectors(64, 1)
    found, expected = gpu.search(probes, k), reference.search(probes, k)
    assert (found.ids == expected.ids).all()
    assert (found.similarities == expected.similarities).all()


def test_removals_filters_and_upkeep(indexes: tuple[GpuIndex, NumpyIndex]) -> None:
    gpu, reference = indexes
    probes = unit_vectors(8, 2)
    for index in indexes:
        index.remove(np.arange(0, CROWD, 3))
    among = np.arange(0, CROWD, 7)
    for _ in range(2):
        assert (gpu.search(probes, 20).ids == reference.search(probes, 20).ids).all()
        assert (gpu.search(probes, 20, among).ids == reference.search(probes, 20, among).ids).all()
        work = gpu.upkeep()
        if work is not None:
            work.prepare()
            work.finish()
    assert gpu.memory().store_bytes == gpu.size * DIMENSION * 4
