"""Arrays that grow at their end, and the rows of vectors that the indexes are made of."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fr_core.gallery.index.protocol import F64, exact_similarity, rows_of
from fr_core.types import F32, I64

Scalar = TypeVar("Scalar", bound=np.generic)

# The part of its limit from which on an array takes all of it: what is never written takes address space only.
_WHOLE_FROM = 8
# Rows that are copied at a time where rows are rewritten: 8 MiB at D = 512.
_COPIED_ROWS = 4096
# Rows that are compared exactly at a time: 6 MiB with their float64 copies at D = 512. Many more take three times as
# long, since they leave the cache and have fresh memory each time.
_COMPARED_ROWS = 1024


class GrowingArray(Generic[Scalar]):
    """Rows of one dtype and shape; the room at least doubles when it runs out.

    `limit`: rows that are expected at most, 0 = unknown. From an eighth of it on, all of it is reserved, so that no row
    is copied again; the system gives memory to pages only when they are written.
    """

    def __init__(self, dtype: type[Scalar], row_shape: tuple[int, ...] = (), limit: int = 0) -> None:
        self._room: npt.NDArray[Scalar] = np.empty((0, *row_shape), dtype=dtype)
        self._length = 0
        self._limit = limit

    def __len__(self) -> int:
        return self._length

    @property
    def rows(self) -> npt.NDArray[Scalar]:
        """The rows: a view that is valid until the next change."""
        return self._room[: self._length]

    def append(self, rows: npt.NDArray[Scalar]) -> None:
        """Add rows at the end."""
        needed = self._length + len(rows)
        if needed > len(self._room):
            room = np.empty((self._larger(needed), *self._room.shape[1:]), dtype=self._room.dtype)
            room[: self._length] = self.rows
            self._room = room
        self._room[self._length : needed] = rows
        self._length = needed

    def keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Drop the rows that are not `kept` (bool[n]) and give their memory back."""
        self._room = self.rows[kept]
        self._length = len(self._room)

    def _larger(self, needed: int) -> int:
        if needed <= self._limit < _WHOLE_FROM * needed:
            return self._limit
        return max(needed, 2 * self._length)


class VectorRows:
    """Vectors under ascending ids, some of them removed; a removed vector is overwritten with zeros at once.

    `limit`: rows that are expected at most, 0 = unknown.
    """

    def __init__(self, dimension: int, limit: int = 0) -> None:
        self._vectors = GrowingArray(np.float32, (dimension,), limit)
        self._live = GrowingArray(np.bool_, limit=limit)
        self._ids = GrowingArray(np.int64, limit=limit)
        self._size = 0

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def size(self) -> int:
        """Return how many vectors are live."""
        return self._size

    @property
    def ids(self) -> I64:
        """i64[rows], ascending: a view that is valid until the next change, as the others are."""
        return self._ids.rows

    @property
    def vectors(self) -> F32:
        """f32[rows, D], C order: zeros where a vector was removed."""
        return self._vectors.rows

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """bool[rows]: which rows were not removed."""
        return self._live.rows

    @property
    def store_bytes(self) -> int:
        """Bytes of the vectors."""
        return self.vectors.nbytes

    @property
    def other_bytes(self) -> int:
        """Bytes of ids and live flags."""
        return self.ids.nbytes + self.live.nbytes

    def append(self, ids: I64, vectors: F32) -> None:
        """Add vectors f32[n, D] under ids i64[n] that ascend beyond those that are there."""
        self._vectors.append(vectors)
        self._live.append(np.ones(len(ids), dtype=bool))
        self._ids.append(ids)
        self._size += len(ids)

    def remove(self, rows: I64) -> None:
        """Remove the vectors of live rows i64[n]."""
        rows = np.unique(rows)
        self.live[rows] = False
        self._size -= len(rows)
        self.vectors[rows] = 0.0

    def rows_of(self, ids: I64) -> I64:
        """Return the rows of ids i64[n]; KeyError where one is not there or was removed."""
        rows = rows_of(ids, self.ids)
        if not self.live[rows].all():
            raise KeyError("no vector of one of these ids")
        return rows

    def similarities(self, rows: I64, probe: F32) -> F64:
        """Return the exact similarities f64[n] of rows i64[n] to a probe f32[D]."""
        similarities: F64 = np.empty(len(rows), dtype=np.float64)
        for start in range(0, len(rows), _COMPARED_ROWS):
            some = slice(start, start + _COMPARED_ROWS)
            similarities[some] = exact_similarity(self.vectors[rows[some]], probe)
        return similarities

    def allowed(self, among: I64 | None) -> npt.NDArray[np.bool_]:
        """Return bool[rows]: which rows are live, and among the ascending ids i64[n] where those are given."""
        if among is None:
            return self.live
        if not len(self):
            return np.zeros(0, dtype=bool)
        among = among[slice(*np.searchsorted(among, (self.ids[0], self.ids[-1] + 1)))]
        if len(among) > len(self) // 16:
            return np.isin(self.ids, among, assume_unique=True) & self.live
        mask = np.zeros(len(self), dtype=bool)
        rows = np.searchsorted(self.ids, among)
        mask[rows[self.ids[rows] == among]] = True
        mask &= self.live
        return mask


Rows = TypeVar("Rows", bound=VectorRows)


class Rewriting(Generic[Rows]):
    """An `Upkeep` that copies the live rows of neighbours into one, without the removed ones.

    Args:
        old: neighbours in ascending order of their ids; only the last of them may grow meanwhile.
        replace: puts `new` in the place of `old`, then adds what came since: ids i64[n] and vectors f32[n, D].
    """

    def __init__(self, old: Sequence[Rows], new: Rows, replace: Callable[[Rows, I64, F32], None]) -> None:
        self._old = old
        self._new = new
        self._replace = replace
        # What was there when the work was found: views of rows that never change, except for removals.
        self._lengths = [len(rows) for rows in old]
        self._kept = [np.flatnonzero(rows.live) for rows in old]
        self._ids = [rows.ids for rows in old]
        self._vectors = [rows.vectors for rows in old]

    def prepare(self) -> None:
        """Copy; see `Upkeep.prepare`."""
        for ids, vectors, kept in zip(self._ids, self._vectors, self._kept, strict=True):
            for start in range(0, len(kept), _COPIED_ROWS):
                rows = kept[start : start + _COPIED_ROWS]
                self._new.append(ids[rows], vectors[rows])

    def finish(self) -> None:
        """Take over what was removed and added since; see `Upkeep.finish`."""
        # A vector that was removed while it was copied may have been copied before, or by half: it is erased again.
        live = [rows.live[kept] for rows, kept in zip(self._old, self._kept, strict=True)]
        self._new.remove(np.flatnonzero(~np.concatenate(live)))
        last, since = self._old[-1], self._lengths[-1]
        came = since + np.flatnonzero(last.live[since:])
        self._replace(self._new, last.ids[came], last.vectors[came])
