"""Pictures and tiles: copies of a photo, the tiles that cover them, and the cells of a feature map."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from fr_core.types import F32, I64, U8


def resized(pixels: U8, width: int, height: int) -> U8:
    """The picture in another size, at least 1 x 1: averaging where it shrinks, bilinear where it grows."""
    size = (max(1, width), max(1, height))
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    shrinks = size[0] < pixels.shape[1] or size[1] < pixels.shape[0]
    copy: U8 = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return copy


def tile_corners(width: int, height: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Left and top of square tiles that cover a picture evenly, row by row; neighbours share `overlap` px or more."""

    def starts(length: int) -> list[int]:
        if length <= size:
            return [0]
        gaps = math.ceil((length - size) / (size - overlap))
        return [round(i * (length - size) / gaps) for i in range(gaps + 1)]

    return [(left, top) for top in starts(height) for left in starts(width)]


def cut(picture: U8, left: int, top: int, height: int, width: int) -> U8:
    """u8[height, width, 3]: a part of a picture, black where the picture ends."""
    part = picture[top : top + height, left : left + width]
    if part.shape[:2] == (height, width):
        return part
    tile = np.zeros((height, width, 3), np.uint8)
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


def corners(cells: I64, columns: int | I64) -> F32:
    """f32[N, 2]: (x, y), in cells, of N cells of feature maps that have so many columns; cells count row by row."""
    return np.stack([cells % columns, cells // columns], axis=-1).astype(np.float32)


def stacked(pictures: Sequence[U8]) -> U8:
    """u8[N, H, W, 3] of N pictures of one shape; of one picture without a copy."""
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)
