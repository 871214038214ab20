"""The rule of scales: which parts of a photo a model of tiles looks at, and how its answers become one.

**Where it looks.** L is the longer side of the photo. The model sees copies of the photo:

1. one of L = 256 px, whole: faces from one that fills the frame down to an eighth of it;
2. where L > 320, one that fits a tile of 640 px, whole, or of 480 px the other way; scaled down to fit, never up;
3. where L is well beyond 640, finer ones, each about 2.5 times finer than the last and the last at full resolution (of
   L = 4096 px where the photo is larger still), cut into tiles of 640 px.

Neighbouring tiles share at least 160 px. A copy that was cut answers for faces up to 128 px only, so each such face
lies whole in some tile; a box that touches an inner edge of its tile is dropped, and larger faces are those of the
coarser copies. A photo of 250 x 250 px costs one pass of 256 px, one of 12 megapixels about 60 passes of 640 px. The
shapes are these few and no other, for the runtimes keep memory for each shape that they have seen.

A fast detector looks at finer copies only where the first two show no face: it misses the small faces of a large photo
that shows larger ones too.

**What it believes.** A score about one half may be an animal, a hand or a leaf. But such a thing is seldom taken for a
face at two scales, and a face nearly always is. So a candidate's score is the mean over all copies in which its side
is one that models see well, from 32 to 320 px; a copy that does not show it there votes 0. A candidate with a single
vote or none is judged once more: it is cut out, scaled to a side of 64 px, and the mean of both scores counts. Three
candidates need no second look: one whose vote is nearer to 1 than to the threshold; one whose vote is below the share
of the threshold from which a box is a candidate at all; and one without a vote, smaller than 32 px even in the
finest copy, whose score is a fifth of the way from the threshold to 1. Whatever reaches the pack's threshold is a face;
of several boxes on one face the best stays.

`tests/unit/test_multiscale.py` holds the rule; `tests/models/test_evaluate.py` what it finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from fr_core.detect.nms import iou, keep_best
from fr_core.detect.protocol import TileDetector, TileFaces
from fr_core.detect.tiles import cut, resized, tile_corners
from fr_core.types import F32, U8, Detection, frozen_array

DetectionMode = Literal["thorough", "fast"]
"""Where faces are looked for: always up to full resolution, or only where copies of 640 px show no face."""

# Tiles that are cut out together for a second look: a crowd has hundreds of candidates, and each tile its memory.
_LOOKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Scales:
    """The numbers of the rule; lengths in pixels."""

    coarse: int = 256  # longer side of the coarsest copy
    coarse_only: int = 320  # a photo whose longer side is no more than this has no other copy
    fine: int = 640  # longer side of the next copy at most
    step: float = 2.5  # how much finer each further copy is, about
    finest: int = 4096  # longer side of the finest copy at most
    overlap: int = 160  # what neighbouring tiles share at least
    cut_face: float = 128.0  # side of the largest face for which a copy that was cut into tiles answers
    edge: float = 4.0  # a box as near as this to an inner edge of its tile is taken for cut
    seen: tuple[float, float] = (32.0, 320.0)  # smallest and largest side of a face that models see well
    look: float = 64.0  # side to which a candidate is scaled that is judged once more
    proposed: float = 0.6  # score from which a box is a candidate, as a share of the threshold
    heard: float = 0.4  # score from which a box is a vote above 0, as a share of the threshold
    # Score from which no second look is needed, as a share of the way from the threshold to 1; docs/adr/0062.
    sure: float = 0.5  # of a single vote
    sure_unseen: float = 0.2  # of a candidate without a vote

    @property
    def tile_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the tiles that the rule asks a model for.

        Most photos are 3:2 or 4:3, and fit a tile of that shape, which costs three quarters of the square one.
        """
        low = self.fine * 3 // 4
        return ((self.coarse, self.coarse), (low, self.fine), (self.fine, low), (self.fine, self.fine))


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """A copy of the photo and what was seen in it."""

    pixels: U8  # u8[h, w, 3], or [h, w, 4] of a crowd
    scale: float  # length in the copy of one pixel of the photo
    whole: bool  # whether the model saw it in one piece
    faces: TileFaces  # in pixels of the photo


