"""Imaging, the door: a photo comes in as bytes and goes out as pixels, or is refused with a reason."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import PIL.Image
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from fr_core import errors
from fr_core.imaging.containers import Container, inspect, sniff
from fr_core.imaging.tags import exif_orientation
from fr_core.types import U8, Image, frozen_array
from fr_locales.messages import message


class Decoder(Protocol):
    """Decodes photos; for any number of threads at once."""

    def decode(self, data: bytes, limits: ImageLimits) -> Image:
        """Decode one photo as `fr_core.imaging.decode` does; raises what that raises."""

    def close(self) -> None:
        """Give up what the decoder holds. Nothing is decoded after that."""


class PlainDecoder:
    """Decodes in the process and the thread that ask: quickest, and a fault of a decoding library ends the process."""

    def decode(self, data: bytes, limits: ImageLimits) -> Image:
        """As `Decoder.decode`."""
        return decode(data, limits)

    def close(self) -> None:
        """Nothing to give up."""


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

    * Ten to sixteen bits: the high byte, so that white stays white; never clipped at 255.
    * Floating point: 0 is black, 1 is white.
    * Transparency: laid on white, as a viewer shows it.
    * CMYK and YCCK: by the plain formula R = (1 - C)(1 - K).
    * Palette, grey, bilevel, YCbCr, Lab: their RGB.

    `orientation`: EXIF orientation, 1 to 8. Raises `UnsupportedFormat` for integers of 32 bits and floating point
    outside 0 to 1, because their white is not known.
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
            raise errors.UnsupportedFormat(message("error.imaging.photo_holds_floating_point"), samples="F")
        return PIL.Image.fromarray(np.rint(real * 255.0).astype(np.uint8))
    if picture.mode == "I":
        raise errors.UnsupportedFormat(message("error.imaging.photo_holds_integers_bits"), samples="I")
    return picture


def _rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.has_transparency_data:
        return _on_white(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it


def _on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    rgba = picture.convert("RGBA")
    white = PIL.Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


MAX_PIXELS_CEILING = 89_478_485
"""The most that `ImageLimits.max_pixels` may be: Pillow's own `MAX_IMAGE_PIXELS`, beyond which it warns."""


def _heic(file: io.BytesIO) -> ImageFile.ImageFile:
    from pillow_heif import HeifImageFile  # 26 MB of libraries, which most processes do not need

    return HeifImageFile(file)  # type: ignore[no-untyped-call]


# The readers themselves rather than `PIL.Image.open`: that one fills Pillow's global registry, guesses at formats that
# nobody asked for, and warns. Each takes a file object and reads the header only.
_READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "HEIC": _heic,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}

KNOWN_FORMATS: frozenset[str] = frozenset(_READERS)  # the formats that `ImageLimits.formats` may name

DEFAULT_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIC")
"""The formats of browsers and phones, which a server accepts unless `images.formats` names others."""

