"""What the detection models share: pixels to network input, and batches of allowed sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fr_core.packs.manifest import DetectorSpec
from fr_core.types import F32, U8


def network_input(tiles: Sequence[U8], spec: DetectorSpec) -> F32:
    """f32[N, 3, S, S] in the colour order and scaling of the model, of tiles u8[S, S, 3] RGB."""
    pixels = np.stack(tiles)
    if spec.colour == "BGR":
        pixels = pixels[..., ::-1]
    # Planes first, numbers second: moving bytes is several times quicker than moving floats.
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32)
    planes -= np.array(spec.mean, np.float32)[:, None, None]
    planes /= np.array(spec.std, np.float32)[:, None, None]
    return planes


def grid(size: int, stride: int) -> F32:
    """f32[(size / stride)², 2]: (x, y) of the cells of a feature map, row by row, in cells."""
    cells = size // stride
    rows, columns = np.mgrid[:cells, :cells]
    return np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float32)


def batches(tiles: Sequence[U8], allowed: Sequence[int]) -> Iterator[Sequence[U8]]:
    """Split tiles into batches of allowed sizes, the largest that fits first; 1 must be allowed."""
    start = 0
    while start < len(tiles):
        count = max(n for n in allowed if n <= len(tiles) - start)
        yield tiles[start : start + count]
        start += count