class MultiscaleDetector:
    """A detector of photos over a model of tiles, by the rule of this file.

    Args:
        model: the model; should report faces from `scales.heard * threshold` on.
        threshold: score from which a candidate is a face, in [0, 1].
        nms_threshold: intersection over union above which two boxes are one face, in [0, 1].
        fast: look at finer copies only where copies 1 and 2 show no face.
    """

    def __init__(
        self,
        model: TileDetector,
        threshold: float,
        nms_threshold: float,
        scales: Scales | None = None,
        fast: bool = False,
    ) -> None:
        self._model = model
        self._threshold = threshold
        self._nms_threshold = nms_threshold
        self._scales = scales or Scales()
        self._fast = fast

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        """As `Detector.detect`; a detection's score is the mean of its votes."""
        scales = copy_scales(pixels.shape[1], pixels.shape[0], self._scales)
        looks = [scales[:2], scales] if self._fast and len(scales) > 2 else [scales]
        found = TileFaces.joined([])
        for some in looks:
            found = self._believed(self._copies(pixels, some))
            if len(found):
                break
        return by_size(found)

    def _believed(self, copies: Sequence[_Copy]) -> TileFaces:
        seen = TileFaces.joined([copy.faces for copy in copies])
        candidates = self._merged(seen, self._scales.proposed * self._threshold)
        return self._merged(self._judged(candidates, copies), self._threshold)

    def _merged(self, faces: TileFaces, min_score: float) -> TileFaces:
        likely = faces.take(faces.scores >= min_score)
        return likely.take(keep_best(likely.boxes, likely.scores, self._nms_threshold))

    def _copies(self, pixels: U8, scales: Sequence[float]) -> list[_Copy]:
        """The copies, the finest first: each is made from the one before, since shrinking a large photo is slow."""
        height, width = pixels.shape[:2]
        copies = []
        picture = pixels
        for scale in reversed(scales):
            picture = resized(picture, round(width * scale), round(height * scale))
            copies.append(self._seen(picture, scale, np.array([width, height], np.float32)))
        return copies

    def _seen(self, picture: U8, scale: float, photo_size: F32) -> _Copy:
        height, width = picture.shape[:2]
        shapes = self._model.tile_shapes
        shape = next((shape for shape in shapes if shape[0] >= height and shape[1] >= width), shapes[-1])
        size = shape[0]  # where the picture is cut, the last and largest tile, a square
        corners = tile_corners(width, height, size, self._scales.overlap) if shape == shapes[-1] else [(0, 0)]
        found = self._model.detect_tiles([cut(picture, left, top, *shape) for left, top in corners])
        pixel = (photo_size / np.array([width, height])).astype(np.float32)
        parts = []
        for (left, top), faces in zip(corners, map(sound, found), strict=True):
            kept = faces if len(corners) == 1 else faces.take(self._uncut(faces, left, top, size, picture))
            parts.append(kept.placed(pixel, np.array([left, top], np.float32) * pixel))
        return _Copy(picture, scale, len(corners) == 1, TileFaces.joined(parts))

    def _uncut(self, faces: TileFaces, left: int, top: int, size: int, picture: U8) -> npt.NDArray[np.bool_]:
        edge = self._scales.edge
        right_inner, bottom_inner = left + size < picture.shape[1], top + size < picture.shape[0]
        low = [edge if left else -np.inf, edge if top else -np.inf]
        high = [size - edge if right_inner else np.inf, size - edge if bottom_inner else np.inf]
        inside = (faces.boxes[:, :2] > low).all(axis=1) & (faces.boxes[:, 2:] < high).all(axis=1)
        whole: npt.NDArray[np.bool_] = inside & (faces.sides <= self._scales.cut_face)
        return whole

    def _judged(self, candidates: TileFaces, copies: Sequence[_Copy]) -> TileFaces:
        votes = [self._votes(box, side, copies) for box, side in zip(candidates.boxes, candidates.sides, strict=True)]
        scores = np.array(
            [np.mean(cast) if cast else own for cast, own in zip(votes, candidates.scores, strict=True)], np.float32
        )
        doubtful = np.array([i for i, cast in enumerate(votes) if self._in_doubt(len(cast), scores[i])], np.int64)
        landmarks = candidates.landmarks.copy()
        for i, (points, again) in zip(doubtful, self._looks(candidates.take(doubtful), copies), strict=True):
            landmarks[i] = points
            scores[i] = (scores[i] + again) / 2
        return replace(candidates, landmarks=landmarks, scores=scores)

    def _in_doubt(self, votes: int, score: float) -> bool:
        if votes > 1:
            return False
        sure = self._scales.sure if votes else self._scales.sure_unseen
        return self._scales.proposed * self._threshold <= score < self._threshold + sure * (1 - self._threshold)

    def _votes(self, box: F32, side: float, copies: Sequence[_Copy]) -> list[float]:
        smallest, largest = self._scales.seen
        votes = []
        for copy in copies:
            if smallest <= side * copy.scale <= (largest if copy.whole else self._scales.cut_face):
                same = iou(box, copy.faces.boxes) > self._nms_threshold
                votes.append(float(copy.faces.scores[same].max(initial=0.0)))
        return votes

    def _looks(self, faces: TileFaces, copies: Sequence[_Copy]) -> list[tuple[F32, float]]:
        """Judge faces once more: their landmarks and scores as seen there; unchanged landmarks and 0 if not seen.

        The box is left as it is: beyond the photo's edge there is nothing to see here, and the model would guess on.
        """
        answers: list[tuple[F32, float]] = []
        if len(faces) >= _LOOKS_AT_ONCE:  # OpenCV shifts four channels in less than half the time of three
            copies = [replace(copy, pixels=cv2.cvtColor(copy.pixels, cv2.COLOR_RGB2RGBA)) for copy in copies]
        for start in range(0, len(faces), _LOOKS_AT_ONCE):
            some = faces.take(np.arange(start, min(start + _LOOKS_AT_ONCE, len(faces))))
            views = [self._view(box, side, copies) for box, side in zip(some.boxes, some.sides, strict=True)]
            found = self._model.detect_tiles([tile for tile, _, _ in views])
            for i, (seen, (_, zoom, corner)) in enumerate(zip(map(sound, found), views, strict=True)):
                again = seen.placed(np.full(2, 1 / zoom, np.float32), corner)
                same = again.take(iou(some.boxes[i], again.boxes) > self._nms_threshold)
                best = int(np.argmax(same.scores)) if len(same) else -1
                answers.append(
                    (same.landmarks[best], float(same.scores[best])) if best >= 0 else (some.landmarks[i], 0.0)
                )
        return answers

    def _view(self, box: F32, side: float, copies: Sequence[_Copy]) -> tuple[U8, float, F32]:
        """A face in the middle of a tile; with the tile's scale and the place of its corner, in pixels of the photo."""
        size = self._model.tile_shapes[0][0]
        zoom = self._scales.look / side
        # The coarsest copy that need not be enlarged, or else the finest: bilinear sampling shrinks without averaging.
        source = next((copy for copy in reversed(copies) if copy.scale >= zoom), copies[0])
        corner = ((box[:2] + box[2:]) / 2 - size / 2 / zoom).astype(np.float32)
        ratio = zoom / source.scale
        shift = -corner * zoom
        matrix = np.array([[ratio, 0, shift[0]], [0, ratio, shift[1]]], np.float64)
        tile = cv2.warpAffine(source.pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)
        return tile if tile.shape[2] == 3 else cv2.cvtColor(tile, cv2.COLOR_RGBA2RGB), zoom, corner


