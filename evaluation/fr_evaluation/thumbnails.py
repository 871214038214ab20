"""Photos as small pictures inside a page: decoded and encoded anew, so that nothing of EXIF is left in them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import PIL.Image

from fr_core.errors import InputRefused
from fr_core.imaging import ImageLimits, decode
from fr_core.reading import read_at_most

# (width, height) in pixels that a picture fills at most: as high as an aligned face.
BOX = (224, 112)
QUALITY = 75


def thumbnail(path: Path, limits: ImageLimits) -> str | None:
    """The photo as a small JPEG in a data: URI; None where it cannot be read as a file, or `limits` refuse it."""
    try:
        image = decode(read_at_most(path, limits.max_bytes), limits)
    except (OSError, InputRefused):
        return None
    small = PIL.Image.fromarray(image.pixels)
    small.thumbnail(BOX)
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
