"""Imaging, the containers: what the bytes of a photo say of themselves before any pixel is decoded.

Nothing here decodes or allocates pixels: it names the format, sees that the file is whole, counts its pictures and
finds its orientation. Files that would keep the decoder busy for minutes are refused here, too.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fr_core.errors import Undecodable, message
from fr_core.imaging.tags import clean_tiff

# A progressive JPEG of 42 bytes per scan keeps libjpeg-turbo busy for 1 ms per scan at 25 megapixels, minutes for a
# file of 8 MB ("Two Issues with the JPEG Standard", libjpeg-turbo.org). Encoders write about ten.
_MAX_SCANS = 100
# A refining scan of a few bytes walks through every coefficient: 15 ms at 25 megapixels. So many pixels in all scans
# together; what has no more scans than encoders write is left to the limit of pixels.
_MAX_SCANNED_PIXELS, _USUAL_SCANS = 500_000_000, 10
# So do millions of empty segments. A PNG of 8 MB in chunks of 8 KB, libpng's own size, has a thousand.
_MAX_SEGMENTS = 20_000

# The next marker: any that is no stuffed byte, restart or fill (ITU-T T.81, B.1.1). One 0xFF, not a run of them:
# backtracking over a long run would take quadratic time.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOI, _EOI, _SOS, _APP1, _APP14, _COM, _TEM = 0xD8, 0xD9, 0xDA, 0xE1, 0xEE, 0xFE, 0x01
_JPEG_BARE = frozenset({_SOI, _TEM})  # no length follows
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_NOTES = frozenset({_COM, *range(_APP1, 0xF0)} - {_APP14})

_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


@dataclass(frozen=True, slots=True)
class Container:
    """The facts that a file states about itself."""

    format: str  # a name of `KNOWN_FORMATS`
    # The bytes for the decoder: those of the file, perhaps without metadata that could make the decoder fail.
    data: bytes
    pictures: int = 1  # 1, or 2 for two or more
    exif: bytes = b""  # the EXIF block; empty if there is none, or if the decoder turns the picture upright itself
    size: tuple[int, int] | None = None  # (width, height) in the header; None if the decoder can read it as cheaply


def sniff(data: bytes) -> str | None:
    """The name of the image format, found by its first bytes; None if the data are no image.

    No decoder here reads some of these formats, such as JPEG XL.
    """
    for name, is_it in _SIGNATURES:
        if is_it(data):
            return name
    return None


def inspect(data: bytes, name: str) -> Container:
    """Read the container of format `name`, a name of `KNOWN_FORMATS`.

    Raises `Undecodable`: the file is truncated or damaged; `UnsupportedFormat`: a variety of the format that is not
    read.
    """
    try:
        return _INSPECTORS[name](data)
    except (struct.error, IndexError) as error:
        raise _truncated(name) from error


def _truncated(name: str) -> Undecodable:
    return Undecodable(message("error.imaging.photo_truncated_ends_before", name=name), format=name)


def _count_segment(segments: int, name: str) -> int:
    if segments >= _MAX_SEGMENTS:
        raise Undecodable(message("error.imaging.photo_more_segments", name=name, most=_MAX_SEGMENTS), format=name)
    return segments + 1


def _jpeg(data: bytes) -> Container:
    """JPEG, its first picture only: whatever follows the end mark is not read.

    Phones append previews, depth maps and films after it (MPO, CIPA DC-007; motion photos): still one photo. Of the
    application segments and comments the decoder gets those that bear on colour: JFIF (APP0) and Adobe (APP14).
    """
    at, scans, segments, exif, pixels, kept = 2, 0, 0, b"", 0, [data[:2]]
    while True:
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            raise _truncated("JPEG")
        marker, mark, body = found[1][0], found.start(), found.end()
        # What lies before a marker is compressed pixels once a scan has begun, and junk before that.
        start = at if scans else mark
        if marker == _EOI:
            kept.append(data[start:body])
            return Container("JPEG", b"".join(kept), pictures=1, exif=exif)
        segments = _count_segment(segments, "JPEG")
        at = body if marker in _JPEG_BARE else body + int(struct.unpack_from(">H", data, body)[0])
        if marker == _APP1 and not exif and data.startswith(b"Exif\0\0", body + 2):
            exif = data[body + 2 : at]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, body + 3)
            pixels = max(pixels, width * height)
        kept.append(data[start : mark if marker in _JPEG_NOTES else at])
        scans += marker == _SOS
        _require_scans(scans, pixels)


def _require_scans(scans: int, pixels: int) -> None:
    if scans > _MAX_SCANS:
        raise Undecodable(message("error.imaging.jpeg_photo_more_scans", most=_MAX_SCANS), format="JPEG")
    if scans > _USUAL_SCANS and scans * pixels > _MAX_SCANNED_PIXELS:
        raise Undecodable(message("error.imaging.jpeg_photo_too_many"), format="JPEG")


def _png(data: bytes) -> Container:
    """PNG: chunks up to IEND; an animation is told by acTL (APNG). The decoder gets the chunks that make pixels."""
    at, segments, exif, pictures, kept = 8, 0, b"", 1, [data[:8]]
    while True:
        segments = _count_segment(segments, "PNG")
        start = at
        length, kind = struct.unpack_from(">L4s", data, start)
        at = start + 12 + length
        if at > len(data):
            raise _truncated("PNG")
        if kind in _PNG_PIXELS:
            kept.append(data[start:at])
        if kind == b"eXIf":
            exif = data[start + 8 : at - 4]
        if kind == b"acTL":
            pictures = 2
        if kind == b"IEND":
            return Container("PNG", b"".join(kept), pictures, exif)


def _webp(data: bytes) -> Container:
    """WebP: RIFF chunks; the canvas is allocated when the decoder opens the file, so its size is read here."""
    (length,) = struct.unpack_from("<L", data, 4)
    end = 8 + length
    if end > len(data):
        raise _truncated("WEBP")
    at, segments, exif, frames, size = 12, 0, b"", 0, None
    while at + 8 <= end:
        segments = _count_segment(segments, "WEBP")
        kind, length = struct.unpack_from("<4sL", data, at)
        body, at = at + 8, at + 8 + length + (length & 1)
        if kind == b"EXIF":
            exif = data[body : body + length]
        frames += kind == b"ANMF"
        size = size or _webp_size(kind, data, body)
    if size is None:  # the decoder may find a canvas of any size behind the end
        raise _truncated("WEBP")
    return Container("WEBP", data, min(max(frames, 1), 2), exif, size)


def _webp_size(kind: bytes, data: bytes, body: int) -> tuple[int, int] | None:
    """The canvas that a chunk speaks of (RFC 9649, sections 2.5 to 2.7); None for the others."""
    if kind == b"VP8X":
        width, w, height, h = struct.unpack_from("<HBHB", data, body + 4)
        return (width | w << 16) + 1, (height | h << 16) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<L", data, body + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, body + 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _gif(data: bytes) -> Container:
    """GIF: blocks up to the trailer (GIF89a, sections 17 to 27); the picture count is that of image descriptors."""

    def colours(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    at, pictures, segments = 13 + colours(data[10]), 0, 0
    while data[at] != 0x3B and pictures < 2:
        segments = _count_segment(segments, "GIF")
        if data[at] == 0x2C:
            pictures += 1
            at += 11 + colours(data[at + 9])
        elif data[at] == 0x21:
            at += 2
        else:
            raise Undecodable(message("error.imaging.gif_photo_damaged_block"), format="GIF")
        while data[at]:
            at += 1 + data[at]
        at += 1
    return Container("GIF", data, pictures)


def _tiff(data: bytes) -> Container:
    """TIFF: its orientation is one of its own tags, which the decoder obeys."""
    cleaned, pictures = clean_tiff(data)
    return Container("TIFF", cleaned, pictures)


def _bmp(data: bytes) -> Container:
    """BMP: as long as its header says; its decoder does not miss the padding of the last row."""
    (length,) = struct.unpack_from("<L", data, 2)
    if length > len(data):
        raise _truncated("BMP")
    return Container("BMP", data, 1)


def _jpeg2000(data: bytes) -> Container:
    """JPEG 2000: tile-parts up to EOC (ISO/IEC 15444-1, annex A); its decoder takes some without their last bytes."""
    at, segments = 0, 0
    while data[at : at + 4] != b"\xff\x4f\xff\x51":  # SOC, SIZ: else a box before the one with the codestream
        segments = _count_segment(segments, "JPEG2000")
        size, kind = struct.unpack_from(">L4s", data, at)
        at += 8 if kind == b"jp2c" and size != 1 else 16 if kind == b"jp2c" else max(size, 8)
    at += 2
    while True:
        segments = _count_segment(segments, "JPEG2000")
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == 0xFFD9:
            return Container("JPEG2000", data, 1)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == 0xFF90:  # SOT; a length of 0 = up to EOC, which then ends the file
            (length,) = struct.unpack_from(">L", data, at + 6)
            at = at + length if length else len(data) - 2
        else:
            at += 2 + length


def _heif(data: bytes, name: str) -> Container:
    """AVIF and HEIC: boxes up to the end (ISO/IEC 14496-12 and 23008-12); a film (moov) counts as several pictures.

    The primary picture is the photo, as the first of a JPEG is; phones put previews, depth and gain maps beside it. The
    decoder obeys the container's own turn and mirror boxes, which stand above EXIF. EXIF items get another name in the
    directory of items, so that a damaged one cannot trip the decoder.
    """
    at, segments, pictures, cleaned = 0, 0, 1, bytearray(data)
    while at < len(data):
        segments = _count_segment(segments, name)
        size, kind = struct.unpack_from(">L4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        end = at + max(size, 8) if size else len(data)
        if end > len(data):
            raise _truncated(name)
        if kind == b"meta":
            cleaned[at:end] = data[at:end].replace(b"Exif", b"free")
        if kind == b"moov":
            pictures = 2
        at = end
    return Container(name, bytes(cleaned), pictures)


_INSPECTORS: dict[str, Callable[[bytes], Container]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
    "AVIF": partial(_heif, name="AVIF"),
    "HEIC": partial(_heif, name="HEIC"),
    "BMP": _bmp,
    "JPEG2000": _jpeg2000,
}


def _brands(data: bytes) -> list[bytes]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, ftyp), the major one first."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4], "big"), 256)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]


_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# Brands of HEVC pictures and films; mif1 and msf1 allow any codec, in practice HEVC (ISO/IEC 23008-12).
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})

# The first match counts. No decoder here reads the last two, but their name makes the refusal clearer.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("JPEG", lambda d: d.startswith(b"\xff\xd8\xff")),
    ("PNG", lambda d: d.startswith(b"\x89PNG\r\n\x1a\n")),
    ("WEBP", lambda d: d.startswith(b"RIFF") and d[8:12] == b"WEBP"),
    ("GIF", lambda d: d.startswith((b"GIF87a", b"GIF89a"))),
    ("BMP", lambda d: d.startswith(b"BM") and int.from_bytes(d[14:18], "little") in _BMP_HEADERS),
    ("TIFF", lambda d: d.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))),
    ("AVIF", lambda d: not {b"avif", b"avis"}.isdisjoint(_brands(d))),
    ("JPEG2000", lambda d: d.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"))),
    ("HEIC", lambda d: not _HEIC_BRANDS.isdisjoint(_brands(d))),
    ("JPEG XL", lambda d: d.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"))),
    ("PSD", lambda d: d.startswith(b"8BPS")),
)