def copy_scales(width: int, height: int, scales: Scales) -> list[float]:
    """The scales of the copies of a photo, the coarsest first."""
    longer = max(width, height)
    if longer <= scales.coarse_only:
        return [scales.coarse / longer]
    fitting = min(1.0, scales.fine / longer)
    finest = min(1.0, scales.finest / longer)
    steps = round(float(np.log(finest / fitting) / np.log(scales.step)))
    finer = [fitting * (finest / fitting) ** (i / steps) for i in range(1, steps + 1)]
    return [scales.coarse / longer, fitting, *finer]


def sound(faces: TileFaces) -> TileFaces:
    """Those that can be a face at all: a box of 4 px or more, and landmarks that are not all at one place.

    A model's numbers have no bounds. On a strange picture a box may be turned inside out, and what cannot be aligned
    must not reach the alignment.
    """
    numbers = np.concatenate([faces.boxes, faces.landmarks.reshape(-1, 10)], axis=1)
    apart = faces.landmarks.std(axis=1).max(axis=1) >= 0.05 * faces.sides  # about 0.25 in a face from the front
    return faces.take(np.isfinite(numbers).all(axis=1) & (faces.sides >= 4) & apart)


def by_size(faces: TileFaces) -> tuple[Detection, ...]:
    """Detections, the largest box first; equal areas by score."""
    detections = [
        Detection(frozen_array(box.copy()), frozen_array(points.copy()), float(np.clip(score, 0, 1)))
        for box, points, score in zip(faces.boxes, faces.landmarks, faces.scores, strict=True)
    ]
    return tuple(sorted(detections, key=lambda face: (-face.area, -face.score)))
