"""Defines the interface of every index of vectors, and the similarity by which all of them rank."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from fr_core.types import F32, I64, UNIT_TOLERANCE

F64 = npt.NDArray[np.float64]

PROBES_TOGETHER = 64
"""`VectorIndex.together` of an index that a processor searches."""


def exact_similarity(vectors: F32, probe: F32) -> F64:
    """Cosine similarity of unit vectors, the same to the last bit whatever else is in the batch.

    The product of two float32 numbers is exact in float64, so only the sum rounds. `numpy.vecdot` sums each row by the
    routine that `numpy.dot` uses for two vectors, so a row's value depends on nothing but that row and the probe, and
    equals `Embedding.similarity`: a pair that reaches a threshold in a comparison reaches it in a search.

    Args:
        vectors: f32[n, D].
        probe: f32[D], or f32[n, D]: one for each vector.

    Returns f64[n], clipped to [-1, 1].
    """
    products: F64 = np.vecdot(vectors.astype(np.float64, order="C"), probe.astype(np.float64, order="C"))
    return np.clip(products, -1.0, 1.0, out=products)


def scan_error_bound(dimension: int) -> float:
    """Return how far a float32 scan's inner product of two unit vectors can lie from `exact_similarity`.

    A sum of D rounded products, in whatever order and with or without fused multiply-add, is off by at most
    gamma(D) * sum |x_i y_i| <= gamma(D) * |x| |y|, where gamma(D) = D u / (1 - D u) (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1), plus the smallest normal number for each product that underflows.
    """

    def gamma(unit_roundoff: float) -> float:
        return dimension * unit_roundoff / (1.0 - dimension * unit_roundoff)

    lengths = 1.0 + UNIT_TOLERANCE
    underflow = dimension * float(np.finfo(np.float32).tiny)
    return lengths * (gamma(2.0**-24) + gamma(2.0**-53)) + underflow


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The best vectors of an index for each of n probes."""

    ids: I64  # i64[n, k'], where k' = min(k, how many vectors were searched)
    similarities: F64  # f64[n, k'], in [-1, 1], descending; equal ones in ascending order of their ids
    # True if these are surely the k best; else those that a first scan did not pick were not compared.
    exhaustive: bool = True

    @classmethod
    def unfilled(cls, probes: int, width: int, exhaustive: bool = True) -> Self:
        """Make room for `width` hits of each of so many probes."""
        ids, similarities = np.empty((probes, width), dtype=np.int64), np.empty((probes, width), dtype=np.float64)
        return cls(ids, similarities, exhaustive)


@dataclass(frozen=True, slots=True)
class IndexMemory:
    """Bytes that an index holds, those of removed vectors included until upkeep drops them.

    Room that is reserved but was never written takes no memory of the machine, and is not counted.

    `scan_bytes`: codes that a search reads from end to end; 0 where it reads the store.
    """

    scan_bytes: int
    store_bytes: int
    other_bytes: int


class Upkeep(Protocol):
    """Work on an index that is worth doing now. First `prepare`, then `finish`, once each."""

    def prepare(self) -> None:
        """Do the long part. Searches and changes may run meanwhile."""

    def finish(self) -> None:
        """Put the work into effect, with the index for itself; counts in what was added and removed since."""


