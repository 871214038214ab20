"""YuNet: Wu, Peng, Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20, 2023."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_core.detect.nms import keep_best
from fr_core.detect.protocol import TileFaces
from fr_core.detect.tiles import batches, grid
from fr_core.packs.manifest import DetectorSpec
from fr_core.runtime.session import Session
from fr_core.types import F32, U8

# OpenCV modules/objdetect/src/face_detect.cpp, of which `_decode` is the postProcess.
STRIDES = (8, 16, 32)


class YunetDetector:
    """YuNet of 2023: twelve outputs, for each stride class, objectness, box and landmarks.

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
        self._grids = {(size, stride): grid(size, stride) for size in self.tile_sizes for stride in STRIDES}

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`."""
        faces: list[TileFaces] = []
        for batch in batches(tiles, self._batch_sizes):
            outputs = dict(zip(self._session.output_names, self._session.run(np.stack(batch)), strict=True))
            size = batch[0].shape[0]
            faces += [self._decode({name: out[n] for name, out in outputs.items()}, size) for n in range(len(batch))]
        return faces

    def _decode(self, outputs: dict[str, F32], size: int) -> TileFaces:
        """The faces of one tile; the score is the geometric mean of class and objectness, each kept in [0, 1]."""
        parts = []
        for stride in STRIDES:
            cells = self._grids[size, stride]
            cls, obj = (np.clip(outputs[f"{kind}_{stride}"][:, 0], 0, 1) for kind in ("cls", "obj"))
            scores = np.sqrt(cls * obj)
            likely = scores >= self._min_score
            cell, box = cells[likely], outputs[f"bbox_{stride}"][likely]
            centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
            boxes = np.concatenate([centre - half, centre + half], axis=1)
            landmarks = (outputs[f"kps_{stride}"][likely].reshape(-1, 5, 2) + cell[:, None]) * stride
            parts.append(TileFaces(boxes, landmarks, scores[likely]))
        faces = TileFaces.joined(parts)
        return faces.take(keep_best(faces.boxes, faces.scores, self._spec.nms_threshold))
