"""Measures the decoding of JPEGs: simplejpeg beside Pillow, at full size and scaled while decoding, in turn.

Run it with `python -m fr_bench.speed.jpeg`. The pictures are seeded noise with the spectrum of photos, so that nothing
but this file is needed. The times are processor time, which other work on the machine disturbs less than a clock.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import PIL.Image
import simplejpeg

from fr_core.types import U8

SIZES = ((250, 250), (1152, 864), (4000, 3000))
SCALES = (1, 2, 4)
_QUALITY = 90  # as phones and cameras write, with 4:2:0
_GRAIN = 3.0  # standard deviation of the noise of a sensor, of 255


def picture(width: int, height: int, rng: np.random.Generator) -> PIL.Image.Image:
    """Return noise whose amplitude is in proportion to its wavelength, as in photos, with the grain of a sensor."""
    pixels = np.full((height, width, 3), 128, np.float32)
    for octave in range(2, max(width, height).bit_length()):
        wide, high = (1 + side * 2**octave // max(width, height) for side in (width, height))
        for colour in range(3):
            coarse = PIL.Image.fromarray(rng.normal(0, 160 / 2**octave, (high, wide)).astype(np.float32))
            pixels[..., colour] += np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC))
    pixels += rng.normal(0, _GRAIN, pixels.shape).astype(np.float32)
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def with_pillow(data: bytes, scale: int) -> U8:
    """Decode with Pillow to u8[H, W, 3]; `scale` 2 halves both sides."""
    with PIL.Image.open(io.BytesIO(data)) as opened:
        if scale > 1:
            opened.draft("RGB", (opened.width // scale, opened.height // scale))
        return np.asarray(opened)


def with_simplejpeg(data: bytes, scale: int) -> U8:
    """Decode as `fr_core.imaging.decode` does, or scaled."""
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    if scale > 1:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", min_height=height // scale, min_width=width // scale))
    room = np.empty((height, width, 3), np.uint8)
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB", buffer=room, strict=True))


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--largest", type=int, default=4000, help="the width above which sizes are left out")
    order = parser.parse_args(words)
    rng = np.random.default_rng(1)
    tell = sys.stdout.write
    tell("| JPEG, one core | scale | Pillow, ms | simplejpeg, ms | simplejpeg / Pillow, median (range) | differ |\n")
    tell("|---|---|---|---|---|---|\n")
    for width, height in (size for size in SIZES if size[0] <= order.largest):
        drawn = picture(width, height, rng)
        for progressive in (False, True):
            encoded = io.BytesIO()
            drawn.save(encoded, "JPEG", quality=_QUALITY, progressive=progressive)
            name = f"{width} x {height}{', progressive' if progressive else ''}"
            for scale in SCALES:
                tell(f"| {name} | 1/{scale} | {_row(encoded.getvalue(), scale, order.rounds)} |\n")


def _row(data: bytes, scale: int, rounds: int) -> str:
    differ = np.abs(with_pillow(data, scale).astype(int) - with_simplejpeg(data, scale)).max()  # warms both up, too
    times = [(_ms(with_pillow, data, scale), _ms(with_simplejpeg, data, scale)) for _ in range(rounds)]
    pillow, simple = (median(one) for one in zip(*times, strict=True))
    ratios = [b / a for a, b in times]
    return f"{pillow:.2f} | {simple:.2f} | {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {differ}"


def _ms(decode: Callable[[bytes, int], U8], data: bytes, scale: int) -> float:
    begun, times = time.process_time_ns(), 0
    while (used := time.process_time_ns() - begun) < 10_000_000 or not times:
        decode(data, scale)
        times += 1
    return used / times / 1e6


if __name__ == "__main__":
    main()
