"""The first pass in int8 loses none of the best rows, whatever the vectors; a narrower bound would lose some."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.gallery.index.gpu_memory import F16
from fr_core.gallery.index.int8_gpu import Int8Gpu
from fr_core.gallery.index.protocol import F64
from support.counts import examples
from support.gpus import NullCudaRuntime, NullCuvs
from support.int8_reference import bounds, candidates, coded
from support.kernels import COMPILER, HostCompiler, NullBlas

MOST_PICKED = 128
KINDS = ("random", "equal", "alike", "between codes", "sparse", "peak", "tiny", "zero")


def vectors_of(kind: str, n: int, dimension: int, rng: np.random.Generator) -> F64:
    """Vectors f64[n, D] that make it hard to keep a bound, or to be kept by one."""
    random: F64 = rng.standard_normal((n, dimension))
    if kind == "equal":
        random[1:] = random[0]
    if kind == "alike":
        random[1:] = random[0] + rng.choice([1e-4, 1e-3, 1e-2]) * random[1:]
    if kind == "between codes":
        # Every value lies just below or above the middle between two codes, so that all errors have one direction.
        codes: F64 = rng.integers(-100, 100, (n, dimension)) + rng.choice([-0.49, 0.49], (n, 1))
        codes[:, 0] = 127
        return codes
    if kind == "sparse":
        return random * (rng.random((n, dimension)) < 0.2)
    if kind == "peak":
        peak = 1e-3 * random
        peak[np.arange(n), rng.integers(dimension, size=n)] = rng.choice([-1, 1], n)
        return peak
    return random


def halves_of(kinds: list[str], n: int, dimension: int, rng: np.random.Generator) -> F16:
    """Rows f16[n, D] of such kinds, mixed; of length 1, or nearly 0."""
    parts = []
    for part, kind in zip(np.array_split(np.arange(n), len(kinds)), kinds, strict=True):
        vectors = vectors_of(kind, len(part), dimension, rng)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        size = {"tiny": 1e-6, "zero": 0.0}.get(kind, 1.0)
        parts.append(size * vectors / np.where(lengths > 0, lengths, 1))
    mixed = np.concatenate(parts)
    return mixed[rng.permutation(n)].astype(np.float16)


SHAPES = st.fixed_dictionaries(
    {
        "kinds": st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        "toward": st.sampled_from(["random", "row", "flat", "zero"]),
        "dimension": st.sampled_from([1, 3, 16, 32, 100]),
        "n": st.integers(MOST_PICKED + 1, 400),
        "k": st.integers(1, 8),
        "seed": st.integers(0, 2**32 - 1),
    }
)


def case(shape: dict[str, object]) -> tuple[F16, F16, int, np.random.Generator]:
    rng = np.random.default_rng(int(str(shape["seed"])))
    n, dimension = int(str(shape["n"])), int(str(shape["dimension"]))
    kinds = shape["kinds"]
    assert isinstance(kinds, list)
    rows = halves_of(kinds, n, dimension, rng)
    probes = halves_of(["random"], 3, dimension, rng)
    if shape["toward"] == "row":
        probes = rows[:3].copy()
    elif shape["toward"] == "flat":
        probes[:] = dimension**-0.5
    elif shape["toward"] == "zero":
        probes[0] = 0
    return rows, probes, int(str(shape["k"])), rng


def exact(rows: F16, probes: F16) -> F64:
    """Inner products f64[probes, rows]: products of halves are exact in float64, sums nearly so."""
    return probes.astype(np.float64) @ rows.astype(np.float64).T


@settings(max_examples=examples(200))
@given(SHAPES)
def test_the_bound_holds_and_keeps_the_best(shape: dict[str, object]) -> None:
    rows, probes, k, _ = case(shape)
    scores = exact(rows, probes)
    low, high = bounds(coded(rows), coded(probes))
    assert (low <= scores + 1e-15).all()
    assert (scores <= high + 1e-15).all()
    for of_probe, kept in zip(scores, candidates(coded(rows), coded(probes), k), strict=True):
        kth = np.sort(of_probe)[-k]
        lost = np.setdiff1d(np.flatnonzero(of_probe > kth + 1e-15), kept)
        assert not len(lost)
        assert len(kept) >= k


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_narrower_bound_loses_some_of_the_best(share: float) -> None:
    """The control: what the vectors above would show."""
    lost = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = halves_of(["between codes"], 400, 32, rng)
        probes = np.full((1, 32), 32**-0.5, dtype=np.float16)
        (kept,) = candidates(coded(rows), coded(probes), 1, share)
        lost += int(np.argmax(exact(rows, probes)[0]) not in kept)
    assert lost


@pytest.fixture(scope="module")
def gpu() -> tuple[Int8Gpu, NullBlas]:
    runtime, blas = NullCudaRuntime(), NullBlas()
    return Int8Gpu(0, runtime, NullCuvs(), blas, HostCompiler(), most_picked=MOST_PICKED, block_rows=4096), blas


@pytest.mark.skipif(not COMPILER, reason="no g++")
@settings(max_examples=examples(200))
@given(SHAPES)
def test_the_kernels_find_the_best(gpu: tuple[Int8Gpu, NullBlas], shape: dict[str, object]) -> None:
    """With a filter and without; the kernels run in threads, on the processor."""
    rows, probes, k, rng = case(shape)
    allowed = rng.random(len(rows)) < rng.choice([0.3, 0.9, 1.0])
    allowed[:k] = True
    bits = np.zeros(-(-len(rows) // 32), dtype="<u4")
    packed = np.packbits(allowed, bitorder="little")
    bits.view(np.uint8)[: len(packed)] = packed
    device, blas = gpu
    before = blas.multiplied
    address = device.allocate(rows.nbytes)
    device.write(address, rows)
    found_scores, found = device.search(address, len(rows), probes, k, None if allowed.all() else bits)
    device.zero(address, rows.nbytes)
    device.free(address)
    assert blas.multiplied == before + 1
    assert allowed[found].all()
    scores = exact(rows, probes)
    # What a sum of float32 may be off: a device cannot tell nearer ones apart, in half precision neither.
    error = rows.shape[1] * 2.0**-22
    for of_probe, line, of_line in zip(scores, found, found_scores, strict=True):
        assert len(set(line)) == k
        assert np.abs(of_probe[line] - of_line).max() <= error
        expected = -np.sort(-of_probe[allowed])[:k]
        assert np.abs(-np.sort(-of_probe[line]) - expected).max() <= error
        assert (np.diff(of_line) <= 0).all()
