"""SCRFD: Guo et al., "Sample and computation redistribution for efficient face detection", ICLR 2022."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.detect.nms import best_of_each
from fr_core.detect.protocol import TileFaces
from fr_core.detect.tiles import corners, stacked
from fr_core.packs.manifest import DetectorSpec
from fr_core.runtime.session import Session
from fr_core.types import F32, U8

# insightface model_zoo/scrfd.py: _feat_stride_fpn and _num_anchors of models with nine outputs.
STRIDES = (8, 16, 32)
ANCHORS = 2


@dataclass(frozen=True, slots=True, eq=False)
class ScrfdDetector:
    """SCRFD with key points: nine outputs, the scores of each stride, then the boxes, then the landmarks."""

    session: Session
    spec: DetectorSpec
    # (height, width) of the tiles to be used: multiples of 32, or the fixed size of the model.
    tile_shapes: tuple[tuple[int, int], ...]
    min_score: float  # faces with a lower score are dropped, in [0, 1]

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`, in one run: there are as many tiles, of one shape, as a batch may have.

        The distances that the model gives are in strides, from the corner of a cell (distance2bbox).
        """
        outputs = self.session.run(stacked(tiles))
        width, count = tiles[0].shape[1], len(tiles)
        parts, owners = [], []
        for level, stride in enumerate(STRIDES):
            scores, distances, offsets = (
                _by_tile(outputs[level + kind * len(STRIDES)], count, values) for kind, values in enumerate((1, 4, 10))
            )
            likely = np.nonzero(scores[..., 0] >= self.min_score)
            tile, anchor = likely
            centre, distance = corners(anchor // ANCHORS, width // stride) * stride, distances[likely] * stride
            boxes = np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], axis=1)
            landmarks = centre[:, None] + offsets[likely].reshape(-1, 5, 2) * stride
            parts.append(TileFaces(boxes, landmarks, scores[likely][:, 0]))
            owners.append(tile)
        return best_of_each(TileFaces.joined(parts), np.concatenate(owners), count, self.spec.nms_threshold)


def _by_tile(output: F32, count: int, values: int) -> F32:
    """f32[count, cells * ANCHORS, values]; exports without a batch axis have the tile between cell and anchor."""
    if output.ndim == 3:
        return output.reshape(count, -1, values)
    return output.reshape(-1, count, ANCHORS, values).swapaxes(0, 1).reshape(count, -1, values)
