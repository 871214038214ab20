"""The gallery that searches are measured on: random directions, made from a seed wherever they are needed."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fr_bench.evaluate import available_cpus
from fr_core.types import F32, I64

# A drawn probe's cosine to its mate: well below a usual pair of photos of one person, and far above the impostors, of
# which the best of a million random ones lies near .22 at 512 values.
MATED_COSINE = 0.4

# Vectors drawn from one stream of random numbers, so that threads draw them side by side; and those that are handed on
# together: 128 MiB at 512 values.
STREAM_ROWS = 4096
LOAD_ROWS = 16 * STREAM_ROWS

# The second number of a seed: what is drawn.
_GALLERY, _PROBES = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Unit vectors under ids 0 ... size - 1: uniform random directions of a seed, and some that were put among them.

    They are never held as a whole here: an index under test holds them, and this process makes them again.
    `planted_ids`, i64[m] ascending, are those of the mates of the probes, `planted`, f32[m, D].
    """

    size: int
    dimension: int
    seed: int
    planted_ids: I64
    planted: F32

    def loads(self) -> Iterator[tuple[int, F32]]:
        """All vectors in order: the first id of each load, and its vectors f32[n, D]."""
        with ThreadPoolExecutor(available_cpus()) as pool:
            for first in range(0, self.size, LOAD_ROWS):
                vectors = np.empty((min(LOAD_ROWS, self.size - first), self.dimension), dtype=np.float32)
                starts = range(0, len(vectors), STREAM_ROWS)
                list(pool.map(lambda start: self._draw(first + start, vectors[start : start + STREAM_ROWS]), starts))  # noqa: B023 - done within this turn
                begin, end = np.searchsorted(self.planted_ids, (first, first + len(vectors)))
                vectors[self.planted_ids[begin:end] - first] = self.planted[begin:end]
                yield first, vectors

    def vectors_of(self, ids: I64) -> F32:
        """Vectors f32[n, D] of `ids` i64[n], ascending and within the gallery; draws the whole gallery for it."""
        found = np.empty((len(ids), self.dimension), dtype=np.float32)
        for first, vectors in self.loads():
            begin, end = np.searchsorted(ids, (first, first + len(vectors)))
            found[begin:end] = vectors[ids[begin:end] - first]
        return found

    def _draw(self, first: int, into: F32) -> None:
        rng = np.random.default_rng((self.seed, _GALLERY, first // STREAM_ROWS))
        rng.standard_normal(dtype=np.float32, out=into)
        into /= np.linalg.norm(into, axis=1, keepdims=True)


def plant(mates: F32, size: int, seed: int) -> Gallery:
    """Hide mates f32[m, D] of length 1, m <= size, at random places of a gallery; probe i's mate has the i-th."""
    rng = np.random.default_rng((seed, _PROBES))
    places = np.sort(rng.choice(size, len(mates), replace=False)).astype(np.int64)
    return Gallery(size, mates.shape[1], seed, places, mates)


def drawn_pairs(number: int, dimension: int, seed: int) -> tuple[F32, F32]:
    """Random probes f32[number, D], and the mate of each, f32[number, D], at a cosine of `MATED_COSINE`; D >= 2."""
    rng = np.random.default_rng((seed, _PROBES, 0))
    mates = unit_vectors(rng, number, dimension)
    aside = unit_vectors(rng, number, dimension)
    aside = unit(aside - (aside * mates).sum(axis=1, keepdims=True) * mates)
    return unit(MATED_COSINE * mates + math.sqrt(1 - MATED_COSINE**2) * aside), mates


def unit_vectors(rng: np.random.Generator, number: int, dimension: int) -> F32:
    """Random directions, f32[number, dimension], each of length 1."""
    return unit(rng.standard_normal((number, dimension), dtype=np.float32))


def unit(vectors: F32) -> F32:
    """Vectors f32[n, D], none of them zero, scaled to length 1."""
    scaled: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled
