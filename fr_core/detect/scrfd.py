"""SCRFD: Guo et al., "Sample and computation redistribution for efficient face detection", ICLR 2022."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.detect.nms import best_of_each
from fr_core.detect.protocol import TileFaces
from fr_core.detect.tiles import corners, stacked
from fr_core.packs.manifest import DetectorSpec
from fr_core.runtime.session import RowFilter, Session
from fr_core.types import U8

# insightface model_zoo/scrfd.py: _feat_stride_fpn and _num_anchors of models with nine outputs.
STRIDES = (8, 16, 32)
ANCHORS = 2


def likely_rows(min_score: float) -> RowFilter:
    """Return which rows a session of `ScrfdDetector` gives: scores, boxes, then landmarks, each for three strides.

    `min_score`: faces with a lower score are dropped, in [0, 1].
    """
    return RowFilter(len(STRIDES), ANCHORS, (1, 4, 10), min_score)


@dataclass(frozen=True, slots=True, eq=False)
class ScrfdDetector:
    """SCRFD with key points, of which the session gives the `likely_rows`."""

    session: Session
    spec: DetectorSpec
    # (height, width) of the tiles to be used: multiples of 32, or the fixed size of the model.
    tile_shapes: tuple[tuple[int, int], ...]

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`, in one run: there are as many tiles, of one shape, as a batch may have.

        The distances that the model gives are in strides, from the corner of a cell (distance2bbox).
        """
        (height, width), count = tiles[0].shape[:2], len(tiles)
        numbers, scores, distances, offsets = self.session.run(stacked(tiles))
        strides = np.array(STRIDES)
        per_tile = (height // strides) * (width // strides) * ANCHORS
        ends = np.cumsum(per_tile * count)
        level = np.searchsorted(ends, numbers[0], side="right")
        tile, anchor = np.divmod(numbers[0] - (ends - per_tile * count)[level], per_tile[level])
        stride = strides[level].astype(np.float32)[:, None]
        centre = corners(anchor // ANCHORS, width // strides[level]) * stride
        distance = distances * stride
        boxes = np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], axis=1)
        landmarks = centre[:, None] + offsets.reshape(-1, 5, 2) * stride[:, None]
        return best_of_each(TileFaces(boxes, landmarks, scores), tile, count, self.spec.nms_threshold)