# What Pillow's readers raise on damaged files: those that `PIL.Image.open` and `ImageFile` name (OSError, SyntaxError,
# IndexError, TypeError, KeyError, EOFError, struct.error), and what mutated files brought out of the readers beneath.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits for a photo. A photo is one picture: animations and multi-page files are always refused.

    Raises `ConfigInvalid`: a limit below 1, more than `MAX_PIXELS_CEILING` pixels, or a format that is not known.
    """

    max_bytes: int = 8 * 1024 * 1024  # of the encoded photo; the default allows the JPEGs of cameras and phones
    # Width times height; the default allows 24-megapixel cameras, and costs about 350 MB while decoding.
    max_pixels: int = 25_000_000
    # Names of `KNOWN_FORMATS`. The default is `DEFAULT_FORMATS`; the decoders of the others are fuzzed less, so allow
    # them only if you need them.
    formats: tuple[str, ...] = DEFAULT_FORMATS
    max_faces: int = 512  # faces in the photo; each of them costs a run of the embedder

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise errors.ConfigInvalid(message("error.imaging.max_bytes"), key="images.max_bytes")
        if self.max_faces < 1:
            raise errors.ConfigInvalid(message("error.imaging.max_faces"), key="images.max_faces")
        if not 1 <= self.max_pixels <= MAX_PIXELS_CEILING:
            raise errors.ConfigInvalid(
                message("error.imaging.max_pixels", most=MAX_PIXELS_CEILING), key="images.max_pixels"
            )
        unknown = sorted(set(self.formats) - KNOWN_FORMATS)
        if unknown or not self.formats:
            raise errors.ConfigInvalid(
                message("error.imaging.formats", formats=", ".join(sorted(KNOWN_FORMATS))), key="images.formats"
            )


def decode(data: bytes, limits: ImageLimits) -> Image:
    """Decode one photo.

    The checks come in the order of their cost: number of bytes; format; the container, which must be whole and hold
    one picture; number of pixels; then the pixels. Memory for pixels is allocated only after all other checks. But the
    header of an AVIF or a HEIC may give a false size: `fr_core.imaging.sandbox` decodes them within limits.

    * Phones write JPEGs with more pictures behind the first (MPO, "motion photos"): the first is the photo. Garbage
      after the end of a JPEG is ignored. In a HEIC or an AVIF, the primary picture is the photo. A file that stops
      before its end is refused, even if all pixels are there.
    * The EXIF orientation is obeyed; damaged EXIF counts as none. XMP is not read. In a HEIC or an AVIF, the turn and
      mirror boxes are obeyed instead (ISO/IEC 23008-12), and EXIF is not read, because phones write both.
    * Colour profiles are not applied: the detectors and embedders were trained, and their reference implementations
      run, on the numbers as stored. Reading Display P3 numbers as sRGB costs an embedding 0.001 of cosine, Adobe RGB
      0.002 (median of 300 faces, w600k_mbf).

    It changes no global state, raises no warning, and may be called from several threads at once.

    `data`: the encoded photo; the name of its file does not matter. Returns pixels u8[H, W, 3], RGB, upright,
    read-only, and the sha256 of `data`.

    Raises:
        ImageTooManyBytes: more than `limits.max_bytes`.
        Undecodable: empty, no image, truncated or damaged.
        UnsupportedFormat: an image of a format not in `limits.formats`, or of a variety that cannot be read.
        SeveralFrames: an animation or several pages.
        ImageTooManyPixels: more than `limits.max_pixels`.
    """
    pixels = decode_pixels(data, limits)
    return Image(pixels=pixels, sha256=hashlib.sha256(data).hexdigest())


def decode_pixels(data: bytes, limits: ImageLimits) -> U8:
    """The pixels alone of what `decode` returns; raises what that raises."""
    require_bytes(data, limits)
    name = sniff(data)
    if name is None:
        raise errors.Undecodable(message("error.imaging.bytes_no_image_known"))
    if name not in limits.formats:
        raise errors.UnsupportedFormat(
            message("error.imaging.photo_format", name=name, accepted=", ".join(limits.formats)),
            format=name,
            accepted=",".join(limits.formats),
        )
    container = inspect(data, name)
    if container.pictures != 1:
        raise errors.SeveralFrames(message("error.imaging.file_holds_more_picture", name=name), format=name)
    if container.size is not None:
        _require_pixels(container.size, limits)
    return _pixels(container, limits)


def require_bytes(data: bytes, limits: ImageLimits) -> None:
    """Refuse what is too long or empty, before anything is read of it.

    Raises `ImageTooManyBytes`: more than `limits.max_bytes`; `Undecodable`: empty.
    """
    if len(data) > limits.max_bytes:
        raise errors.ImageTooManyBytes(
            message("error.imaging.photo_bytes_limit", length=len(data), most=limits.max_bytes),
            found=str(len(data)),
            limit=str(limits.max_bytes),
        )
    if not data:
        raise errors.Undecodable(message("error.imaging.photo_no_bytes"))


def _pixels(container: Container, limits: ImageLimits) -> U8:
    try:
        with _READERS[container.format](io.BytesIO(container.data)) as picture:
            _require_pixels(picture.size, limits)
            # What the AVIF reader calls EXIF here is its account of the container's turn and mirror boxes.
            exif = picture.info.get("exif", b"") if container.format == "AVIF" else container.exif
            orientation = exif_orientation(exif)
            if container.format == "JPEG" and (pixels := _jpeg_pixels(container.data, picture)) is not None:
                return pixels if orientation == 1 else upright_rgb(PIL.Image.fromarray(pixels), orientation)
            picture.load()
            return upright_rgb(picture, orientation)
    except _DAMAGE as error:
        raise errors.Undecodable(
            message("error.imaging.photo_damaged", format=container.format), format=container.format
        ) from error


def _jpeg_pixels(data: bytes, header: ImageFile.ImageFile) -> U8 | None:
    """The pixels of a grey or a coloured JPEG, as stored; None if Pillow must decode it.

    libjpeg-turbo writes into our own memory: the pixels are equal to Pillow's, in .35 to .76 of the time.
    """
    if header.mode not in ("L", "RGB"):
        return None
    import simplejpeg  # where photos are not decoded, it need not be installed

    room = np.empty((header.height, header.width, 3), np.uint8)
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", buffer=room, strict=True)
    except ValueError:  # a warning or worse, or one of the rare ways to store colours: Pillow decides
        return None
    return frozen_array(pixels) if pixels.shape == room.shape else None


def _require_pixels(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise errors.ImageTooManyPixels(
            message("error.imaging.photo_x_pixels_limit", width=width, height=height, most=limits.max_pixels),
            width=str(width),
            height=str(height),
            limit=str(limits.max_pixels),
        )
