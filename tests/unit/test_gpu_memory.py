"""Vectors on GPUs: one thread for each, no copy outlives an erasure, rows are spread, and searches find the best."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pytest

from fr_core.errors import DeviceLost, DeviceUnavailable, InternalError
from fr_core.gallery.effects import AddedVector
from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_cuda import CudaGpu, scratch_bytes
from fr_core.gallery.index.faiss_gpu import GpuIndex
from fr_core.gallery.index.gpu_memory import (
    BLOCK_ROWS,
    MAX_FETCHED,
    PROBES_PER_PASS,
    Gpu,
    GpuOwner,
    Halves,
)
from fr_core.gallery.index.protocol import Hits
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.types import F32
from support.gpus import LEFT_OVER, NullCudaRuntime, NullFaiss, NullGpu

DIMENSION = 32
CROWD = 6000
Result = TypeVar("Result")


def unit_vectors(n: int, seed: int = 0, dimension: int = DIMENSION) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def owner_of(gpu: Gpu) -> GpuOwner:
    return GpuOwner(lambda: gpu)


def settled(owner: GpuOwner) -> None:
    """Return when all that was handed to an owner is done."""
    owner.submit(lambda gpu: None).result()


def index_on(*gpus: NullGpu, block_rows: int = 1500, fetched: int = 40) -> GpuIndex:
    return GpuIndex(DIMENSION, [owner_of(gpu) for gpu in gpus], Workers(2), block_rows=block_rows, fetched=fetched)


def assert_same(one: Hits, other: Hits) -> None:
    assert (one.ids == other.ids).all()
    assert (one.similarities == other.similarities).all()


class NullOwner(GpuOwner):
    """Does the work for a GPU in the thread that has it, as if the GPU had no thread of its own."""

    def __init__(self, gpu: Gpu) -> None:
        self.reserved = 0
        self.filters = gpu.filters
        self._gpu = gpu

    def submit(self, do: Callable[[Gpu], Result]) -> Future[Result]:
        """As `GpuOwner.submit`."""
        future: Future[Result] = Future()
        future.set_result(do(self._gpu))
        return future


def used_by_many(gpu: NullGpu, owner: GpuOwner) -> None:
    """Add to, search in, remove from, rewrite and drop four indexes of one GPU at the same time."""

    def live(seed: int) -> None:
        index = GpuIndex(DIMENSION, [owner], Workers(1), block_rows=700, fetched=40)
        for turn in range(4):
            index.add(np.arange(turn * 1000, turn * 1000 + 1000), unit_vectors(1000, seed + turn))
            index.search(unit_vectors(3, seed), 5)
        index.remove(np.arange(0, 4000, 2))
        work = index.upkeep()
        assert work is not None
        work.prepare()
        work.finish()
        index.search(unit_vectors(3, seed), 5)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(live, seed) for seed in range(4)]:
            done.result()
    gc.collect()


def test_one_thread_uses_a_gpu_whoever_adds_searches_rewrites_and_drops() -> None:
    gpu = NullGpu()
    owner = owner_of(gpu)
    used_by_many(gpu, owner)
    settled(owner)
    assert (gpu.overlaps, len(gpu.threads)) == (0, 1)
    assert threading.get_ident() not in gpu.threads
    assert gpu.blocks == {}
    assert gpu.freed


def test_without_the_owners_thread_the_uses_overlap() -> None:
    """The control: the same work, done by whoever has it. The first uses wait within for each other."""
    together = threading.Barrier(4, timeout=60)
    met = threading.local()

    def meet() -> None:
        if not getattr(met, "once", False):
            met.once = True
            together.wait()

    gpu = NullGpu(within=meet)
    used_by_many(gpu, NullOwner(gpu))
    assert gpu.overlaps >= 3
    assert len(gpu.threads) >= 4


def test_what_an_owner_raises_reaches_the_one_who_asked_and_the_thread_goes_on() -> None:
    owner = owner_of(NullGpu(room=2**20))
    with pytest.raises(DeviceUnavailable, match="refused cudaMalloc for the gallery's vectors: error 2"):
        owner.submit(lambda gpu: gpu.allocate(2**21)).result()
    assert owner.submit(lambda gpu: gpu.allocate(2**19)).result() > 0

    def missing() -> Gpu:
        raise DeviceUnavailable("no GPU here", device="cuda:0")

    with pytest.raises(DeviceUnavailable):
        GpuOwner(missing)


def test_erased_rows_are_zeros_on_the_gpu_and_no_freed_block_holds_a_vector() -> None:
    gpu = NullGpu()
    owner = owner_of(gpu)
    index = GpuIndex(DIMENSION, [owner], Workers(2), block_rows=1500)
    vectors = unit_vectors(CROWD)
    halves = vectors.astype(np.float16)
    index.add(np.arange(CROWD), vectors)
    assert gpu.holds(halves[4711])
    gone = [0, 1, 2, 1023, 1024, 4711, CROWD - 1]
    index.remove(np.array(gone))
    assert not any(gpu.holds(halves[row]) for row in gone)
    assert all(gpu.holds(halves[row]) for row in (3, 1022, 1025, 4710, 4712, CROWD - 2))
    index.remove(np.arange(3, 1000))
    index.remove(np.arange(2000, 3000))
    work = index.upkeep()
    assert work is not None
    work.prepare()
    index.remove(np.array([5000]))
    work.finish()
    assert not gpu.holds(halves[5000])
    assert gpu.holds(halves[5001])
    del work, index
    gc.collect()
    settled(owner)
    assert gpu.blocks == {}
    assert all(not block.any() for block in gpu.freed)
    assert len(gpu.freed) > 4


def test_memory_of_a_gpu_is_dirty_and_never_searched_beyond_what_was_written() -> None:
    gpu = NullGpu()
    halves = Halves(DIMENSION, [owner_of(gpu)], 1500)
    halves.append(unit_vectors(10))
    (block,) = gpu.blocks.values()
    assert block.size > 10 * DIMENSION * 2
    assert block[-1] == LEFT_OVER
    found = halves.search(unit_vectors(2, 1), 10)
    assert gpu.rows_searched == [10]
    assert (found.unseen == -np.inf).all()
    assert halves.scan_bytes == 10 * DIMENSION * 2


def test_an_addition_that_a_gpu_refuses_leaves_the_vectors_as_they_were() -> None:
    gpu = NullGpu(room=1500 * DIMENSION * 2)
    owner = owner_of(gpu)
    halves = Halves(DIMENSION, [owner], 1024)
    halves.append(unit_vectors(1000))
    with pytest.raises(DeviceUnavailable, match="out of memory"):
        halves.append(unit_vectors(600, 1))
    assert len(halves) == 1000
    halves.append(unit_vectors(20, 2))
    expected = unit_vectors(1000) @ unit_vectors(20, 2)[7]
    found = halves.search(unit_vectors(20, 2)[7:8], 1)
    assert found.rows.tolist() == [[1007]]
    assert found.scores[0, 0] > expected.max()


def test_rows_are_spread_over_all_gpus_by_their_bytes() -> None:
    gpus = [NullGpu(), NullGpu(), NullGpu()]
    owners = [owner_of(gpu) for gpu in gpus]
    first, second = Halves(DIMENSION, owners, 1024), Halves(DIMENSION, owners, 1024)
    first.append(unit_vectors(1024 * 7))
    assert [len(gpu.blocks) for gpu in gpus] == [3, 2, 2]
    second.append(unit_vectors(1024 * 5))
    assert [len(gpu.blocks) for gpu in gpus] == [4, 4, 4]
    del first
    gc.collect()
    for owner in owners:
        settled(owner)
    assert sum(len(gpu.blocks) for gpu in gpus) == 5
    second.append(unit_vectors(1024 * 4))
    assert [len(gpu.blocks) for gpu in gpus] == [3, 3, 3]


def test_blocks_grow_with_their_index_so_that_there_are_few() -> None:
    gpu = NullGpu()
    halves = Halves(DIMENSION, [owner_of(gpu)], 2**14)
    for _ in range(60):
        halves.append(unit_vectors(1000))
    rooms = [block.size // (DIMENSION * 2) for block in gpu.blocks.values()]
    assert rooms[:5] == [1024, 1024, 2048, 4096, 8192]
    assert max(rooms) == 2**14
    assert sum(rooms) < 2 * 60_000


def test_scratch_memory_of_a_full_pass_is_what_faiss_may_have() -> None:
    """FAISS takes no more than 1.5 GiB (kMaxTempMem); 512 probes are two passes."""
    assert scratch_bytes(PROBES_PER_PASS, BLOCK_ROWS, MAX_FETCHED, 4096) < 1.5 * 2**30
    assert scratch_bytes(512, BLOCK_ROWS, MAX_FETCHED, 512) > 1.5 * 2**30
    gpu = NullGpu()
    halves = Halves(DIMENSION, [owner_of(gpu)], 3000)
    halves.append(unit_vectors(CROWD))
    halves.search(unit_vectors(512), 40)
    assert gpu.most_scratch == scratch_bytes(PROBES_PER_PASS, 3000, 40, DIMENSION)
    assert len(gpu.rows_searched) == 2 * len(gpu.blocks)


@pytest.mark.parametrize("k", [1, 7, 40, 300, MAX_FETCHED])
@pytest.mark.parametrize(("rows", "block_rows"), [(30, 1500), (1500, 1500), (CROWD, CROWD), (CROWD, 1024)])
def test_no_row_that_was_not_fetched_scores_above_what_is_said_of_it(k: int, rows: int, block_rows: int) -> None:
    halves = Halves(DIMENSION, [owner_of(NullGpu()), owner_of(NullGpu())], block_rows)
    vectors, probes = unit_vectors(rows), unit_vectors(9, 1)
    halves.append(vectors)
    found = halves.search(probes, k)
    products = probes.astype(np.float16).astype(np.float32) @ vectors.astype(np.float16).astype(np.float32).T
    assert found.rows.shape == (9, min(k, rows))
    for n in range(9):
        assert len(set(found.rows[n].tolist())) == min(k, rows)
        assert np.allclose(found.scores[n], products[n][found.rows[n]], atol=1e-6)
        rest = np.delete(products[n], found.rows[n])
        assert found.unseen[n] >= rest.max(initial=-np.inf) - 1e-6
        assert found.unseen[n] <= found.scores[n].min()


@pytest.mark.parametrize("block_rows", [1024, CROWD])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.5])
def test_no_allowed_row_that_was_not_fetched_scores_above_what_is_said_of_it(share: float, block_rows: int) -> None:
    halves = Halves(DIMENSION, [owner_of(NullGpu(filters=True)), owner_of(NullGpu(filters=True))], block_rows)
    vectors, probes = unit_vectors(CROWD), unit_vectors(9, 1)
    halves.append(vectors)
    allowed = np.random.default_rng(2).random(CROWD) < share
    products = probes.astype(np.float16).astype(np.float32) @ vectors.astype(np.float16).astype(np.float32).T
    products[:, ~allowed] = -np.inf
    for k in (1, 7, 40):
        found = halves.search(probes, k, allowed)
        assert found.rows.shape == (9, min(k, np.count_nonzero(allowed)))
        assert allowed[found.rows].all()
        for n in range(9):
            assert found.unseen[n] >= np.delete(products[n], found.rows[n]).max() - 1e-6
            assert found.unseen[n] <= found.scores[n].min()


def test_many_probes_in_passes_find_what_each_finds_alone() -> None:
    index, reference = index_on(NullGpu(), NullGpu()), NumpyIndex(DIMENSION)
    for one in (index, reference):
        one.add(np.arange(CROWD), unit_vectors(CROWD))
    probes = unit_vectors(PROBES_PER_PASS + 30, 1)
    assert index.together == PROBES_PER_PASS > reference.together
    assert_same(index.search(probes, 9), reference.search(probes, 9))
    for row in (0, PROBES_PER_PASS - 1, PROBES_PER_PASS, len(probes) - 1):
        assert_same(index.search(probes[row : row + 1], 9), reference.search(probes[row : row + 1], 9))


@pytest.mark.parametrize(("share", "scanned"), [(0.9, True), (0.3, True), (0.01, False)])
def test_a_filter_that_lets_many_through_is_scanned_on_the_gpu(share: float, scanned: bool) -> None:
    gpu = NullGpu()
    index, reference = index_on(gpu), NumpyIndex(DIMENSION)
    for one in (index, reference):
        one.add(np.arange(CROWD), unit_vectors(CROWD))
        one.remove(np.arange(0, CROWD, 9))
    among = np.flatnonzero(np.random.default_rng(3).random(CROWD) < share)
    probes = unit_vectors(5, 1)
    hits = index.search(probes, 7, among)
    assert_same(hits, reference.search(probes, 7, among))
    assert hits.exhaustive is not scanned
    assert bool(gpu.rows_searched) is scanned


def test_a_filter_that_lets_none_of_the_near_ones_through_is_answered_from_memory() -> None:
    index, reference = index_on(NullGpu()), NumpyIndex(DIMENSION)
    for one in (index, reference):
        one.add(np.arange(CROWD), unit_vectors(CROWD))
    probe = unit_vectors(1, 5)
    farthest = np.sort(np.argsort(unit_vectors(CROWD) @ probe[0])[: CROWD // 2])
    assert_same(index.search(probe, 7, farthest), reference.search(probe, 7, farthest))


def test_products_of_halves_are_as_near_as_the_index_takes_them_for() -> None:
    """Against vectors of which half precision rounds every value by as much as it ever does, all in one direction."""
    rounded_most = np.float32(1 + 2.0**-11)
    for dimension in (64, 512, 4096):
        for vectors in (unit_vectors(500, 1, dimension), np.full((1, dimension), rounded_most / dimension**0.5)):
            units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
            halves = units.astype(np.float16).astype(np.float32)
            error = np.abs(
                (halves @ halves.T).astype(np.float64) - units.astype(np.float64) @ units.T.astype(np.float64)
            )
            assert error.max() < 2.0**-9 * 0.75


def test_an_index_without_owner_frees_its_thread() -> None:
    gpu = NullGpu()
    opened: list[Any] = []

    def open_gpu() -> Gpu:
        opened.append(threading.current_thread())
        return gpu

    owner = GpuOwner(open_gpu)
    settled(owner)
    (thread,) = opened
    assert thread.is_alive()
    del owner
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture
def cuda() -> tuple[NullCudaRuntime, NullFaiss, GpuOwner]:
    runtime, library = NullCudaRuntime(), NullFaiss()
    return runtime, library, GpuOwner(lambda: CudaGpu(0, runtime, library))


def test_the_calls_of_cuda_and_faiss_do_what_they_are_meant_to(
    cuda: tuple[NullCudaRuntime, NullFaiss, GpuOwner],
) -> None:
    """On a runtime where what was written is there only once it was waited for, as on a GPU with several streams."""
    runtime, library, owner = cuda
    assert library.scratch == scratch_bytes(PROBES_PER_PASS, BLOCK_ROWS, MAX_FETCHED, 4096)
    index, reference = GpuIndex(DIMENSION, [owner], Workers(2), block_rows=1500, fetched=40), NumpyIndex(DIMENSION)
    vectors, probes = unit_vectors(CROWD), unit_vectors(20, 1)
    for one in (index, reference):
        one.add(np.arange(5000), vectors[:5000])
        one.add(np.arange(5000, CROWD), vectors[5000:])
    assert_same(index.search(probes, 9), reference.search(probes, 9))
    assert_same(index.search(vectors[-20:], 1), reference.search(vectors[-20:], 1))
    for one in (index, reference):
        one.remove(np.array([0, 77, 78, 5999]))
    hits = index.search(probes, 9)
    assert not hits.exhaustive
    assert_same(hits, reference.search(probes, 9))
    contents = [bytes(block) for block in runtime.memory.values()]
    for row, there in ((77, False), (5999, False), (76, True), (79, True)):
        halves = vectors[row].astype(np.float16).tobytes()
        assert any(halves in content for content in contents) is there
    kept = list(runtime.memory.values())
    del index
    gc.collect()
    settled(owner)
    assert runtime.memory == {}
    assert not any(any(bytes(block)) for block in kept)


def test_what_cuda_and_faiss_refuse_is_said_in_their_words(
    cuda: tuple[NullCudaRuntime, NullFaiss, GpuOwner],
) -> None:
    runtime, library, owner = cuda
    halves = Halves(DIMENSION, [owner])
    halves.append(unit_vectors(10))
    library.fails = True
    with pytest.raises(DeviceLost, match=r"GPU 0 refused bfKnn for the gallery's vectors: Error in bfKnn\.") as lost:
        halves.search(unit_vectors(1), 1)
    assert lost.value.metadata == {"device": "cuda:0"}
    runtime.full = True
    with pytest.raises(DeviceUnavailable, match=r"refused cudaMalloc .* error 2: out of memory"):
        halves.append(unit_vectors(5000))
    with pytest.raises(DeviceLost, match=r"refused cudaMemset .* error 1: invalid argument"):
        owner.submit(lambda gpu: gpu.zero(4096, 8)).result()
    with pytest.raises(DeviceUnavailable, match="GPU 1 refused cudaSetDevice"):
        GpuOwner(lambda: CudaGpu(1, NullCudaRuntime(), NullFaiss()))


def test_a_gallery_whose_gpu_has_no_room_refuses_searches_and_the_log_says_why(
    cuda: tuple[NullCudaRuntime, NullFaiss, GpuOwner], caplog: pytest.LogCaptureFixture
) -> None:
    runtime, _, owner = cuda
    memory = GalleryMemory(GpuIndex(DIMENSION, [owner], Workers(1)), 1)
    memory.change(2, [AddedVector(1, 101, unit_vectors(1)[0])], ())
    with memory.at(2):
        assert memory.best_subjects(unit_vectors(1)[0], 1).template_ids.tolist() == [1]
    runtime.full = True
    many = unit_vectors(1024)
    memory.change(3, [AddedVector(2 + n, 102 + n, vector) for n, vector in enumerate(many)], ())
    with pytest.raises(InternalError, match="incomplete"), memory.at(3):
        pass
    assert "GPU 0 refused cudaMalloc for the vectors of a gallery: error 2: out of memory" in caplog.text


def test_a_search_that_a_gpu_fails_fails_alone(cuda: tuple[NullCudaRuntime, NullFaiss, GpuOwner]) -> None:
    _, library, owner = cuda
    index = GpuIndex(DIMENSION, [owner], Workers(1))
    index.add(np.arange(CROWD), unit_vectors(CROWD))
    memory = GalleryMemory(index, 1)
    library.fails = True
    with pytest.raises(DeviceLost), memory.at(1):
        memory.best_subjects(unit_vectors(1)[0], 1)
    library.fails = False
    with memory.at(1):
        assert index.search(unit_vectors(1), 1).ids.tolist() == [[0]]
