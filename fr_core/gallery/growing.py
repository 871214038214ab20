"""An array that grows at its end, with room to spare so that adding one row does not copy the others."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


class GrowingArray(Generic[Scalar]):
    """Rows of one dtype and shape; the room at least doubles when it runs out."""

    def __init__(self, dtype: type[Scalar], row_shape: tuple[int, ...] = ()) -> None:
        self._room: npt.NDArray[Scalar] = np.empty((0, *row_shape), dtype=dtype)
        self._length = 0

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
            room = np.empty((max(needed, 2 * self._length), *self._room.shape[1:]), dtype=self._room.dtype)
            room[: self._length] = self.rows
            self._room = room
        self._room[self._length : needed] = rows
        self._length = needed

    def keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Drop the rows that are not `kept` (bool[n]) and give their memory back."""
        self._room = self.rows[kept]
        self._length = len(self._room)
