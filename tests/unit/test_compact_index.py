"""The compact index: what its candidates are worth, exact scores, erased codes, segments, and upkeep beside changes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fr_core.gallery.index import faiss_scan
from fr_core.gallery.index.faiss_compact import CODED_FROM, Coding, CompactIndex, worth_rewriting
from fr_core.gallery.index.faiss_segment import Segment, Workers
from fr_core.gallery.index.growing import Rewriting
from fr_core.gallery.index.numpy_scan import NumpyIndex
from fr_core.gallery.index.protocol import Upkeep, exact_similarity
from fr_core.types import F32, I64

CROWD = 30_000
DIMENSION = 512
MATED = 0.4


def unit_vectors(n: int, dimension: int, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


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


def upkeep_of(index: CompactIndex) -> Upkeep:
    work = index.upkeep()
    assert work is not None
    return work


def small(n: int, *, dimension: int = 16, candidates: int = 50, seed: int = 0) -> tuple[CompactIndex, F32]:
    """An index with codes, in segments of 256 rows, and its vectors; their ids are their numbers."""
    index = CompactIndex(dimension, 2, segment_rows=256, coded_from=16, candidates=candidates)
    vectors = unit_vectors(n, dimension, seed)
    index.add(np.arange(n), vectors)
    keep_up(index)
    return index, vectors


def found_share(index: CompactIndex, reference: NumpyIndex, probes: F32, k: int) -> float:
    """The share of the k best that an index finds."""
    found, best = index.search(probes, k).ids, reference.search(probes, k).ids
    return float(np.mean([np.isin(theirs, ours).mean() for ours, theirs in zip(found, best, strict=True)]))


@pytest.fixture(scope="module")
def vectors() -> F32:
    return unit_vectors(CROWD, DIMENSION)


@pytest.fixture(scope="module")
def index(vectors: F32) -> CompactIndex:
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


def test_mates_come_first_and_nearly_all_of_the_best_are_found(
    index: CompactIndex, reference: NumpyIndex, vectors: F32
) -> None:
    mates = np.random.default_rng(1).choice(CROWD, 100, replace=False)
    probes = mated(vectors[mates], MATED, seed=2)
    assert not index.exact
    assert (index.search(probes, 20).ids[:, 0] == mates).all()
    assert found_share(index, reference, probes, 20) >= 0.99


def test_scores_are_exact_to_the_last_bit_and_in_order(index: CompactIndex, vectors: F32) -> None:
    probes = unit_vectors(5, DIMENSION, seed=3)
    hits = index.search(probes, 300)
    for probe, ids, similarities in zip(probes, hits.ids, hits.similarities, strict=True):
        assert (exact_similarity(vectors[ids], probe) == similarities).all()
        assert (np.lexsort((ids, -similarities)) == np.arange(300)).all()


@pytest.mark.parametrize("together", [2, 3, 4, 5, 64, 65])
def test_a_probe_finds_the_same_alone_and_in_company(index: CompactIndex, together: int) -> None:
    probes = unit_vectors(together, DIMENSION, seed=4)
    hits = index.search(probes, 20)
    for row in (0, together // 2, together - 1):
        alone = index.search(probes[row : row + 1], 20)
        assert (alone.ids[0] == hits.ids[row]).all()
        assert (alone.similarities[0] == hits.similarities[row]).all()


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.9])
def test_a_filter_loses_no_mate(index: CompactIndex, reference: NumpyIndex, vectors: F32, share: float) -> None:
    among = np.flatnonzero(np.random.default_rng(5).random(CROWD) < share).astype(np.int64)
    mates = among[:20]
    probes = mated(vectors[mates], MATED, seed=6)
    hits, expected = index.search(probes, 10, among), reference.search(probes, 10, among)
    assert (hits.ids[:, 0] == mates).all()
    assert np.isin(hits.ids, among).all()
    assert (hits.ids == expected.ids).mean() >= 0.98
    if len(among) <= CROWD / 12:
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


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    index = CompactIndex(16, threads, segment_rows=256, coded_from=16, candidates=50)
    index.add(np.arange(3000), unit_vectors(3000, 16))
    keep_up(index)
    probes = unit_vectors(50, 16, seed=11)
    assert (index.search(probes, 10).ids == small(3000)[0].search(probes, 10).ids).all()


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 128, 1024, 1030])
def test_every_dimension_has_codes(dimension: int) -> None:
    index, vectors = small(700, dimension=dimension, candidates=100)
    assert index.memory().scan_bytes > 0
    hits = index.search(vectors[:20], 1)
    found = exact_similarity(vectors[:20], vectors[:20])
    assert (hits.similarities[:, 0] == found).all()


def test_a_template_takes_128_bytes_of_the_scan(index: CompactIndex) -> None:
    assert index.memory().scan_bytes / CROWD <= 140
    assert index.memory().store_bytes == CROWD * DIMENSION * 4


def test_codes_come_once_they_are_worth_it() -> None:
    index = CompactIndex(4)
    index.add(np.arange(CODED_FROM - 1), unit_vectors(CODED_FROM - 1, 4))
    assert index.upkeep() is None
    assert index.exact
    index.add(np.array([CODED_FROM]), unit_vectors(1, 4))
    assert isinstance(index.upkeep(), Coding)
    assert keep_up(index) == 1
    assert not index.exact
    assert index.upkeep() is None


def centroid_codes(index: CompactIndex) -> list[F32]:
    """What can be had back of each row from its code, for each segment."""
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
    assert [len(segment) for segment in index._segments] == [256] * 7 + [208]
    live = np.arange(0, 2000, 4)
    index.remove(np.setdiff1d(np.arange(2000), live))
    keep_up(index)
    assert sum(len(segment) for segment in index._segments) == 500
    assert len(index._segments) <= 3
    assert index.size == 500
    assert (index.vectors(live) == vectors[live]).all()
    index.add(np.arange(2000, 2100), unit_vectors(100, 16, seed=1))
    assert index.size == 600
    index.remove(live)
    keep_up(index)
    assert index.memory().store_bytes == 100 * 16 * 4
    index.remove(np.arange(2000, 2100))
    keep_up(index)
    assert index.memory().store_bytes <= 100 * 16 * 4
    assert index.search(vectors[:1], 1).ids.shape == (1, 0)


def test_segments_that_come_while_the_last_is_rewritten_stay_behind_it() -> None:
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


def test_hits_say_whether_others_could_be_among_the_best(index: CompactIndex, vectors: F32) -> None:
    assert not index.search(vectors[:1], 5).exhaustive
    assert index.search(vectors[:1], 5, np.arange(0, len(vectors), 50)).exhaustive


SCATTERED = np.random.default_rng(1).choice(10 * 256, 1500, replace=False)


def with_copies(n: int, copies: I64) -> tuple[CompactIndex, NumpyIndex, F32]:
    """An index of few candidates in which the rows `copies` are equal, its reference, and what these rows are."""
    vectors = unit_vectors(n, 16)
    vectors[copies] = vectors[0]
    index, reference = CompactIndex(16, 2, segment_rows=256, coded_from=16, candidates=20), NumpyIndex(16)
    for one in (index, reference):
        one.add(np.arange(n), vectors)
    keep_up(index)
    return index, reference, vectors[:1]


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
    index, reference, copied = with_copies(10 * 256, SCATTERED)
    probes = mated(np.repeat(copied, 10, axis=0), 0.95, seed=2)
    expected = reference.search(probes, 5)
    monkeypatch.setattr(faiss_scan, "_TOGETHER", 6000)
    noted = fetched(monkeypatch)
    hits = index.search(probes, 5)
    assert (hits.ids == expected.ids).all()
    assert (hits.similarities == expected.similarities).all()
    whole = max(width for _, width in noted)
    assert whole == 256
    assert 1 <= max(probes for probes, width in noted if width == whole) <= 2
