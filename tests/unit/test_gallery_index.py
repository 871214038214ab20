"""The one similarity, what every index does, and the compact index: candidates, exact scores, erased codes, upkeep."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fr_core.errors import DeviceUnavailable
from fr_core.gallery.index import faiss_scan
from fr_core.gallery.index.faiss_codes import Segment, Workers
from fr_core.gallery.index.faiss_compact import CODED_FROM, Coding, CompactIndex, worth_rewriting
from fr_core.gallery.index.faiss_cuda import gpu_count
from fr_core.gallery.index.faiss_flat import FaissFlatIndex
from fr_core.gallery.index.growing import GrowingArray, Rewriting
from fr_core.gallery.index.protocol import IndexMemory, Upkeep, VectorIndex, exact_similarity, scan_error_bound
from fr_core.gallery.index.register import INDEX_NAMES, index_maker, new_index
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.types import F32, I64, Embedding
from support.ledger import MODEL


def unit_vectors(n: int, dimension: int, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def ids(*numbers: int) -> I64:
    return np.array(numbers, dtype=np.int64)


@pytest.fixture(params=[name for name in INDEX_NAMES if name not in ("cuvs", "gpu", "int8") or gpu_count()])
def index(request: pytest.FixtureRequest) -> VectorIndex:
    return new_index(request.param, 3)


@pytest.mark.parametrize("dimension", [1, 3, 64, 127, 128, 500, 512, 1024, 4096])
def test_similarity_depends_neither_on_batch_place_in_memory_nor_order(dimension: int) -> None:
    vectors = unit_vectors(301, dimension)
    probes = unit_vectors(301, dimension, seed=1)
    together = exact_similarity(vectors, probes[0])
    for vector, similarity in zip(vectors, together, strict=True):
        assert Embedding(vector, MODEL).similarity(Embedding(probes[0], MODEL)) == similarity
        assert Embedding(probes[0], MODEL).similarity(Embedding(vector, MODEL)) == similarity
    for part in (slice(1), slice(1, 2), slice(7, 12), slice(150, 301), slice(None, None, -3)):
        assert (exact_similarity(vectors[part], probes[0]) == together[part]).all()
    assert (exact_similarity(np.asfortranarray(vectors), probes[0]) == together).all()
    for vector, probe, similarity in zip(vectors, probes, exact_similarity(vectors, probes), strict=True):
        assert exact_similarity(vector[None], probe)[0] == similarity


def test_similarity_never_leaves_its_range() -> None:
    vectors = unit_vectors(1000, 512)
    ones = np.array([exact_similarity(vector[None], vector)[0] for vector in vectors])
    assert ones.max() == 1.0
    assert ones.min() > 1.0 - 1e-6
    assert min(exact_similarity(-vector[None], vector)[0] for vector in vectors) == -1.0


def test_an_empty_index_finds_nothing_and_memory_is_counted(index: VectorIndex) -> None:
    assert index.memory() == IndexMemory(0, 0, 0)
    hits = index.search(unit_vectors(2, 3), 5)
    assert hits.ids.shape == hits.similarities.shape == (2, 0)
    assert hits.ids.dtype == np.int64
    assert hits.similarities.dtype == np.float64
    index.remove(ids())
    for call in (index.remove, index.vectors):
        with pytest.raises(KeyError):
            call(ids(0))
    index.add(ids(1), unit_vectors(1, 3))
    assert index.search(np.empty((0, 3), dtype=np.float32), 5).ids.shape == (0, 1)
    index.add(np.arange(2, 101), unit_vectors(99, 3))
    assert (index.memory().store_bytes, index.memory().other_bytes) == (100 * 3 * 4, 100 * (8 + 1))


def test_removing_what_is_not_there_changes_nothing(index: VectorIndex) -> None:
    index.add(ids(1, 2), unit_vectors(2, 3))
    index.remove(ids(2))
    for missing in (ids(2), ids(1, 2), ids(0), ids(1, 3)):
        with pytest.raises(KeyError):
            index.remove(missing)
        assert index.size == 1
    index.remove(ids())
    assert index.size == 1


def test_wrong_ids_vectors_and_searches_are_refused(index: VectorIndex) -> None:
    index.add(ids(2, 5), unit_vectors(2, 3))
    index.remove(ids(5))  # an id is not free again when its vector is gone
    for numbers in (ids(5), ids(4), ids(7, 7), ids(8, 7)):
        with pytest.raises(ValueError, match="ascend"):
            index.add(numbers, unit_vectors(len(numbers), 3))
    for shape in ((1, 3), (2, 4), (6,)):
        with pytest.raises(ValueError, match="vectors"):
            index.add(ids(7, 8), np.zeros(shape, dtype=np.float32))
    for shape, k, words in (((1, 4), 1, "probes"), ((3,), 1, "probes"), ((1, 3), 0, "k must")):
        with pytest.raises(ValueError, match=words):
            index.search(np.zeros(shape, dtype=np.float32), k)
    assert index.size == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_beyond_one_the_longer_vector_does_not_win(index: VectorIndex, sign: int) -> None:
    """Similarities are clipped: vectors that are a little longer than 1 are as alike as one can be, no more."""
    lengths = 1.0 + np.array([0.0001, 0.0003, 0.0002, 0.0004, 0.0001])
    index.add(np.arange(5), (lengths[:, None] * [[0.0, sign, 0.0]]).astype(np.float32))
    hits = index.search(np.array([[0, 1, 0]], dtype=np.float32), 2)
    assert hits.ids.tolist() == [[0, 1]]
    assert hits.similarities.tolist() == [[sign, sign]]


def test_vectors_are_given_back_as_copies(index: VectorIndex) -> None:
    vectors = unit_vectors(3, 3)
    index.add(ids(1, 4, 7), vectors)
    index.remove(ids(4))
    found = index.vectors(ids(7, 1, 7))
    assert (found == vectors[[2, 0, 2]]).all()
    found[:] = 0.0
    assert (index.vectors(ids(7, 1)) == vectors[[2, 0]]).all()
    assert index.vectors(ids()).shape == (0, 3)
    for missing in (ids(4), ids(1, 2), ids(8)):
        with pytest.raises(KeyError):
            index.vectors(missing)


def upkeep_of(index: VectorIndex) -> Upkeep:
    work = index.upkeep()
    assert work is not None
    return work


def test_a_removed_vector_is_erased_at_once_and_its_row_dropped_by_upkeep(index: VectorIndex) -> None:
    vectors = unit_vectors(6000, 3)
    index.add(np.arange(6000), vectors)
    index.remove(np.arange(1, 1401))
    assert index.upkeep() is None
    index.remove(np.arange(1401, 1502))
    assert index.memory().store_bytes == 6000 * 12
    work = upkeep_of(index)
    index.remove(ids(1600))
    work.prepare()
    index.remove(ids(1700))
    index.add(ids(6000, 6001), vectors[[1, 0]])
    index.remove(ids(6000))
    work.finish()
    assert index.upkeep() is None
    live = [0, *(n for n in range(1502, 6000) if n not in (1600, 1700))]
    assert index.size == len(live) + 1
    assert index.memory().store_bytes <= (len(live) + 3) * 12
    assert (index.vectors(np.array(live)) == vectors[live]).all()
    assert index.search(vectors[:1], 2).ids.tolist() == [[0, 6001]]
    for gone in (1600, 1700, 6000):
        with pytest.raises(KeyError):
            index.vectors(ids(gone))


def test_the_error_bound_holds_for_the_worst_that_was_tried() -> None:
    """Long sums of one sign lose the most; the bound must hold for them, and not be so wide that it bounds nothing."""
    for dimension in (2, 64, 512, 4096):
        alike = np.full((1, dimension), dimension**-0.5, dtype=np.float32)
        vectors = np.concatenate([alike, np.abs(unit_vectors(500, dimension)), unit_vectors(500, dimension)])
        index = FaissFlatIndex(dimension)
        index.add(np.arange(len(vectors)), vectors)
        for probe in (alike[0], vectors[1], vectors[700]):
            scores, rows = index._scan(probe[None], len(vectors), None)
            error = np.abs(scores[0] - vectors[rows[0]].astype(np.float64) @ probe.astype(np.float64)).max()
            assert error <= scan_error_bound(dimension) <= 2e-7 * dimension


def test_a_removed_vector_is_overwritten() -> None:
    index = FaissFlatIndex(8)
    index.add(np.arange(10), unit_vectors(10, 8))
    index.remove(ids(3, 4))
    assert (index._rows.vectors.any(axis=1) == ~np.isin(np.arange(10), [3, 4])).all()


def test_an_array_with_a_limit_is_not_copied_again_from_an_eighth_of_it_on() -> None:
    array = GrowingArray(np.int64, limit=800)
    array.append(np.arange(99))
    small = array.rows.base
    array.append(np.arange(99, 101))
    whole = array.rows.base
    assert whole is not small
    array.append(np.arange(101, 800))
    assert array.rows.base is whole
    assert (array.rows == np.arange(800)).all()


@pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU")
def test_without_a_gpu_the_gpu_index_is_refused_and_auto_is_the_compact_one() -> None:
    with pytest.raises(DeviceUnavailable, match="no GPU"):
        new_index("gpu", 3)
    assert isinstance(new_index("auto", 3), CompactIndex)


def test_indexes_of_one_maker_share_their_threads() -> None:
    make = index_maker("compact", 2)
    one, other = make(3), make(4)
    assert isinstance(one, CompactIndex)
    assert isinstance(other, CompactIndex)
    assert (one.dimension, other.dimension, one._workers) == (3, 4, other._workers)


CROWD = 30_000
DIMENSION = 512
MATED = 0.4


def mated(vectors: F32, cosine: float, seed: int) -> F32:
    """Probes f32[n, D] at a cosine to vectors f32[n, D]."""
    across = unit_vectors(len(vectors), vectors.shape[1], seed).astype(np.float64)
    across -= np.vecdot(across, vectors)[:, None] * vectors
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    probes: F32 = (cosine * vectors + np.sqrt(1 - cosine**2) * across).astype(np.float32)
    return probes


def keep_up(index: CompactIndex) -> int:
    """Do all upkeep; return how many pieces of it there were."""
    pieces = 0
    while (work := index.upkeep()) is not None:
        work.prepare()
        work.finish()
        pieces += 1
    return pieces


def small(n: int, *, dimension: int = 16, candidates: int = 50, seed: int = 0) -> tuple[CompactIndex, F32]:
    """An index with codes, in segments of 256 rows, and its vectors; their ids are their numbers."""
    index = CompactIndex(dimension, 2, segment_rows=256, coded_from=16, candidates=candidates)
    vectors = unit_vectors(n, dimension, seed)
    index.add(np.arange(n), vectors)
    keep_up(index)
    return index, vectors


@pytest.fixture(scope="module")
def vectors() -> F32:
    return unit_vectors(CROWD, DIMENSION)


@pytest.fixture(scope="module")
def compact(vectors: F32) -> CompactIndex:
    index = CompactIndex(DIMENSION, 2, segment_rows=8192)
    for start in range(0, CROWD, 4096):
        block = np.arange(start, min(start + 4096, CROWD))
        index.add(block, vectors[block])
    assert keep_up(index) == 1
    return index


@pytest.fixture(scope="module")
def reference(vectors: F32) -> NumpyIndex:
    index = NumpyIndex(DIMENSION)
    index.add(np.arange(CROWD), vectors)
    return index


def test_mates_come_first_and_the_best_are_found(compact: CompactIndex, reference: NumpyIndex, vectors: F32) -> None:
    mates = np.random.default_rng(1).choice(CROWD, 100, replace=False)
    probes = mated(vectors[mates], MATED, seed=2)
    hits = compact.search(probes, 20)
    assert (compact.exact, hits.exhaustive) == (False, False)
    assert compact.memory().store_bytes == CROWD * DIMENSION * 4
    assert compact.memory().scan_bytes / CROWD <= 140  # 128 bytes of the scan for a template
    assert (hits.ids[:, 0] == mates).all()
    best = reference.search(probes, 20).ids
    assert np.mean([np.isin(theirs, ours).mean() for ours, theirs in zip(hits.ids, best, strict=True)]) >= 0.99


def test_scores_are_exact_to_the_last_bit_and_in_order(compact: CompactIndex, vectors: F32) -> None:
    probes = unit_vectors(5, DIMENSION, seed=3)
    hits = compact.search(probes, 300)
    for probe, ids, similarities in zip(probes, hits.ids, hits.similarities, strict=True):
        assert (exact_similarity(vectors[ids], probe) == similarities).all()
        assert (np.lexsort((ids, -similarities)) == np.arange(300)).all()


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.9])
def test_a_filter_loses_no_mate(compact: CompactIndex, reference: NumpyIndex, vectors: F32, share: float) -> None:
    among = np.flatnonzero(np.random.default_rng(5).random(CROWD) < share).astype(np.int64)
    mates = among[:20]
    probes = mated(vectors[mates], MATED, seed=6)
    hits, expected = compact.search(probes, 10, among), reference.search(probes, 10, among)
    assert (hits.ids[:, 0] == mates).all()
    assert np.isin(hits.ids, among).all()
    assert (hits.ids == expected.ids).mean() >= 0.98
    if len(among) <= CROWD / 12:
        assert hits.exhaustive
        assert (hits.ids == expected.ids).all()


def hits_of(index: CompactIndex, probes: F32, k: int, among: I64 | None = None) -> list[list[int]]:
    found: list[list[int]] = index.search(probes, k, among).ids.tolist()
    return found


def test_removed_and_filtered_rows_take_no_place_among_the_candidates() -> None:
    """The candidates of what is left are those of an index that never held anything else."""
    index, near = small(3000)
    probes = unit_vectors(1, 16, seed=7)
    order = np.argsort(-near @ probes[0])
    others = np.sort(order[600:])
    filtered = hits_of(index, probes, 10, others)
    index.remove(order[:600])
    removed = hits_of(index, probes, 10)
    assert keep_up(index) > 0
    assert filtered == removed == hits_of(index, probes, 10)


def test_candidates_that_all_lie_in_one_segment_are_all_found() -> None:
    """People may be enrolled in the order of their looks, so that the best thousand are neighbours."""
    probes = unit_vectors(1, 16, seed=8)
    near = mated(np.repeat(probes, 500, axis=0), 0.6, seed=9)
    far = unit_vectors(4 * 512, 16, seed=10)
    everything = np.concatenate([far[:1024], near, far[1024:]])
    cut, whole = (CompactIndex(16, 2, segment_rows=rows, coded_from=16, candidates=400) for rows in (512, 10_000))
    for index in (cut, whole):
        index.add(np.arange(len(everything)), everything)
        keep_up(index)
    assert hits_of(cut, probes, 90) == hits_of(whole, probes, 90)


def test_the_number_of_threads_changes_nothing() -> None:
    two, vectors = small(3000)
    probes = unit_vectors(50, 16, seed=11)
    for threads in (1, 3):
        index = CompactIndex(16, threads, segment_rows=256, coded_from=16, candidates=50)
        index.add(np.arange(3000), vectors)
        keep_up(index)
        assert hits_of(index, probes, 10) == hits_of(two, probes, 10)


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 128, 1024, 1030])
def test_every_dimension_has_codes(dimension: int) -> None:
    index, vectors = small(700, dimension=dimension, candidates=100)
    assert index.memory().scan_bytes > 0
    hits = index.search(vectors[:20], 1)
    found = exact_similarity(vectors[:20], vectors[:20])
    assert (hits.similarities[:, 0] == found).all()


def test_codes_come_once_they_are_worth_it() -> None:
    index = CompactIndex(4)
    index.add(np.arange(CODED_FROM - 1), unit_vectors(CODED_FROM - 1, 4))
    assert (index.upkeep(), index.exact) == (None, True)
    index.add(np.array([CODED_FROM]), unit_vectors(1, 4))
    assert isinstance(index.upkeep(), Coding)
    assert (keep_up(index), index.exact, index.upkeep()) == (1, False, None)


def centroid_codes(index: CompactIndex) -> list[F32]:
    """The vector that each row's code gives back, for each segment."""
    found = []
    for segment in index._segments:
        assert segment.codes is not None
        found.append(segment.codes._scan.reconstruct_n(0, len(segment.codes)))
    return found


