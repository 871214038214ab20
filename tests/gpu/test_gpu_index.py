"""The gallery index on GPUs: what it finds, what it erases, and that threads may do all of it at once."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

import numpy as np
import pytest

from fr_core.errors import DeviceUnavailable
from fr_core.gallery.index.cuvs_gpu import CuvsGpu
from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_cuda import CudaGpu, CudaMemory, gpu_count
from fr_core.gallery.index.faiss_gpu import MAX_K, GpuIndex
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, MAX_FETCHED, PROBES_PER_PASS, Gpu, GpuOwner, Halves
from fr_core.gallery.index.int8_gpu import Int8Gpu
from fr_core.gallery.index.register import index_maker, new_index
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.types import F32
from support.gpus import read_back

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


class Noting(CudaMemory):
    """A GPU that knows what it allocated for vectors, and can read it back."""

    filters: bool

    def __init__(self, device: int) -> None:
        self.sizes: dict[int, int] = {}  # bytes of each block, by its address
        self.given_back: list[bytes] = []
        super().__init__(device)
        self.sizes.clear()  # what the GPU works in

    def allocate(self, size: int) -> int:
        address = super().allocate(size)
        self.sizes[address] = size
        return address

    def free(self, address: int) -> None:
        if address in self.sizes:
            self.given_back.append(read_back(cast(Gpu, self), address, self.sizes.pop(address)))
        super().free(address)

    def contents(self) -> list[bytes]:
        return [read_back(cast(Gpu, self), address, size) for address, size in self.sizes.items()]


class NotingFaiss(Noting, CudaGpu):
    """Such a GPU, which FAISS searches."""


class NotingCuvs(Noting, CuvsGpu):
    """Such a GPU, which cuVS searches."""


class NotingInt8(Noting, Int8Gpu):
    """Such a GPU, which searches in int8 first."""


KINDS: dict[str, Callable[[int], Gpu]] = {"gpu": NotingFaiss, "cuvs": NotingCuvs, "int8": NotingInt8}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of an index on GPUs."""
    return str(request.param)


@pytest.fixture
def gpus() -> list[Noting]:
    return []


@pytest.fixture
def owners(gpus: list[Noting], kind: str) -> list[GpuOwner]:
    def opened(device: int) -> Gpu:
        gpu = KINDS[kind](device)
        gpus.append(cast(Noting, gpu))
        return gpu

    return [GpuOwner(partial(opened, device)) for device in range(gpu_count())]


@pytest.fixture
def indexes(kind: str) -> tuple[GpuIndex, NumpyIndex]:
    gpu, reference = cast(GpuIndex, new_index(kind, DIMENSION)), NumpyIndex(DIMENSION)
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


def test_many_probes_find_what_each_finds_alone(indexes: tuple[GpuIndex, NumpyIndex]) -> None:
    gpu, reference = indexes
    probes = unit_vectors(2 * PROBES_PER_PASS + 1, 2)
    together = gpu.search(probes, 20)
    assert not together.exhaustive
    assert (together.ids == reference.search(probes, 20).ids).all()
    for row in (0, PROBES_PER_PASS, 2 * PROBES_PER_PASS):
        assert (gpu.search(probes[row : row + 1], 20).ids[0] == together.ids[row]).all()


def test_removals_filters_and_upkeep(indexes: tuple[GpuIndex, NumpyIndex]) -> None:
    gpu, reference = indexes
    probes = unit_vectors(8, 2)
    for index in indexes:
        index.remove(np.arange(0, CROWD, 3))
    for _ in range(2):
        assert (gpu.search(probes, 20).ids == reference.search(probes, 20).ids).all()
        for step in (2, 7, 500):
            among = np.arange(0, CROWD, step)
            assert (gpu.search(probes, 20, among).ids == reference.search(probes, 20, among).ids).all()
        work = gpu.upkeep()
        if work is not None:
            work.prepare()
            work.finish()
    assert gpu.memory().store_bytes == gpu.size * DIMENSION * 4


@pytest.mark.parametrize("share", [0.9, 0.05])
def test_a_bitset_lets_those_rows_be_found_and_no_other(
    gpus: list[Noting], owners: list[GpuOwner], share: float
) -> None:
    """CuVS compares the allowed rows alone where they are less than a tenth."""
    if not gpus[0].filters:
        return
    vectors, probes = unit_vectors(CROWD, 11), unit_vectors(40, 12)
    halves = Halves(DIMENSION, owners, 8192)
    halves.append(vectors)
    allowed = np.random.default_rng(13).random(CROWD) < share
    found = halves.search(probes, 100, allowed)
    assert allowed[found.rows].all()
    expected = -np.sort(-(probes @ vectors[allowed].T), axis=1)[:, :100]
    assert np.abs(-np.sort(-found.scores, axis=1) - expected).max() < 2.0**-9


