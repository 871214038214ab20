"""The kernels of the first pass in int8, one by one, on the processor: each bound holds, and none is much too wide."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.gallery.index import int8_gpu
from fr_core.gallery.index.gpu_memory import F16
from fr_core.gallery.index.protocol import F64
from fr_core.types import F32
from support.int8_reference import Coded, bounds, coded
from support.kernels import COMPILER, HostKernels

pytestmark = pytest.mark.skipif(not COMPILER, reason="no g++")

DIMENSION = 40
WIDTH = 48
BINS = 4096
LOWEST = np.float32(-3.4e38)
I8 = npt.NDArray[np.int8]


@pytest.fixture(scope="module")
def kernels() -> HostKernels:
    return HostKernels(Path(int8_gpu.__file__).with_name("int8_scan.cu").read_bytes())


def halves_of(kind: str, n: int = 300) -> F16:
    """Vectors of length 1; the codes of those "between" miss about half a step of each value, in one direction."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((n, DIMENSION))
    if kind == "between":
        vectors = rng.integers(-100, 100, (n, DIMENSION)) + rng.choice([-0.49, 0.49], (n, 1))
        vectors[:, 0] = 127
    elif kind == "flat":
        vectors = np.ones((n, DIMENSION))
    elif kind == "peak":
        vectors = 1e-3 * vectors
        vectors[:, 7] = 1
    halves: F16 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    if kind == "mixed":
        halves[3], halves[4] = 0, np.float16(6e-8)  # the least half
    return halves


def code(kernels: HostKernels, halves: F16) -> tuple[I8, F32]:
    codes, terms = np.full((len(halves), WIDTH), 99, dtype=np.int8), np.empty((len(halves), 3), dtype=np.float32)
    kernels.run("code", len(halves), 1, halves, len(halves), DIMENSION, WIDTH, codes, terms)
    return codes, terms


def as_coded(codes: I8, terms: F32) -> Coded:
    scales, residuals, lengths = terms.T.astype(np.float64)
    return Coded(codes[:, :DIMENSION].astype(np.int64), scales, residuals, lengths)


def products_of(rows: I8, probes: I8) -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(probes.astype(np.int32) @ rows.astype(np.int32).T)


@pytest.mark.parametrize("kind", ["mixed", "between", "flat", "peak"])
def test_codes_are_those_of_the_reference_and_what_they_miss_is_not_made_less(kernels: HostKernels, kind: str) -> None:
    halves = halves_of(kind)
    codes, terms = code(kernels, halves)
    reference = coded(halves)
    assert not codes[:, DIMENSION:].any()
    assert np.abs(codes[:, :DIMENSION] - reference.codes).max() <= 1  # in the middle between two codes
    assert (terms[:, 0] == reference.scales).all()
    kept = codes[:, :DIMENSION] * terms[:, :1].astype(np.float64)
    lost, length = np.linalg.norm(halves - kept, axis=1), np.linalg.norm(kept, axis=1)
    assert (terms[:, 1] >= lost).all()
    assert (terms[:, 2] >= length).all()
    assert (terms[:, 1] <= 1.0001 * lost + 2e-6 * length).all()
    assert (terms[:, 2] <= 1.0001 * length).all()