def test_a_removed_vector_and_its_code_are_erased_at_once() -> None:
    index, vectors = small(600)
    before = centroid_codes(index)
    gone = np.array([0, 3, 255, 256, 300, 599])
    index.remove(gone)
    start = 0
    for segment, codes, then in zip(index._segments, centroid_codes(index), before, strict=True):
        erased = np.isin(np.arange(start, start + len(segment)), gone)
        assert not segment.vectors[erased].any()
        assert (segment.vectors[~erased] == vectors[start : start + len(segment)][~erased]).all()
        assert (codes[~erased] == then[~erased]).all()
        assert len(np.unique(codes[erased], axis=0)) == 1
        start += len(segment)


def test_what_is_removed_while_codes_are_made_leaves_no_code() -> None:
    index = CompactIndex(16, 2, segment_rows=256, coded_from=16)
    vectors = unit_vectors(700, 16)
    index.add(np.arange(600), vectors[:600])
    work = upkeep_of(index)
    index.remove(np.array([5]))
    work.prepare()
    index.remove(np.array([300, 301]))
    index.add(np.arange(600, 700), vectors[600:])
    index.remove(np.array([650]))
    work.finish()
    codes = np.concatenate(centroid_codes(index))
    live = np.concatenate([segment.live for segment in index._segments])
    assert len(codes) == len(live) == 700
    kept = exact_similarity(vectors[live], codes[live] / np.linalg.norm(codes[live], axis=1, keepdims=True))
    assert kept.min() > 0.7
    assert len(np.unique(codes[[300, 301]], axis=0)) == 1
    assert index.search(vectors[650:651], 1).ids[0, 0] != 650


