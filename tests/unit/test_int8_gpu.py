"""A GPU that searches in int8 first: it answers as one without, erases codes too, and doubts are counted."""

import ctypes
import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from fr_core.errors import DeviceLost, DeviceUnavailable
from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_gpu import GpuIndex
from fr_core.gallery.index.gpu_memory import GpuOwner, Halves
from fr_core.gallery.index.int8_gpu import Int8Gpu
from fr_core.gallery.index.register import index_maker
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.types import F32, I64
from fr_server.telemetry.int8_metrics import INT8_DOUBTED, Int8Collector
from support.gpus import NullCudaRuntime, NullCuvs
from support.indexes import assert_same
from support.kernels import COMPILER, HostCompiler, NullBlas

pytestmark = pytest.mark.skipif(not COMPILER, reason="no g++")

DIMENSION = 40
CROWD = 6000
BLOCK_ROWS = 2500
PICKED = 640


@dataclass
class Parts:
    """Stand-ins for a GPU and its libraries."""

    runtime: NullCudaRuntime = field(default_factory=NullCudaRuntime)
    library: NullCuvs = field(default_factory=NullCuvs)
    blas: NullBlas = field(default_factory=NullBlas)
    compiler: HostCompiler = field(default_factory=HostCompiler)

    def open(self) -> Int8Gpu:
        parts = self.runtime, self.library, self.blas, self.compiler
        return Int8Gpu(0, *parts, most_picked=PICKED, block_rows=BLOCK_ROWS)

    def index(self) -> GpuIndex:
        return GpuIndex(DIMENSION, [GpuOwner(self.open)], Workers(2), block_rows=BLOCK_ROWS, fetched=40)