@pytest.mark.parametrize("kinds", [("mixed", "mixed"), ("between", "flat"), ("flat", "between"), ("peak", "mixed")])
def test_bounds_hold_and_are_those_of_the_reference(kernels: HostKernels, kinds: tuple[str, str]) -> None:
    rows, probes = halves_of(kinds[0]), halves_of(kinds[1], 20)
    (codes, terms), (probe_codes, probe_terms) = code(kernels, rows), code(kernels, probes)
    products = products_of(codes, probe_codes)
    scores: F64 = probes.astype(np.float64) @ rows.astype(np.float64).T
    low, high = bounds(as_coded(codes, terms), as_coded(probe_codes, probe_terms))

    counts = np.zeros((len(probes), BINS), dtype=np.uint32)
    for row in range(len(rows)):  # one at a time, so that it is seen which bin each is counted in
        counts[:] = 0
        column = np.ascontiguousarray(products[:, row : row + 1])
        kernels.run(
            "count_low", 1, len(probes), column, 1, 1, 1, terms[row : row + 1].copy(), probe_terms, None, counts
        )
        assert (counts.sum(axis=1) == 1).all()
        edges = (counts.argmax(axis=1) - 2048) / 2048
        assert (edges <= scores[:, row]).all()
        assert (edges > low[:, row] - 2.0**-11 - 1e-5).all()

    def picked(floors: F64) -> npt.NDArray[np.bool_]:
        """Return bool[probes, rows]: true where a row reaches the floor f64[probes, rows] that it has for a probe."""
        made = np.zeros((len(probes), len(rows)), dtype=bool)
        for row in range(len(rows)):
            count, found = np.zeros(len(probes), np.uint32), np.zeros((len(probes), 1), np.uint32)
            given = np.ascontiguousarray(products[:, row : row + 1]), 1, 1, terms[row : row + 1].copy(), probe_terms
            kernels.run("pick", 1, len(probes), *given, None, floors[:, row].astype(np.float32), 1, count, found)
            made[:, row] = count > 0
        return made

    assert picked(np.nextafter(scores.astype(np.float32), np.float32(-2)).astype(np.float64)).all()
    assert not picked(high + 1e-5).any()


def test_a_floor_is_one_that_as_many_reach_as_are_wanted(kernels: HostKernels) -> None:
    counts = np.zeros((5, BINS), dtype=np.uint32)
    counts[0, [3000, 3001, 2999]] = [2, 3, 50]
    counts[1, [3000, 3001]] = [2, 2]  # fewer than are wanted
    counts[2, [0, 4095]] = [9, 4]  # the last is in the lowest bin, which has no lower edge
    counts[3, 4095] = 5
    counts[4, [2048, 3001]] = [1, 4]
    floors = np.empty(5, dtype=np.float32)
    kernels.run("find_floor", 5, 1, 5, 5, counts, floors)
    assert floors.tolist() == [952 / 2048, LOWEST, LOWEST, 2047 / 2048, 0.0]


def test_all_are_picked_once_or_counted_where_there_is_no_room(kernels: HostKernels) -> None:
    n = 640_000  # so many that threads that do not wait for each other miss some
    products, terms = np.zeros((2, n), np.int32), np.ones((n, 3), np.float32)
    allowed = np.full(n // 32, 0xFFFF7FFF, dtype=np.uint32)
    for room in (n, 100):
        count, found = np.zeros(2, np.uint32), np.full((2, room), n, np.uint32)
        given = products, n, n, terms, terms, allowed, np.full(2, LOWEST), room, count, found
        kernels.run("pick", n, 2, *given)
        assert count.tolist() == [n - n // 32] * 2
        filled = found[:, : n - n // 32]
        assert all(len(np.unique(line)) == filled.shape[1] for line in filled)
        assert not (filled % 32 == 15).any()


def test_rows_that_were_picked_are_scored_and_ranked(kernels: HostKernels) -> None:
    rows, probes = halves_of("mixed"), halves_of("between", 3)
    rows[10] = rows[20] = rows[30]
    room, k = 64, 40
    found = np.full((3, room), 10**6, dtype=np.uint32)
    count = np.array([room + 5, 41, 40], dtype=np.uint32)
    rng = np.random.default_rng(8)
    for line, number in zip(found, count, strict=True):
        line[: min(room, number)] = rng.permutation(np.r_[10, 20, 30, 40:101])[: min(room, number)]
    scores = np.empty((3, room), np.float32)
    kernels.run("score", room, 3, rows, probes, DIMENSION, room, count, found, scores)
    best, best_rows = np.empty((3, k), np.float32), np.empty((3, k), np.uint32)
    kernels.run("rank", room, 3, room, k, count, found, scores, best, best_rows)
    exact: F64 = probes.astype(np.float64) @ rows.astype(np.float64).T
    for probe in range(3):
        some = found[probe, : min(room, count[probe])].astype(np.int64)
        assert np.abs(scores[probe, : len(some)] - exact[probe, some]).max() < 1e-6
        order = np.lexsort((some, -scores[probe, : len(some)]))[:k]
        assert best_rows[probe].tolist() == some[order].tolist()
        assert (best[probe] == scores[probe, order]).all()
