"""The seams of detection: a detector of photos, and the model of tiles beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fr_core.runtime.batcher import Batcher
from fr_core.types import F32, U8, Detection, frozen_array


class BatchedTileDetector:
    """A `TileDetector` whose tiles wait for their turn with those of other threads.

    Args:
        batcher: of a model of tiles; tiles of one shape share a batch.
        tile_shapes: (height, width) of the tiles that the model takes, the smallest first.
    """

    def __init__(self, batcher: Batcher[U8, TileFaces], tile_shapes: tuple[tuple[int, int], ...]) -> None:
        self.tile_shapes = tile_shapes
        self._batcher = batcher

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`; raises what `Batcher.run` raises."""
        return self._batcher.run(tiles)


class Detector(Protocol):
    """Finds the faces of a photo; several threads may call it at once."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        """Find faces.

        `pixels`: u8[H, W, 3], RGB, upright, of any size. Returns the faces, the largest box first; empty where there is
        none.
        """


@dataclass(frozen=True, slots=True, eq=False)
class TileFaces:
    """The output of a model for one tile, or several of its outputs put together."""

    boxes: F32  # f32[N, 4], (left, top, right, bottom) in pixels
    landmarks: F32  # f32[N, 5, 2], (x, y) pixels, in the order of `Detection.landmarks`
    scores: F32  # f32[N] in [0, 1]

    def __post_init__(self) -> None:
        for array in (self.boxes, self.landmarks, self.scores):
            frozen_array(array)

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
        return TileFaces(self.boxes[rows], self.landmarks[rows], self.scores[rows])

    def placed(self, pixel: F32, corner: F32) -> TileFaces:
        """The same faces where they lie in a photo.

        Args:
            pixel: f32[2], width and height in pixels of the photo of one pixel of the tile.
            corner: f32[2], (x, y) in pixels of the photo of the tile's top left corner.
        """
        boxes = self.boxes * np.tile(pixel, 2) + np.tile(corner, 2)
        return TileFaces(boxes, self.landmarks * pixel + corner, self.scores)

    @staticmethod
    def joined(parts: Sequence[TileFaces]) -> TileFaces:
        """All faces of `parts`, in their order."""
        if not parts:
            return TileFaces(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32))
        return TileFaces(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.landmarks for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )


class TileDetector(Protocol):
    """A detection model: tiles in, faces out; several threads may call it at once."""

    @property
    def tile_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the tiles that it takes, in pixels, the smallest first; few, so that shapes stay fixed."""

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """Find faces in tiles.

        `tiles`: each u8[H, W, 3], RGB, (H, W) in `tile_shapes`. Returns for each tile its faces in pixels of the tile,
        best score first, each face once.
        """
