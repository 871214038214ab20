"""YuNet: Wu, Peng, Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20, 2023."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.detect.nms import best_of_each
from fr_core.detect.protocol import TileFaces
from fr_core.detect.tiles import corners, stacked
from fr_core.packs.manifest import DetectorSpec
from fr_core.runtime.session import Session
from fr_core.types import U8

# OpenCV modules/objdetect/src/face_detect.cpp, of which `detect_tiles` does the postProcess.
STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True, eq=False)
class YunetDetector:
    """YuNet of 2023: twelve outputs, for each stride class, objectness, box and landmarks."""

    session: Session
    spec: DetectorSpec
    # (height, width) of the tiles to be used: multiples of 32, or the fixed size of the model.
    tile_shapes: tuple[tuple[int, int], ...]
    min_score: float  # faces with a lower score are dropped, in [0, 1]

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`, in one run: there are as many tiles, of one shape, as a batch may have.

        A score is the geometric mean of class and objectness, each kept in [0, 1].
        """
        width, count = tiles[0].shape[1], len(tiles)
        # The export has a batch axis of one, in which the rows of a tile follow those of the tile before.
        outputs = {
            name: output.reshape(count, -1, output.shape[-1])
            for name, output in zip(self.session.output_names, self.session.run(stacked(tiles)), strict=True)
        }
        parts, owners = [], []
        for stride in STRIDES:
            cls, obj = (np.clip(outputs[f"{kind}_{stride}"][..., 0], 0, 1) for kind in ("cls", "obj"))
            scores = np.sqrt(cls * obj)
            likely = np.nonzero(scores >= self.min_score)
            tile, number = likely
            cell, box = corners(number, width // stride), outputs[f"bbox_{stride}"][likely]
            centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
            boxes = np.concatenate([centre - half, centre + half], axis=1)
            landmarks = (outputs[f"kps_{stride}"][likely].reshape(-1, 5, 2) + cell[:, None]) * stride
            parts.append(TileFaces(boxes, landmarks, scores[likely]))
            owners.append(tile)
        return best_of_each(TileFaces.joined(parts), np.concatenate(owners), count, self.spec.nms_threshold)
