"""SCRFD: Guo et al., "Sample and computation redistribution for efficient face detection", ICLR 2022."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_core.detect.nms import keep_best
from fr_core.detect.protocol import TileFaces
from fr_core.detect.tiles import batches, grid
from fr_core.packs.manifest import DetectorSpec
from fr_core.runtime.session import Session
from fr_core.types import F32, U8

# insightface model_zoo/scrfd.py: _feat_stride_fpn and _num_anchors of models with nine outputs.
STRIDES = (8, 16, 32)
ANCHORS = 2


class ScrfdDetector:
    """SCRFD with key points: nine outputs, the scores of each stride, then the boxes, then the landmarks.

    Args:
        session: of the model.
        spec: of the model.
        tile_sizes: sides of the tiles to be used, multiples of 32; ignored where the model has a fixed size.
        min_score: faces with a lower score are dropped, in [0, 1].
        batch_sizes: numbers of tiles that may run at once.
    """

    def __init__(
        self,
        session: Session,
        spec: DetectorSpec,
        tile_sizes: Sequence[int],
        min_score: float,
        batch_sizes: Sequence[int] = (1,),
    ) -> None:
        fixed = spec.input_size
        self.tile_sizes = (fixed,) if fixed else tuple(sorted(tile_sizes))
        self._session = session
        self._spec = spec
        self._min_score = min_score
        self._batch_sizes = tuple(batch_sizes) if session.input_shape[0] is None else (1,)
        self._grids = {(size, stride): grid(size, stride) * stride for size in self.tile_sizes for stride in STRIDES}

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`."""
        faces: list[TileFaces] = []
        for batch in batches(tiles, self._batch_sizes):
            outputs = self._session.run(np.stack(batch))
            size = batch[0].shape[0]
            faces += [self._decode(outputs, n, size) for n in range(len(batch))]
        return faces

    def _decode(self, outputs: Sequence[F32], n: int, size: int) -> TileFaces:
        """The faces of tile `n` of a batch; distances are in strides from the corner of a cell (distance2bbox)."""
        parts = []
        for level, stride in enumerate(STRIDES):
            centres = np.repeat(self._grids[size, stride], ANCHORS, axis=0)
            scores, distances, offsets = (
                outputs[level + kind * len(STRIDES)].reshape(-1, len(centres), width)[n]
                for kind, width in enumerate((1, 4, 10))
            )
            likely = scores[:, 0] >= self._min_score
            centre, distance = centres[likely], distances[likely] * stride
            boxes = np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], axis=1)
            landmarks = centre[:, None] + offsets[likely].reshape(-1, 5, 2) * stride
            parts.append(TileFaces(boxes, landmarks, scores[likely, 0]))
        faces = TileFaces.joined(parts)
        return faces.take(keep_best(faces.boxes, faces.scores, self._spec.nms_threshold))
