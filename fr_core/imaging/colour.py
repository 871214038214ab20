"""Imaging, the colours: whatever a decoder gives, as upright RGB of eight bits."""

from __future__ import annotations

import numpy as np
import PIL.Image

from fr_core.errors import UnsupportedFormat
from fr_core.types import U8, frozen_array

# EXIF 2.3, tag 0x0112: what brings the stored picture upright.
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def upright_rgb(picture: PIL.Image.Image, orientation: int) -> U8:
    """The pixels of a loaded picture as u8[H, W, 3], RGB, upright, read-only.

    * Sixteen bits: the high byte, so that white stays white; never clipped at 255.
    * Floating point: 0 is black, 1 is white.
    * Transparency: laid on white, as a viewer shows it.
    * CMYK and YCCK: by the plain formula R = (1 - C)(1 - K).
    * Palette, grey, bilevel, YCbCr, Lab: their RGB.

    Args:
        picture: loaded.
        orientation: EXIF orientation, 1 to 8.

    Raises:
        UnsupportedFormat: integers of 32 bits, or floating point outside 0 to 1, of which no one can say what is white.
    """
    eight = _eight_bits(picture)
    rgb = _rgb(eight)
    turn = _UPRIGHT.get(orientation)
    # Over the bytes that Pillow hands out, which nobody else holds: no further copy of the pixels.
    return frozen_array(np.asarray(rgb if turn is None else rgb.transpose(turn)))


def _eight_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The picture itself, or its grey of eight bits where it holds one number of more bits per pixel."""
    if picture.mode.startswith("I;16"):
        wide = np.asarray(picture).astype(np.uint16)
        grey = PIL.Image.fromarray((wide >> 8).astype(np.uint8))
        clear = picture.info.get("transparency")
        if isinstance(clear, int):
            grey.putalpha(PIL.Image.fromarray(np.where(wide == clear, 0, 255).astype(np.uint8)))
        return grey
    if picture.mode == "F":
        real = np.asarray(picture)
        # NaN fails both comparisons.
        if not bool(((real >= 0.0) & (real <= 1.0)).all()):
            raise UnsupportedFormat("The photo holds floating-point numbers outside 0 to 1.", samples="F")
        return PIL.Image.fromarray(np.rint(real * 255.0).astype(np.uint8))
    if picture.mode == "I":
        raise UnsupportedFormat("The photo holds integers of 32 bits.", samples="I")
    return picture


def _rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.has_transparency_data:
        return _on_white(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it


def _on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    """RGB of a picture with transparency, laid on white."""
    rgba = picture.convert("RGBA")
    white = PIL.Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white
