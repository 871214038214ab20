"""Imaging, the tags: EXIF orientation, and what a TIFF file says of itself. Both are the same directory of tags."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import TiffTags

from fr_core.errors import Undecodable, UnsupportedFormat, message

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4

# Bytes per value of each field type: TIFF 6.0 specification, section 2.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NO_TYPE = 0
_BLOBS = (1, 2, 7)  # BYTE, ASCII, UNDEFINED: many bytes, one value

# The tags that say how the pixels are laid out (TIFF 6.0; 338 ExtraSamples, 339 SampleFormat, 347 JPEGTables).
_PIXEL_TAGS = frozenset(
    {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
    | {332, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
)


@dataclass(frozen=True, slots=True)
class _Entry:
    at: int
    tag: int
    type: int
    count: int
    value_at: int

    @property
    def size(self) -> int:
        """Bytes that the values take; 0 for a type that the specification does not know."""
        return self.count * _TYPE_BYTES.get(self.type, 0)


def exif_orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8 (EXIF 2.3, tag 0x0112), of an EXIF block.

    An absent, damaged or senseless block means 1, "as stored": a broken note beside the picture does not make the
    picture undecodable, and viewers show such photos as stored, too.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    try:
        order, entries, _ = _directory(tiff)
        for entry in entries:
            if entry.tag == _ORIENTATION and entry.type in (_SHORT, _LONG) and entry.count == 1:
                (value,) = struct.unpack_from(order + ("H" if entry.type == _SHORT else "L"), tiff, entry.value_at)
                return int(value) if 1 <= value <= 8 else 1
    except (struct.error, ValueError):
        pass
    return 1


def clean_tiff(data: bytes) -> tuple[bytes, int]:
    """A TIFF file with only the tags that describe pixels, and the number of its pictures (2 for two or more).

    The other tags (EXIF, GPS, editors' notes) get a field type that every reader skips, so that a fault in one of
    them can neither stop the decoding nor raise a warning.

    Raises `UnsupportedFormat`: a BigTIFF; `Undecodable`: a tag that describes the pixels is damaged, or its values lie
    outside the file.
    """
    if data[2:3] == b"\x2b" or data[3:4] == b"\x2b":
        raise UnsupportedFormat(message("error.imaging.photo_bigtiff_file_not"), format="TIFF")
    cleaned = bytearray(data)
    total = 0
    try:
        order, entries, after = _directory(data)
        for entry in entries:
            if entry.tag not in _PIXEL_TAGS:
                struct.pack_into(order + "H", cleaned, entry.at + 2, _NO_TYPE)
                continue
            scalar = TiffTags.lookup(entry.tag).length == 1 and entry.type not in _BLOBS
            total += entry.size
            if entry.value_at + entry.size > len(data) or total > len(data) or (scalar and entry.count != 1):
                raise Undecodable(message("error.imaging.tiff_photo_truncated_tags"), format="TIFF")
        (following,) = struct.unpack_from(order + "L", data, after)
    except (struct.error, ValueError) as error:
        raise Undecodable(message("error.imaging.tiff_photo_truncated_tags"), format="TIFF") from error
    return bytes(cleaned), 2 if following else 1


def _directory(tiff: bytes) -> tuple[str, Iterator[_Entry], int]:
    """The byte order of a TIFF structure, the entries of its first directory, and where that directory ends.

    Raises:
        ValueError: no TIFF structure.
        struct.error: it ends too early; the entries raise it, too, as they are read.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        raise ValueError("neither little nor big endian")
    magic, start = struct.unpack_from(order + "HL", tiff, 2)
    if magic != 42:
        raise ValueError("no TIFF structure")
    (count,) = struct.unpack_from(order + "H", tiff, start)

    def entries() -> Iterator[_Entry]:
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values, offset = struct.unpack_from(order + "HHLL", tiff, at)
            inline = values * _TYPE_BYTES.get(kind, 0) <= 4
            yield _Entry(at, tag, kind, values, at + 8 if inline else offset)

    return order, entries(), start + 2 + 12 * count
