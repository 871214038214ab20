"""The rule of scales: which parts of a photo a model of square tiles looks at, and how its answers become one.

**Where it looks.** L is the longer side of the photo. The model sees

1. the whole photo, scaled so that L is 256 px: a face that fills the frame, and down to one eighth of it;
2. if L > 320, the whole photo in one tile of 640 px, scaled down to fit, never up;
3. if L > 640, ever finer copies of the photo, each 2.5 times finer than the last or nearly so, the last one at full
   resolution (at L = 4096 px where the photo is larger), cut into tiles of 640 px.

Neighbouring tiles share at least 160 px, and the tiles of step 3 answer for faces up to 128 px only, so each such face
is whole in at least one tile; a box that touches an inner edge of a tile is dropped. Larger faces belong to the coarser
copies. A photo of 250 x 250 px costs one pass of 256 px, one of 12 megapixels some 60 passes of 640 px. Shapes are
fixed, for the runtimes keep memory for every new one.

**What it believes.** A score near one half is as often an animal, a hand or a leaf as a face, but such a thing is
rarely taken for a face at two scales, and a face nearly always is. So a candidate's score is the mean over all copies
of the photo in which its side is one that the model sees well (32 to 320 px). A candidate that only one copy could see
is looked at once more when it is in doubt: cut out, enlarged to a side of 64 px or more, and judged again. Whatever
reaches the pack's score threshold is a face, and of several boxes on one face the best stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fr_core.detect.nms import iou, keep_best
from fr_core.detect.protocol import TileDetector, TileFaces
from fr_core.types import U8, Detection, frozen_array


@dataclass(frozen=True, slots=True)
class Scales:
    """The numbers of the rule; lengths in pixels, scores in [0, 1].

    Attributes:
        coarse: longer side of the coarsest copy.
        coarse_only: a photo whose longer side is no more than this has no other copy.
        tile: side of the tiles of all finer copies.
        step: how much finer each copy is than the last, about.
        finest: longer side of the finest copy at most.
        overlap: what neighbouring tiles share at least.
        tile_face: side of the largest face for which a part of a photo may answer.
        edge: a box as near as this to an inner edge of its tile is taken for cut.
        seen: sides of a face that the model sees well.
        propose: score from which a box is a candidate, as a share of the threshold.
        look: side to which a candidate in doubt is enlarged, at least and at most.
    """

    coarse: int = 256
    coarse_only: int = 320
    tile: int = 640
    step: float = 2.5
    finest: int = 4096
    overlap: int = 160
    tile_face: float = 128.0
    edge: float = 4.0
    seen: tuple[float, float] = (32.0, 320.0)
    propose: float = 0.6
    look: tuple[float, float] = (64.0, 160.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """A copy of the photo and what was seen in it, in pixels of the photo."""

    scale: float
    whole: bool
    faces: TileFaces


class MultiscaleDetector:
    """A detector of photos over a model of tiles, by the rule of this file.

    Args:
        model: the model; proposes faces well below `threshold`.
        threshold: score from which a candidate is a face, in [0, 1].
        nms_threshold: intersection over union above which two boxes are one face, in [0, 1].
        scales: the numbers of the rule.
    """

    def __init__(
        self, model: TileDetector, threshold: float, nms_threshold: float, scales: Scales | None = None
    ) -> None:
        self._model = model
        self._threshold = threshold
        self._nms_threshold = nms_threshold
        self._scales = scales or Scales()

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        """As `Detector.detect`."""
        levels = self._levels(pixels)
        seen = TileFaces.joined([level.faces for level in levels])
        candidates = seen.take(seen.scores >= self._scales.propose * self._threshold)
        candidates = candidates.take(keep_best(candidates.boxes, candidates.scores, self._nms_threshold))
        judged = self._judge(pixels, candidates, levels)
        judged = judged.take(judged.scores >= self._threshold)
        return by_size(judged.take(keep_best(judged.boxes, judged.scores, self._nms_threshold)))

    def _levels(self, pixels: U8) -> list[_Level]:
        height, width = pixels.shape[:2]
        levels: list[_Level] = []
        copy = pixels
        for scale in reversed(level_scales(width, height, self._scales)):
            # Each copy is made from the next finer one: shrinking a large photo thrice takes longer than looking at it.
            copy = resized(copy, round(width * scale), round(height * scale))
            levels.append(self._level(copy, scale))
        return levels

    def _level(self, copy: U8, scale: float) -> _Level:
        fitting = [size for size in self._model.tile_sizes if size >= max(copy.shape[:2])]
        size = fitting[0] if fitting else self._model.tile_sizes[-1]
        corners = list(tile_corners(copy.shape[1], copy.shape[0], size, self._scales.overlap))
        tiles = [cut(copy, left, top, size) for left, top in corners]
        whole = len(tiles) == 1
        parts = []
        for (left, top), faces in zip(corners, self._model.detect_tiles(tiles), strict=True):
            kept = faces if whole else faces.take(self._answerable(faces, left, top, size, copy))
            parts.append(kept.placed(scale, left / scale, top / scale))
        return _Level(scale, whole, TileFaces.joined(parts))

    def _answerable(self, faces: TileFaces, left: int, top: int, size: int, copy: U8) -> np.ndarray:
        edge = self._scales.edge
        height, width = copy.shape[:2]
        low = np.array([edge if left else -np.inf, edge if top else -np.inf])
        high = np.array(
            [size - edge if left + size < width else np.inf, size - edge if top + size < height else np.inf]
        )
        whole = (faces.boxes[:, :2] > low).all(axis=1) & (faces.boxes[:, 2:] < high).all(axis=1)
        return whole & (faces.sides <= self._scales.tile_face)

    def _judge(self, pixels: U8, candidates: TileFaces, levels: Sequence[_Level]) -> TileFaces:
        """The candidates with the scores that all copies of the photo give them together."""
        judged = []
        for i in range(len(candidates)):
            face = candidates.take(np.array([i]))
            votes = self._votes(face, levels)
            if len(votes) > 1:
                score = float(np.mean(votes))
            else:
                score = votes[0] if votes else float(face.scores[0])
                if score < (1 + self._threshold) / 2:
                    face, again = self._look(pixels, face)
                    score = (score + again) / 2
            judged.append(replace(face, scores=np.array([score], np.float32)))
        return TileFaces.joined(judged)

    def _votes(self, face: TileFaces, levels: Sequence[_Level]) -> list[float]:
        votes = []
        for level in levels:
            side = float(face.sides[0]) * level.scale
            largest = self._scales.seen[1] if level.whole else self._scales.tile_face
            if self._scales.seen[0] <= side <= largest:
                same = iou(face.boxes[0], level.faces.boxes) > self._nms_threshold
                votes.append(float(level.faces.scores[same].max(initial=0.0)))
        return votes

    def _look(self, pixels: U8, face: TileFaces) -> tuple[TileFaces, float]:
        """Look at one candidate again; the face as it is seen there, and its score there."""
        side = float(face.sides[0])
        low, high = self._scales.look
        size = self._model.tile_sizes[0]
        scale = min(max(0.0, low), high) / side
        centre = (face.boxes[0, :2] + face.boxes[0, 2:]) / 2
        left, top = (float(v) - size / 2 / scale for v in centre)
        matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        tile = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)
        again = self._model.detect_tiles([tile])[0].placed(scale, left, top)
        same = again.take(iou(face.boxes[0], again.boxes) > self._nms_threshold)
        if not len(same):
            return face, 0.0
        best = int(np.argmax(same.scores))
        # The box stays: beyond the photo's edge there is nothing to see here, and the model would guess how it goes on.
        return replace(face, landmarks=same.landmarks[best : best + 1]), float(same.scores[best])


def level_scales(width: int, height: int, scales: Scales) -> list[float]:
    """The scales of the copies of a photo, the coarsest first."""
    longer = max(width, height)
    found = [scales.coarse / longer]
    if longer > scales.coarse_only:
        finest = min(1.0, scales.finest / longer)
        fitting = min(finest, scales.tile / longer)
        steps = round(float(np.log(finest / fitting) / np.log(scales.step)))
        found += [fitting * (finest / fitting) ** (i / steps) if steps else fitting for i in range(steps + 1)]
    return found


def resized(pixels: U8, width: int, height: int) -> U8:
    """The picture in another size, at least 1 x 1: averaging where it shrinks, bilinear where it grows."""
    size = (max(1, width), max(1, height))
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    shrinks = size[0] < pixels.shape[1] or size[1] < pixels.shape[0]
    scaled: U8 = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled


def tile_corners(width: int, height: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Left and top of square tiles that cover a picture evenly, row by row."""

    def starts(length: int) -> list[int]:
        if length <= size:
            return [0]
        count = 1 + -(-(length - size) // (size - overlap))
        return [round(i * (length - size) / (count - 1)) for i in range(count)]

    return ((left, top) for top in starts(height) for left in starts(width))


def cut(picture: U8, left: int, top: int, size: int) -> U8:
    """u8[size, size, 3]: a part of a picture, black where the picture ends."""
    part = picture[top : top + size, left : left + size]
    if part.shape[:2] == (size, size):
        return part
    tile = np.zeros((size, size, 3), np.uint8)
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


def by_size(faces: TileFaces) -> tuple[Detection, ...]:
    """Detections, the largest box first; equal areas by score."""
    detections = [
        Detection(frozen_array(box.copy()), frozen_array(points.copy()), float(np.clip(score, 0, 1)))
        for box, points, score in zip(faces.boxes, faces.landmarks, faces.scores, strict=True)
    ]
    return tuple(sorted(detections, key=lambda face: (-face.area, -face.score)))