def test_the_rows_of_removed_vectors_are_dropped_and_neighbours_merged() -> None:
    index, vectors = small(2000)
    live = np.arange(0, 2000, 4)
    index.remove(np.setdiff1d(np.arange(2000), live))
    keep_up(index)
    assert (index.size, index.memory().store_bytes) == (500, 500 * 16 * 4)
    assert len(index._segments) <= 3
    assert (index.vectors(live) == vectors[live]).all()
    index.add(np.arange(2000, 2100), unit_vectors(100, 16, seed=1))
    index.remove(live)
    keep_up(index)
    assert index.memory().store_bytes == 100 * 16 * 4
    index.remove(np.arange(2000, 2100))
    keep_up(index)
    assert index.memory().store_bytes <= 100 * 16 * 4
    assert index.search(vectors[:1], 1).ids.shape == (1, 0)


def test_segments_that_come_during_a_rewriting_stay_behind_it() -> None:
    index, vectors = small(100)
    index.remove(np.arange(60))
    work = upkeep_of(index)
    work.prepare()
    more = unit_vectors(900, 16, seed=1)
    index.add(np.arange(100, 1000), more)
    work.finish()
    assert [segment.ids[0] for segment in index._segments] == sorted(segment.ids[0] for segment in index._segments)
    assert (index.vectors(np.arange(60, 1000)) == np.concatenate([vectors[60:], more])).all()


