"""The seams of detection: a detector of photos, and the model of square tiles beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fr_core.types import F32, U8, Detection, frozen_array


class Detector(Protocol):
    """Finds the faces of a photo; several threads may call it at once."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        """Find faces.

        Args:
            pixels: u8[H, W, 3], RGB, upright, of any size.

        Returns:
            The faces, the largest box first; empty where there is none.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TileFaces:
    """What a model sees in one tile, or several of its answers put together.

    Attributes:
        boxes: f32[N, 4], (left, top, right, bottom) in pixels.
        landmarks: f32[N, 5, 2], (x, y) pixels, in the order of `Detection.landmarks`.
        scores: f32[N] in [0, 1].
    """

    boxes: F32
    landmarks: F32
    scores: F32

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def sides(self) -> F32:
        """f32[N], the side of a square of each box's area, in pixels: the size of a face."""
        width, height = self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1]
        sides: F32 = np.sqrt(np.maximum(width, 0) * np.maximum(height, 0))
        return sides

    def take(self, rows: npt.NDArray[np.int64 | np.bool_]) -> TileFaces:
        """Those of `rows`, indices or a mask."""
        return TileFaces(
            frozen_array(self.boxes[rows]), frozen_array(self.landmarks[rows]), frozen_array(self.scores[rows])
        )

    def placed(self, scale: float, left: float, top: float) -> TileFaces:
        """The same faces in the pixels of a photo of which this tile shows the part from (left, top) at `scale`."""
        corner = np.array([left, top], np.float32)
        boxes = self.boxes / np.float32(scale) + np.tile(corner, 2)
        landmarks = self.landmarks / np.float32(scale) + corner
        return TileFaces(frozen_array(boxes), frozen_array(landmarks), self.scores)

    @staticmethod
    def joined(parts: Sequence[TileFaces]) -> TileFaces:
        """All faces of `parts`, in their order."""
        if not parts:
            return TileFaces(
                frozen_array(np.empty((0, 4), np.float32)),
                frozen_array(np.empty((0, 5, 2), np.float32)),
                frozen_array(np.empty(0, np.float32)),
            )
        return TileFaces(
            frozen_array(np.concatenate([part.boxes for part in parts])),
            frozen_array(np.concatenate([part.landmarks for part in parts])),
            frozen_array(np.concatenate([part.scores for part in parts])),
        )


class TileDetector(Protocol):
    """A detection model: square tiles in, faces out; several threads may call it at once."""

    @property
    def tile_sizes(self) -> tuple[int, ...]:
        """Sides of the tiles that it takes, in pixels, ascending; a small set, so that shapes stay fixed."""
        ...

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """Find faces in tiles of one size.

        Args:
            tiles: each u8[S, S, 3], RGB, S in `tile_sizes`.

        Returns:
            For each tile its faces in pixels of the tile, best score first, each face once.
        """
        ...
