"""A detector without a model, for tests: coloured squares are faces."""

import cv2
import numpy as np

from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE
from fr_core.types import F32, U8, Detection, frozen_array

SCORE = 0.9


class NullDetector:
    """Takes each 4-connected region of pixels with red 255 and green 0 for a face; blue is free to vary.

    The box is the region's bounds, the landmarks lie at the ArcFace template's places in it, the score is `SCORE`.
    """

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        """As `Detector.detect`; regions of equal area come from left to right, top to bottom."""
        mask = ((pixels[..., 0] == 255) & (pixels[..., 1] == 0)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        faces = [_detection(stats[i, :4].astype(np.float32)) for i in range(1, count)]
        return tuple(sorted(faces, key=lambda face: (-face.area, float(face.box[1]), float(face.box[0]))))


def _detection(bounds: F32) -> Detection:
    corner, size = bounds[:2], bounds[2:]
    landmarks = corner + ARCFACE_TEMPLATE / np.float32(CROP_SIZE) * size
    return Detection(frozen_array(np.concatenate([corner, corner + size])), frozen_array(landmarks), SCORE)