def test_a_segment_with_few_removed_rows_stays_as_it_is() -> None:
    index, _ = small(512)
    index.remove(np.arange(64))
    assert index.upkeep() is None
    index.remove(np.array([64]))
    assert isinstance(index.upkeep(), Rewriting)


class _Sized(Segment):
    def __init__(self, size: int) -> None:
        super().__init__(1, 100, None)
        self.append(np.arange(size), np.ones((size, 1), dtype=np.float32))


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [
        ([100, 100, 40], []),
        ([100, 40, 40], [40, 40]),
        ([60, 60], []),
        ([60, 20], []),
        ([60, 30], [60, 30]),
        ([90, 10, 10, 20], [10, 10]),
        ([80, 1, 15, 70], []),
        ([60, 10, 20, 100], [60, 10, 20]),
        ([45, 10, 45], [45, 10, 45]),
        ([], []),
    ],
)
def test_neighbours_are_merged_when_none_is_much_larger_than_the_others(sizes: list[int], merged: list[int]) -> None:
    found = worth_rewriting([_Sized(size) for size in sizes], 100)
    assert [segment.size for segment in found] == merged


def test_a_failing_worker_is_told_of_once_the_others_are_done() -> None:
    done: list[int] = []
    release = threading.Event()

    def do(item: int) -> None:
        if item == 0:
            raise RuntimeError("item 0")
        release.wait(10)
        done.append(item)

    workers = Workers(2)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(workers.each, do, [0, 1, 2])
        time.sleep(0.05)
        assert not call.done()
        release.set()
        with pytest.raises(RuntimeError, match="item 0"):
            call.result(10)
    assert done == [1, 2]