def unit_vectors(n: int, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def code_of(vector: F32) -> bytes:
    """The codes of a vector f32[D], as a GPU holds them."""
    halves = vector.astype(np.float16).astype(np.float32)
    codes = np.rint(halves / (np.abs(halves).max() / np.float32(127))).astype(np.int8)
    return bytes(codes.tobytes())


def holds(runtime: NullCudaRuntime, content: bytes) -> bool:
    return any(content in bytes(block) for block in runtime.memory.values())


def test_the_best_are_those_of_the_reference_whatever_is_removed_and_filtered() -> None:
    parts = Parts()
    index, reference = parts.index(), NumpyIndex(DIMENSION)
    vectors, probes = unit_vectors(CROWD), unit_vectors(20, 1)
    for one in (index, reference):
        for some in np.array_split(np.arange(CROWD), 7):
            one.add(some, vectors[some])
    searches: list[I64 | None] = [None, np.arange(2500, CROWD), np.arange(0, CROWD, 2)]
    for turn in range(3):
        for among in searches:
            for k in (1, 9):
                assert_same(index.search(probes, k, among), reference.search(probes, k, among))
        if turn == 0:
            for one in (index, reference):
                one.remove(np.r_[0, 77, 1499, 1500, 2000:4000, CROWD - 1])
        elif (work := index.upkeep()) is not None:
            work.prepare()
            work.finish()
    assert parts.blas.multiplied > 20
    assert index.doubted == 0
    assert parts.compiler.architecture == "--gpu-architecture=sm_90"


def test_where_too_many_are_alike_half_precision_answers_and_the_doubts_are_counted() -> None:
    parts = Parts()
    index, reference = parts.index(), NumpyIndex(DIMENSION)
    vectors = unit_vectors(CROWD)
    alike = unit_vectors(1) + 1e-3 * unit_vectors(1000, 2)
    vectors[1000:2000] = alike / np.linalg.norm(alike, axis=1, keepdims=True)
    probes = np.concatenate([vectors[1600:1603], unit_vectors(2, 3)])
    for one in (index, reference):
        one.add(np.arange(CROWD), vectors)
    assert_same(index.search(probes, 5), reference.search(probes, 5))
    assert index.doubted == 3  # not the two that are alike to none
    memories = Memories("numpy")
    registry = CollectorRegistry()
    registry.register(Int8Collector(lambda: memories.doubted))
    assert registry.get_sample_value(INT8_DOUBTED.name) == 0
    for gallery_no, one in ((1, NumpyIndex(DIMENSION)), (2, index)):
        memories.put(gallery_no, GalleryMemory(one, 1))
    assert registry.get_sample_value(INT8_DOUBTED.name) == 3


def test_a_removed_vector_leaves_neither_half_nor_code_on_the_gpu() -> None:
    parts = Parts()
    index, vectors = parts.index(), unit_vectors(CROWD)
    vectors[2500] = np.eye(DIMENSION, dtype=np.float32)[3]
    scale = (np.float32(1) / np.float32(127)).tobytes()  # of that vector alone
    index.add(np.arange(CROWD), vectors)
    assert holds(parts.runtime, scale)
    gone, kept = [0, 1, 2499, 2500, CROWD - 1], [2, 2498, 2501, CROWD - 2]
    assert all(holds(parts.runtime, code_of(vectors[row])) for row in gone)
    index.remove(np.array(gone))
    assert not holds(parts.runtime, scale)
    for row in gone + kept:
        assert holds(parts.runtime, code_of(vectors[row])) is (row in kept)
        assert holds(parts.runtime, vectors[row].astype(np.float16).tobytes()) is (row in kept)


def test_nothing_is_left_on_a_gpu_when_its_owner_goes() -> None:
    parts, threads = Parts(), list[threading.Thread]()

    def open_gpu() -> Int8Gpu:
        threads.append(threading.current_thread())
        return parts.open()

    halves = Halves(DIMENSION, [GpuOwner(open_gpu)], BLOCK_ROWS)
    halves.append(unit_vectors(CROWD))
    halves.search(unit_vectors(3, 1), 20)
    kept = list(parts.runtime.memory.values())
    assert len(kept) == 2 * 3 + 1
    del halves
    gc.collect()
    threads[0].join(60)
    assert (parts.runtime.memory, parts.library.resources, parts.blas.handles) == ({}, 0, 0)
    assert not any(any(bytes(block)) for block in kept)


def test_an_addition_without_room_for_its_codes_leaves_the_vectors_as_they_were() -> None:
    parts = Parts()
    halves = Halves(DIMENSION, [GpuOwner(parts.open)], BLOCK_ROWS)
    halves.append(unit_vectors(1000))
    allocate, calls = parts.runtime.cudaMalloc, list[int]()

    def refuse_the_second(pointer: object, size: ctypes.c_size_t) -> int:
        calls.append(size.value)
        return 2 if len(calls) == 2 else allocate(pointer, size)

    parts.runtime.cudaMalloc = refuse_the_second  # type: ignore[method-assign]
    with pytest.raises(DeviceUnavailable, match="refused cudaMalloc"):
        halves.append(unit_vectors(2000, 1))
    assert len(halves) == 1000
    halves.append(unit_vectors(2000, 1))
    assert halves.search(unit_vectors(2000, 1)[7:8], 1).rows.tolist() == [[1007]]


def fail_to_multiply(parts: Parts) -> None:
    parts.blas.fails = True


def fail_to_launch(parts: Parts) -> None:
    parts.runtime.cudaLaunchKernel = lambda *_: 1  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (fail_to_multiply, r"GPU 0 refused cublasGemmEx for the gallery's vectors: error 13\."),
        (fail_to_launch, r"GPU 0 refused cudaLaunchKernel for the gallery's vectors: error 1: invalid argument\."),
    ],
)
def test_what_a_library_refuses_in_a_search_fails_that_search(fail: Callable[[Parts], None], said: str) -> None:
    parts = Parts()
    halves = Halves(DIMENSION, [GpuOwner(parts.open)], BLOCK_ROWS)
    halves.append(unit_vectors(1000))
    fail(parts)
    with pytest.raises(DeviceLost, match=said):
        halves.search(unit_vectors(1), 1)


@pytest.mark.parametrize("call", ["nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcGetCUBIN", "cublasCreate_v2"])
def test_a_gpu_whose_kernels_cannot_be_had_is_not_opened(call: str) -> None:
    parts = Parts()
    setattr(parts.blas if "cublas" in call else parts.compiler, call, lambda *_: 6)
    with pytest.raises(DeviceUnavailable, match=f"GPU 0 refused {call.removesuffix('_v2')} .* error 6"):
        GpuOwner(parts.open)


def test_an_index_that_shall_search_in_int8_is_refused_where_it_cannot() -> None:
    parts = Parts()
    with pytest.raises(DeviceUnavailable, match='"int8" needs the package nvidia-cublas, which does not load'):
        GpuOwner(lambda: Int8Gpu(0, parts.runtime, parts.library, block_rows=BLOCK_ROWS))
    with pytest.raises(DeviceUnavailable, match="FAISS has no GPU"):
        index_maker("int8")
