"""What every index of vectors promises, and the one similarity by which all of them rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fr_core.types import F32, I64

F64 = npt.NDArray[np.float64]


def exact_similarity(vectors: F32, probe: F32) -> F64:
    """Cosine similarity of unit vectors, the same to the last bit whatever else is in the batch.

    The product of two float32 numbers is exact in float64, so only the sum rounds. `numpy.vecdot` sums each row by the
    routine that `numpy.dot` uses for two vectors, so a row's value depends on nothing but that row and the probe, and
    equals `Embedding.similarity`: a pair that reaches a threshold in a comparison reaches it in a search.

    Args:
        vectors: f32[n, D].
        probe: f32[D].

    Returns:
        f64[n], clipped to [-1, 1].
    """
    products: F64 = np.vecdot(vectors.astype(np.float64, order="C"), probe.astype(np.float64, order="C"))
    return np.clip(products, -1.0, 1.0, out=products)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The best vectors of an index for each of n probes.

    Attributes:
        ids: i64[n, k'], where k' = min(k, size of the index).
        similarities: f64[n, k'], in [-1, 1], descending; equal ones in ascending order of their ids.
    """

    ids: I64
    similarities: F64


class VectorIndex(Protocol):
    """Vectors in memory, searched exactly.

    `search` returns exactly the k best live vectors by (-similarity, id), with `exact_similarity`; deleted vectors
    never appear. Any number of searches may run at once; a change needs the index for itself.
    """

    @property
    def dimension(self) -> int:
        """D, values per vector."""

    @property
    def size(self) -> int:
        """How many vectors are live."""

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors f32[n, D] of length 1 under ids i64[n] that the index has never held.

        Raises:
            ValueError: another shape, or ids that repeat or do not ascend beyond every id added before.
        """

    def remove(self, ids: I64) -> None:
        """Remove the vectors of ids i64[n].

        Raises:
            KeyError: the index holds no live vector of one of the ids; nothing was removed.
        """

    def search(self, probes: F32, k: int) -> Hits:
        """Return the best min(k, size) vectors for each of probes f32[n, D] of length 1; k >= 1.

        Raises:
            ValueError: another shape, or k < 1.
        """


def check_added(ids: I64, vectors: F32, dimension: int, last_id: int) -> None:
    """Raise the `ValueError` of `VectorIndex.add`; `last_id` is the greatest id added so far."""
    if ids.ndim != 1 or vectors.shape != (len(ids), dimension):
        raise ValueError(f"expected ids [n] and vectors [n, {dimension}], got {ids.shape} and {vectors.shape}")
    if len(ids) and (int(ids[0]) <= last_id or not (np.diff(ids) > 0).all()):
        raise ValueError("ids must ascend beyond every id that was added before")


def check_searched(probes: F32, k: int, dimension: int) -> None:
    """Raise the `ValueError` of `VectorIndex.search`."""
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise ValueError(f"expected probes [n, {dimension}], got {probes.shape}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")


def rows_of(ids: I64, ascending: I64) -> I64:
    """Return the position of each of `ids` in `ascending`; KeyError where one is not there."""
    rows = np.searchsorted(ascending, ids)
    inside = rows < len(ascending)
    if not inside.all() or not (ascending[rows] == ids).all():
        raise KeyError("no vector of one of these ids")
    return rows.astype(np.int64, copy=False)


def best_first(ids: I64, similarities: F64, k: int) -> tuple[I64, F64]:
    """Return the k best of ids i64[n] and similarities f64[n] by (-similarity, id)."""
    if k < len(ids):
        # Everything that ties with the k-th best is kept for the sort, which breaks the ties by id.
        kth = np.partition(similarities, len(ids) - k)[len(ids) - k]
        kept = similarities >= kth
        ids, similarities = ids[kept], similarities[kept]
    order = np.lexsort((ids, -similarities))[:k]
    return ids[order], similarities[order]