def test_searches_run_at_once_and_beside_upkeep() -> None:
    index, vectors = small(3000)
    expected = index.search(vectors[:32], 5).ids
    index.remove(np.arange(1000, 2000))
    kept = index.search(vectors[:32], 5).ids
    work = upkeep_of(index)

    def search(n: int) -> I64:
        ids: I64 = index.search(vectors[n : n + 1], 5).ids[0]
        return ids

    with ThreadPoolExecutor(4) as pool:
        found = pool.map(search, [n % 32 for n in range(400)])
        work.prepare()
        assert all((ids == kept[n % 32]).all() for n, ids in enumerate(found))
    work.finish()
    assert (expected[:, 0] == kept[:, 0]).all()
    assert (index.search(vectors[:32], 5).ids[:, 0] == np.arange(32)).all()


def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return where it is noted, from now on, for how many probes and how wide segments are scanned."""
    noted: list[tuple[int, int]] = []
    clear = faiss_scan._Found.clear

    def noting(found: faiss_scan._Found, probes: int) -> None:
        noted.append((probes, found.width))
        clear(found, probes)

    monkeypatch.setattr(faiss_scan._Found, "clear", noting)
    return noted


def test_probes_that_thousands_are_equally_like_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_vectors(10 * 256, 16)
    vectors[np.random.default_rng(1).choice(10 * 256, 1500, replace=False)] = vectors[0]
    index, reference = CompactIndex(16, 2, segment_rows=256, coded_from=16, candidates=20), NumpyIndex(16)
    for one in (index, reference):
        one.add(np.arange(10 * 256), vectors)
    keep_up(index)
    probes = mated(np.repeat(vectors[:1], 10, axis=0), 0.95, seed=2)
    expected = reference.search(probes, 5)
    monkeypatch.setattr(faiss_scan, "_TOGETHER", 6000)
    noted = fetched(monkeypatch)
    hits = index.search(probes, 5)
    assert (hits.ids == expected.ids).all()
    assert (hits.similarities == expected.similarities).all()
    whole = max(width for _, width in noted)
    assert whole == 256
    assert 1 <= max(probes for probes, width in noted if width == whole) <= 2
