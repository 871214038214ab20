"""A model of tiles behind a batcher: tiles of many photos share a run."""

from __future__ import annotations

from collections.abc import Sequence

from fr_core.detect.protocol import TileFaces
from fr_core.runtime.batcher import Batcher
from fr_core.types import U8


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
