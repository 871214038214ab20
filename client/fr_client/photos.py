"""Makes photos fit a server: scales down photos over its limits, if Pillow is installed."""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from fr_api.v1 import server_pb2
from fr_client.errors import FrApiError

if TYPE_CHECKING:
    from PIL.Image import Image

# Returns the bytes to send for the bytes of a photo.
Fit = Callable[[bytes], bytes]

# The reasons for which the client, like the server, refuses a photo as too large.
TOO_LARGE = frozenset({"IMAGE_TOO_MANY_BYTES", "IMAGE_TOO_MANY_PIXELS"})

_JPEG = b"\xff\xd8\xff"
# Of the JPEGs made here: tests/models/test_photos_of_today.py shows that faces compare as in the photo itself.
_QUALITY = 95
# Each further step is smaller than the bytes alone require, by this factor, so that one step is mostly enough.
_SPARE = 0.9
# Of what Pillow takes for an animation or pages, one picture is the photo in these: the others are previews and maps.
_ONE_PHOTO = ("JPEG", "HEIF")

DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, struct.error, zlib.error),
)
"""The exceptions of Pillow's readers for damaged files, as `fr_core.imaging.decode` says."""


@dataclass(frozen=True, slots=True)
class PhotoFit:
    """Returns a photo that a server accepts: the same bytes, or a smaller JPEG if they are over the limits.

    The JPEG is upright, white where the photo is transparent, without metadata, and as large as the limits allow. The
    object decodes one photo at a time: a large JPEG to a few times the pixels of the limit at most, a progressive one
    and any other photo to twice `PIL.Image.MAX_IMAGE_PIXELS` at most. The server gets an animation as it is, and
    refuses it.

    Args:
        limits: the limits that the server returns.
        downscale: False to scale nothing: too many bytes are refused here, too many pixels by the server.
    """

    limits: server_pb2.Limits
    downscale: bool = True
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, photo: bytes) -> bytes:
        """Raises `FrApiError` for a reason of `TOO_LARGE` if the photo is too large and cannot be scaled."""
        if not self.limits.max_image_bytes:
            return photo  # a server that tells no limits
        if not self.downscale:
            return self._unscaled(photo, "Send a smaller file: the client does not scale this one down.")
        if "JPEG" not in self.limits.image_formats:
            return self._unscaled(
                photo, "Send a smaller file: the client scales down to JPEG, which it does not accept."
            )
        try:
            with self._one_at_a_time, open_picture(photo) as picture:
                pixels, most = picture.width * picture.height, self.limits.max_image_pixels
                if len(photo) <= self.limits.max_image_bytes and pixels <= most:
                    return photo
                if picture.format not in _ONE_PHOTO and getattr(picture, "n_frames", 1) > 1:
                    return self._unscaled(photo, "Send one picture: this file holds several.")
                return self._scaled(picture, min(1.0, math.sqrt(most / pixels)))
        except ModuleNotFoundError:
            return self._unscaled(
                photo, "Send a smaller file, or install Pillow (`pip install pillow`) to scale it down."
            )
        except DAMAGE:
            return self._unscaled(photo, "Send a smaller file: Pillow cannot read it here, so it was not scaled down.")

    def _unscaled(self, photo: bytes, remedy: str) -> bytes:
        most = self.limits.max_image_bytes
        if len(photo) > most:
            raise FrApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "IMAGE_TOO_MANY_BYTES",
                f"The photo has {len(photo):,} bytes; the server accepts at most {most:,}. {remedy}",
                {"found": str(len(photo)), "limit": str(most)},
            )
        return photo

    def _scaled(self, picture: Image, factor: float) -> bytes:
        from PIL import Image

        size = _times(picture.size, factor)
        if picture.format == "JPEG":
            picture.draft("RGB", size)
        smaller = rgb_of(picture).resize(size, Image.Resampling.LANCZOS)
        smaller = upright(smaller, picture.info.get("exif", b""))
        while True:
            written = io.BytesIO()
            smaller.save(written, "JPEG", quality=_QUALITY)
            found, most = written.tell(), self.limits.max_image_bytes
            if found <= most or smaller.size == (1, 1):
                return written.getvalue()
            smaller = smaller.resize(_times(smaller.size, _SPARE * math.sqrt(most / found)), Image.Resampling.LANCZOS)


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def open_picture(photo: bytes) -> Image:
    """Read the header of a photo.

    Raises `ModuleNotFoundError`: Pillow is not installed; `DAMAGE`: Pillow cannot read the photo, or it has too many
    pixels.
    """
    with warnings.catch_warnings(action="ignore"):  # of damaged EXIF, and of many pixels
        return _opened(photo)


def _opened(photo: bytes) -> Image:
    from PIL import Image, JpegImagePlugin

    file = io.BytesIO(photo)
    if photo.startswith(_JPEG):
        opened = JpegImagePlugin.JpegImageFile(file)
        # One of any size can be decoded to fewer pixels; but of a progressive one, libjpeg holds all coefficients.
        if "progressive" in opened.info and opened.width * opened.height > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
            raise ValueError("a progressive JPEG of too many pixels")
        return opened
    if photo[4:8] == b"ftyp" and photo[8:11] != b"avi":
        try:
            from pillow_heif import HeifImageFile
        except ModuleNotFoundError:
            raise ValueError("pillow-heif is not installed") from None
        return HeifImageFile(file)  # type: ignore[no-untyped-call]
    try:
        return Image.open(file)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def upright(picture: Image, exif: bytes) -> Image:
    """Return a picture, of no file, upright by its EXIF orientation; as on the server, damaged EXIF counts as none."""
    from PIL import ImageOps

    picture.info = {"exif": exif}  # no XMP, which may have an orientation, and no comment, which Pillow writes again
    try:
        with warnings.catch_warnings(action="ignore"):
            return ImageOps.exif_transpose(picture)
    except DAMAGE:
        return picture


def rgb_of(picture: Image) -> Image:
    """Return a picture in RGB, white where it is transparent, as the server sees it; the orientation stays as it is."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel; `convert` alone would cut values above 255
        return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if picture.mode == "F":  # 0 is black, 1 is white
        return picture.point(lambda value: value * 255).convert("L").convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
