"""A GPU that cuVS searches: its structures are those of DLPack, filters are bitsets, and what it refuses is told."""

import ctypes
import gc
import threading

import numpy as np
import pytest

from fr_core.errors import DeviceLost, DeviceUnavailable
from fr_core.gallery.index.cuvs_gpu import CuvsGpu, Tensor
from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_gpu import GpuIndex
from fr_core.gallery.index.gpu_memory import GpuOwner, Halves
from fr_core.gallery.index.register import index_maker
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.types import F32
from support.gpus import NullCudaRuntime, NullCuvs
from support.indexes import assert_same

DIMENSION = 32
CROWD = 6000
Parts = tuple[NullCudaRuntime, NullCuvs, GpuOwner]


def unit_vectors(n: int, seed: int = 0, dimension: int = DIMENSION) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


@pytest.fixture
def parts() -> Parts:
    runtime, library = NullCudaRuntime(), NullCuvs()
    return runtime, library, GpuOwner(lambda: CuvsGpu(0, runtime, library))


@pytest.mark.parametrize("kind", ["f2", "f4", "i8", "u4"])
def test_a_tensor_is_laid_out_as_numpy_lays_out_its_own(kind: str) -> None:
    array = np.zeros((3, 5), dtype=kind)
    capsule = array.__dlpack__()
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = Tensor.from_address(address(capsule, b"dltensor"))
    assert ctypes.sizeof(Tensor) == 64
    assert (tensor.data, tensor.device_type, tensor.device_id) == (array.ctypes.data, 1, 0)
    assert (tensor.ndim, tensor.shape[0], tensor.shape[1]) == (2, 3, 5)
    assert (tensor.code, tensor.bits, tensor.lanes) == ("iuf".index(kind[0]), 8 * int(kind[1]), 1)
    assert tensor.byte_offset == 0
    assert tensor.deleter


def test_the_best_are_those_of_the_reference_whatever_is_removed_and_filtered(parts: Parts) -> None:
    _, library, owner = parts
    index, reference = GpuIndex(DIMENSION, [owner], Workers(2), block_rows=1500, fetched=40), NumpyIndex(DIMENSION)
    vectors, probes = unit_vectors(CROWD), unit_vectors(20, 1)
    for one in (index, reference):
        one.add(np.arange(CROWD), vectors)
    hits = index.search(probes, 9)
    assert not hits.exhaustive
    assert_same(hits, reference.search(probes, 9))
    assert library.filtered == 0
    for one in (index, reference):
        one.remove(np.array([0, 77, 1499, 1500, CROWD - 1]))
    assert_same(index.search(probes, 9), reference.search(probes, 9))
    assert library.filtered == 4
    # Of the four blocks, one has none of the rows, and is not searched.
    among = np.arange(1500, CROWD, dtype=np.int64)
    hits = index.search(probes, 9, among)
    assert not hits.exhaustive
    assert_same(hits, reference.search(probes, 9, among))
    assert library.filtered == 7
    assert library.indexes == {}


@pytest.mark.parametrize("share", [0.4, 0.01])
def test_a_filter_of_many_rows_is_the_gpus_whatever_their_share_and_one_of_few_is_memorys(
    parts: Parts, share: float
) -> None:
    _, library, owner = parts
    index, reference = GpuIndex(DIMENSION, [owner], Workers(2), fetched=40), NumpyIndex(DIMENSION)
    vectors = unit_vectors(CROWD)
    for one in (index, reference):
        one.add(np.arange(CROWD), vectors)
    among = np.flatnonzero(np.random.default_rng(3).random(CROWD) < share)
    probes = unit_vectors(3, 1)
    hits = index.search(probes, 7, among)
    assert_same(hits, reference.search(probes, 7, among))
    assert hits.exhaustive is (share < 0.1)
    # Those least like the probe: among all rows, none of them would be fetched.
    farthest = np.sort(np.argsort(vectors @ probes[0])[: CROWD // 2])
    before = library.filtered
    assert not index.search(probes[:1], 7, farthest).exhaustive
    assert library.filtered > before
    assert_same(index.search(probes[:1], 7, farthest), reference.search(probes[:1], 7, farthest))


def test_nothing_is_left_on_a_gpu_when_its_owner_goes() -> None:
    runtime, library, threads = NullCudaRuntime(), NullCuvs(), list[threading.Thread]()

    def open_gpu() -> CuvsGpu:
        threads.append(threading.current_thread())
        return CuvsGpu(0, runtime, library)

    owner = GpuOwner(open_gpu)
    (work,) = runtime.memory.values()
    # More values than there was room for at first.
    wide, vectors = Halves(40_000, [owner]), unit_vectors(256, 2, 40_000)
    wide.append(vectors[:2])
    assert wide.search(vectors, 1).rows[:2].tolist() == [[0], [1]]
    assert not any(bytes(work))
    assert ctypes.addressof(work) not in runtime.memory
    kept = list(runtime.memory.values())
    del wide, owner
    gc.collect()
    threads[0].join(60)
    assert (runtime.memory, library.resources) == ({}, 0)
    assert len(kept) == 2
    assert not any(any(bytes(block)) for block in kept)


@pytest.mark.parametrize("call", ["cuvsBruteForceIndexCreate", "cuvsBruteForceBuild", "cuvsBruteForceSearch"])
def test_what_cuvs_refuses_in_a_search_fails_that_search_alone(parts: Parts, call: str) -> None:
    _, library, owner = parts
    halves = Halves(DIMENSION, [owner])
    halves.append(unit_vectors(10))
    library.refuses = call
    with pytest.raises(DeviceLost, match=rf"GPU 0 refused {call} for the gallery's vectors: CUDA error encountered\."):
        halves.search(unit_vectors(1), 1)
    library.refuses = ""
    assert halves.search(unit_vectors(1), 1).rows.tolist() == [[0]]
    assert library.indexes == {}


@pytest.mark.parametrize("call", ["cuvsRMMPoolMemoryResourceEnable", "cuvsResourcesCreate"])
def test_a_gpu_that_cuvs_cannot_use_is_not_opened(call: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"GPU 0 refused {call}"):
        GpuOwner(lambda: CuvsGpu(0, NullCudaRuntime(), NullCuvs(call)))


def test_an_index_that_cuvs_shall_search_is_refused_where_it_cannot() -> None:
    with pytest.raises(DeviceUnavailable, match="libcuvs, which does not load: No module named 'libcuvs'"):
        GpuOwner(lambda: CuvsGpu(0, NullCudaRuntime()))
    with pytest.raises(DeviceUnavailable, match="FAISS has no GPU"):
        index_maker("cuvs")
