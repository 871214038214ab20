"""Orders a decoder to read one file: its demultiplexer, the limits, and which of its frames are taken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_core.types import U8
from fr_video.messages import fraction_json
from fr_video.values import Sampling

_STEP = 8  # every eighth luma of a row and of a column is looked at
_BLOCK = 4  # of those, in both directions: a block is 32 x 32 pixels


@dataclass(frozen=True, slots=True)
class Order:
    """The arguments of a decoder."""

    demuxer: str
    max_pixels: int
    max_frames: int
    max_seconds: int
    sampling: Sampling
    wanted: tuple[int, ...] | None = None  # times of the frames to take, in ticks; None = by `sampling`

    def to_json(self) -> str:
        """Return the order as one line."""
        own: dict[str, Any] = {name: getattr(self, name) for name in Order.__slots__}
        one = self.sampling
        own["sampling"] = [fraction_json(one.interval), fraction_json(one.motion_interval), one.motion]
        return json.dumps(own)

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Return the order of `to_json`."""
        said = json.loads(text)
        interval, motion_interval, motion = said.pop("sampling")
        wanted = said.pop("wanted")
        sampling = Sampling(Fraction(*interval), Fraction(*motion_interval), motion)
        return cls(**said, sampling=sampling, wanted=None if wanted is None else tuple(wanted))


class Sampler:
    """Decides for each frame, in the order of presentation, whether it is taken."""

    def __init__(self, sampling: Sampling, time_base: Fraction) -> None:
        # In ticks, rounded up.
        self._interval = -(-sampling.interval // time_base)
        self._motion_interval = -(-sampling.motion_interval // time_base)
        self._motion = sampling.motion * 255
        self._taken: int | None = None
        self._blocks: npt.NDArray[np.float32] | None = None

    def may_take(self, pts: int) -> bool:
        """Return whether `takes` has to look at a frame of this time."""
        return self._taken is None or pts - self._taken >= self._motion_interval

    def takes(self, pts: int, luma: U8) -> bool:
        """Return whether a frame is taken, and remember it. `luma`: u8[H, W], 0 to 255."""
        blocks = _block_means(luma)
        if self._taken is not None and self._blocks is not None and pts - self._taken < self._interval:
            same_size = blocks.shape == self._blocks.shape
            if same_size and float(np.abs(blocks - self._blocks).max()) < self._motion:
                return False
        self._taken, self._blocks = pts, blocks
        return True


def _block_means(luma: U8) -> npt.NDArray[np.float32]:
    """Mean luma of each block of 32 x 32 pixels, f32[ceil(H/32), ceil(W/32)]; the border repeats."""
    few = luma[::_STEP, ::_STEP].astype(np.float32)
    high, wide = few.shape
    padded = np.pad(few, ((0, -high % _BLOCK), (0, -wide % _BLOCK)), mode="edge")
    high, wide = padded.shape
    means: npt.NDArray[np.float32] = padded.reshape(high // _BLOCK, _BLOCK, wide // _BLOCK, _BLOCK).mean(axis=(1, 3))
    return means