def test_products_of_the_device_are_as_near_as_the_index_takes_them_for(owners: list[GpuOwner]) -> None:
    for vectors in (unit_vectors(4000, 3), np.full((1, DIMENSION), DIMENSION**-0.5, np.float32)):
        halves = Halves(DIMENSION, owners)
        halves.append(vectors)
        probes = vectors[:50]
        found = halves.search(probes, min(len(vectors), MAX_FETCHED))
        exact = np.take_along_axis(probes.astype(np.float64) @ vectors.astype(np.float64).T, found.rows, axis=1)
        assert np.abs(found.scores - exact).max() < 2.0**-9 * 0.75


def test_erased_rows_are_zeros_on_the_gpu_and_freed_blocks_too(gpus: list[Noting], owners: list[GpuOwner]) -> None:
    index = GpuIndex(DIMENSION, owners, Workers(0), block_rows=4096)
    vectors = unit_vectors(CROWD, 4)
    index.add(np.arange(CROWD), vectors)

    def held(row: int) -> bool:
        wanted = vectors[row].astype(np.float16).tobytes()
        contents = [owner.submit(lambda gpu: cast(Noting, gpu).contents()).result() for owner in owners]
        return any(wanted in content for of_gpu in contents for content in of_gpu)

    assert held(5000)
    assert held(5001)
    index.remove(np.array([0, 5000, CROWD - 1]))
    assert not held(5000)
    assert not held(CROWD - 1)
    assert held(5001)
    del index
    gc.collect()
    for owner in owners:
        owner.submit(lambda gpu: None).result()
    assert not any(gpu.sizes for gpu in gpus)
    assert not any(any(content) for gpu in gpus for content in gpu.given_back)


def test_threads_add_search_rewrite_and_drop_at_the_same_time(kind: str) -> None:
    """FAISS would end the process where two uses of a GPU overlap."""
    make, reference = index_maker(kind, 1), NumpyIndex(DIMENSION)
    reference.add(np.arange(8000), unit_vectors(8000, 5))
    reference.remove(np.arange(0, 8000, 2))
    probes = unit_vectors(40, 6)
    expected = reference.search(probes, 20)

    def live() -> bool:
        index = make(DIMENSION)
        for start in range(0, 8000, 1000):
            index.add(np.arange(start, start + 1000), unit_vectors(8000, 5)[start : start + 1000])
            index.search(probes, 20)
        index.remove(np.arange(0, 8000, 2))
        work = index.upkeep()
        if work is not None:
            work.prepare()
            work.finish()
        return bool((index.search(probes, 20).ids == expected.ids).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: live(), range(24)))


def test_a_gpu_that_is_full_refuses_and_goes_on(owners: list[GpuOwner]) -> None:
    owner = owners[0]
    with pytest.raises(DeviceUnavailable, match="cudaMalloc"):
        owner.submit(lambda gpu: gpu.allocate(2**50)).result()
    halves = Halves(DIMENSION, [owner])
    halves.append(unit_vectors(10, 7))
    assert (halves.search(unit_vectors(10, 7), 1).rows[:, 0] == np.arange(10)).all()


def test_a_full_block_is_searched_in_the_scratch_memory_there_is(owners: list[GpuOwner]) -> None:
    halves = Halves(64, owners)
    halves.append(np.tile(unit_vectors(1024, 8)[:, :64], (BLOCK_ROWS // 1024, 1)))
    found = halves.search(unit_vectors(PROBES_PER_PASS, 9)[:, :64], MAX_FETCHED)
    assert found.rows.shape == (PROBES_PER_PASS, MAX_FETCHED)


def test_rows_are_spread_over_all_gpus(gpus: list[Noting], owners: list[GpuOwner], kind: str) -> None:
    halves = Halves(DIMENSION, owners, 1024)
    halves.append(unit_vectors(1024 * 2 * len(owners), 10))
    # Of int8, codes lie in blocks of their own.
    assert [len(gpu.sizes) for gpu in gpus] in [
        [blocks] * len(owners) for blocks in ((2, 4) if kind == "int8" else (2,))
    ]