class VectorIndex(Protocol):
    """Vectors in memory.

    `search` returns the k best live vectors by (-similarity, id), with `exact_similarity`, and never a removed one.
    They are surely the k best where the index is `exact`. Elsewhere a compact scan picks the candidates, and those that
    are returned have exact similarities and their order all the same. Any number of searches may run at once; a change,
    and the end of an upkeep, needs the index for itself.
    """

    @property
    def exact(self) -> bool:
        """Return whether a search of everything surely returns the k best."""

    @property
    def together(self) -> int:
        """Return how many probes share a pass well: with more, a pass takes longer than its first probe should wait."""

    @property
    def doubted(self) -> int:
        """Return how often a first pass on GPUs left too many candidates of a block of vectors for a probe.

        Then all of the block was compared in half precision. Indexes that share GPUs return the same number.
        """

    @property
    def dimension(self) -> int:
        """D, values per vector."""

    @property
    def size(self) -> int:
        """Return how many vectors are live."""

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors f32[n, D] of length 1 under ids i64[n] that the index has never held.

        Raises `ValueError`: another shape, or ids that repeat or do not ascend beyond every id added before.
        """

    def remove(self, ids: I64) -> None:
        """Remove the vectors of ids i64[n]. They are erased at once; `upkeep` gives their memory back.

        Raises `KeyError`: the index holds no live vector of one of the ids; nothing was removed.
        """

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        """Return the best min(k, n) of n vectors for each of probes f32[m, D] of length 1; k >= 1.

        `among`: ascending ids; these vectors are searched as if the index held no others, and ids of which it holds no
        live vector count for nothing. None = all. Raises `ValueError`: another shape, or k < 1.
        """

    def vectors(self, ids: I64) -> F32:
        """Return copies f32[n, D] of the vectors of ids i64[n].

        Raises `KeyError`: the index holds no live vector of one of the ids.
        """

    def memory(self) -> IndexMemory:
        """Count the bytes that are held."""

    def upkeep(self) -> Upkeep | None:
        """Return work that is worth doing now, or None. Called while no change and no other upkeep runs."""


@dataclass(frozen=True, slots=True)
class RemoteState:
    """The state of the indexes of all galleries on a server of their own, as far as this process knows."""

    answers: bool  # the last work or search did not fail for any gallery
    incomplete: int  # galleries that are being compared or filled
    pending_vectors: int  # still to be written
    pending_deletions: int  # still to be deleted
    clean: bool  # as `RemoteIndexes.clean`


class IndexPeers(Protocol):
    """The other servers of a database. Every method but `seq` and `all_have` raises `StoreFailed`, `ShuttingDown`."""

    @property
    def seq(self) -> int:
        """Return the number in the log of changes up to which the indexes of this server have every change."""

    def end(self) -> int:
        """Return the number of the last change that is durable."""

    def all_have(self, seq: int) -> bool:
        """Return whether no server may answer from a version before a change; False while the database fails."""

    def galleries(self) -> Collection[int]:
        """Return the numbers of all galleries of the store."""

    def lead(self) -> int:
        """Take the lease of the one that writes, or keep it; return its number, 0 while another server has it."""

    def let_go(self) -> None:
        """Let another server have the lease."""

    def get(self, name: str) -> tuple[bytes, int] | None:
        """Return a shared value and its version, or None."""

    def put(self, name: str, value: bytes, version: int, lasts_s: float) -> bool:
        """Replace the value of that version, 0 = none; False if another is there."""


class RemoteIndexes(Protocol):
    """The indexes of all galleries of a store, on a server of their own."""

    @property
    def clean(self) -> bool:
        """Return True if, as far as the server says, nothing that was removed is left on it."""

    @property
    def state(self) -> RemoteState:
        """Return the present state; asks the server nothing."""

    def new(self, gallery_no: int, dimension: int) -> VectorIndex:
        """Return the empty index of a gallery."""

    def share(self, peers: IndexPeers) -> None:
        """Have other servers use the same indexes; comes before the first of them."""

    def listed(self, gallery_no: int) -> None:
        """Let upkeep begin for an index that was made after `filled`, and holds everything by now."""

    def filled(self) -> None:
        """Let upkeep compare the server with the indexes, which hold everything that the store holds."""

    def drop(self, gallery_no: int) -> None:
        """Have `tidy` drop what the server holds of a gallery."""

    def tidy(self) -> None:
        """Learn what other servers did, and drop what is held of deleted galleries; cheap if there is nothing."""

    def close(self) -> None:
        """End the connection."""


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


def best_of_each(probes: int, owners: I64, ids: I64, similarities: F64, k: int) -> Hits:
    """Return the k best of each probe by (-similarity, id), of candidates that lie mixed.

    Args:
        owners: i64[m], in [0, probes): whose candidate each is; every probe has k or more.
        ids: i64[m].
        similarities: f64[m].
        k: how many are wanted; may be 0.
    """
    order = np.lexsort((ids, -similarities, owners))
    starts = np.searchsorted(owners[order], np.arange(probes))
    best = order[starts[:, None] + np.arange(k)]
    return Hits(ids[best], similarities[best])
