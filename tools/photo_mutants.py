"""Tools, artificial photos: drawn seeds of the default formats, and mutants that reach deep into a decoder.

Everything follows from a seed of `numpy.random.Generator`. A mutant changes bytes, or pieces of the container. Then the
container gets right lengths and checksums, so that the decoder does not stop at those.
"""

import base64
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageCms
import pillow_heif

Pieces = list[tuple[bytes, bytes]]
"""The pieces of a container: (kind, body). In a JPEG, the compressed pixels belong to the body of their scan.

In AVIF and HEIC, the kind of a box begins with the kinds of the boxes around it, four bytes each.
"""

_INTERESTING = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255)
_SIDES = (0, 1, 7, 8, 255, 256, 1000, 1024, 4096, 16383, 16384, 32767, 32768, 65500, 65535, 2**31 - 1, 2**32 - 1)


@cache
def drawn_seeds() -> dict[str, bytes]:
    """Whole photos of 96 x 64 pixels in the varieties that people send; made in half a second, the same each time."""
    y, x = np.mgrid[:64, :96]
    grain = np.random.default_rng(1).integers(0, 20, (64, 96, 3))
    pixels = np.clip(np.stack([x * 2, y * 3, x + y], -1) + grain, 0, 255).astype(np.uint8)
    rgb = PIL.Image.fromarray(pixels)
    rgba = PIL.Image.fromarray(np.dstack([pixels, (x * 2).astype(np.uint8)]))
    tags = PIL.Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "a maker of cameras"
    exif, icc = tags.tobytes(), PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    return {
        "JPEG": saved(rgb, "JPEG"),
        "JPEG, grey": saved(rgb.convert("L"), "JPEG"),
        "JPEG, CMYK": saved(rgb.convert("CMYK"), "JPEG"),
        "JPEG, 4:4:4 with restarts": saved(rgb, "JPEG", subsampling=0, restart_marker_blocks=4),
        "JPEG, progressive": saved(rgb, "JPEG", progressive=True),
        "JPEG, tagged": saved(rgb, "JPEG", exif=exif, icc_profile=icc, comment=b"a comment"),
        "PNG": saved(rgb, "PNG"),
        "PNG, transparent": saved(rgba, "PNG"),
        "PNG, palette": saved(rgb.quantize(16), "PNG", transparency=3),
        "PNG, 16 bits": saved(PIL.Image.fromarray((x * 600 + y).astype(np.uint16)), "PNG"),
        "PNG, bilevel": saved(rgb.convert("1"), "PNG"),
        "PNG, tagged": saved(rgb, "PNG", exif=exif, icc_profile=icc),
        "PNG, interlaced": _interlaced(),
        "WEBP": saved(rgb, "WEBP"),
        "WEBP, lossless": saved(rgb, "WEBP", lossless=True),
        "WEBP, lossless palette": saved(rgb.quantize(16), "WEBP", lossless=True),
        "WEBP, transparent": saved(rgba, "WEBP"),
        "WEBP, tagged": saved(rgb, "WEBP", exif=exif, icc_profile=icc),
        "AVIF": saved(rgb, "AVIF"),
        "AVIF, transparent": saved(rgba, "AVIF"),
        "AVIF, tagged": saved(rgb, "AVIF", subsampling="4:4:4", exif=exif, icc_profile=icc),
        "HEIC": saved(rgb, "HEIC"),
        "HEIC, grey": saved(rgb.convert("L"), "HEIC"),
        "HEIC, transparent": saved(rgba, "HEIC"),
        "HEIC, 10 bits": saved(PIL.Image.fromarray((x * 600 + y).astype(np.uint16)), "HEIC"),
        "HEIC, tagged": saved(rgb, "HEIC", subsampling="4:4:4", exif=exif, icc_profile=icc, thumbnails=[32]),
        "HEIC, tiles": saved(rgb, "HEIC", tile_size=64),
    }


def kept_inputs(path: Path) -> list[bytes]:
    """The inputs of a text file of one Base64 line each; lines that begin with # are notes."""
    lines = path.read_text(encoding="ascii").splitlines()
    return [base64.b64decode(line, validate=True) for line in lines if line and not line.startswith("#")]


class Mutants:
    """An endless row of mutants of photos; `rng` decides everything."""

    def __init__(self, seeds: Sequence[bytes], rng: np.random.Generator) -> None:
        self._seeds = list(seeds)
        self._rng = rng
        # How often each is taken. Those that reach the pixels are the costly ones.
        self._ways: tuple[tuple[float, Callable[[bytes], bytes]], ...] = (
            (0.30, self._bytes_changed),
            (0.08, self._cut_short),
            (0.08, self._pieces_moved),
            (0.08, self._pieces_spliced),
            (0.22, self._body_changed),
            (0.08, self._length_changed),
            (0.08, self._size_changed),
            (0.04, self._piece_repeated),
            (0.04, self._bomb),
        )
        self._chances = np.array([chance for chance, _ in self._ways])

    def next(self) -> bytes:
        """Make one more."""
        data = self._seeds[self._rng.integers(len(self._seeds))]
        for _ in range(1 + int(self._rng.random() < 0.2)):
            way = int(self._rng.choice(len(self._ways), p=self._chances))
            data = self._ways[way][1](data)
        return data

    def _bytes_changed(self, data: bytes) -> bytes:
        """Bits flipped, bytes replaced, removed or put in, mostly near the start."""
        changed = bytearray(data)
        for _ in range(self._rng.integers(1, 9)):
            reach = len(changed) if self._rng.random() < 0.5 else min(len(changed), 700)
            if not reach:
                break
            at, kind = int(self._rng.integers(reach)), int(self._rng.integers(4))
            if kind == 0:
                changed[at] ^= 1 << int(self._rng.integers(8))
            elif kind == 1:
                changed[at] = int(self._rng.choice(_INTERESTING))
            elif kind == 2:
                del changed[at : at + int(self._rng.integers(1, 9))]
            else:
                changed[at:at] = self._rng.bytes(int(self._rng.integers(1, 9)))
        return bytes(changed)

    def _cut_short(self, data: bytes) -> bytes:
        """Without its end, and in half of the cases with an end mark in its place."""
        cut = data[: int(self._rng.integers(len(data) + 1))]
        return joined(pieces_of(cut), cut) if self._rng.random() < 0.5 else cut

    def _pieces_moved(self, data: bytes) -> bytes:
        pieces = pieces_of(data)
        for _ in range(self._rng.integers(1, 4)):
            if pieces:
                moved = pieces.pop(int(self._rng.integers(len(pieces))))
                if self._rng.random() < 0.6:
                    pieces.insert(int(self._rng.integers(len(pieces) + 1)), moved)
        return joined(pieces, data)

    def _pieces_spliced(self, data: bytes) -> bytes:
        """With pieces of another photo, of any format, among its own."""
        pieces, others = pieces_of(data), pieces_of(self._seeds[self._rng.integers(len(self._seeds))])
        for _ in range(self._rng.integers(1, 4)):
            if others:
                at = int(self._rng.integers(len(pieces) + 1))
                pieces[at : at + int(self._rng.integers(2))] = [others[self._rng.integers(len(others))]]
        return joined(pieces, data)

    def _body_changed(self, data: bytes) -> bytes:
        """One piece damaged inside, with right lengths and checksums around it."""
        pieces = pieces_of(data)
        if pieces:
            at = int(self._rng.integers(len(pieces)))
            kind, body = pieces[at]
            if kind == b"IDAT" and self._rng.random() < 0.5:  # beneath the compression
                body = zlib.compress(self._bytes_changed(_inflated(body)), 1)
            else:
                body = self._bytes_changed(body)
            pieces[at] = kind, body
        return joined(pieces, data)

    def _length_changed(self, data: bytes) -> bytes:
        pieces = pieces_of(data)
        if not pieces:
            return data
        _, body = pieces[self._rng.integers(len(pieces))]
        at = max(data.find(body[:16]) - int(self._rng.choice([2, 4, 8])), 0)
        lie = struct.pack(self._rng.choice([">H", "<L", ">L"]), int(self._rng.choice(_SIDES[:-6])))
        return data[:at] + lie + data[at + len(lie) :]

    def _size_changed(self, data: bytes) -> bytes:
        """More or fewer pixels than there are: a bomb of pixels in a small file."""
        pieces = pieces_of(data)
        for at, (kind, body) in enumerate(pieces):
            place = _SIZE_AT.get(kind[-4:])
            if place is not None and len(body) > place[0] + 8:
                start, code = place
                most = 8 * struct.calcsize(code)
                sides = [int(side) % 2**most for side in self._rng.choice(_SIDES, 2)]
                if self._rng.random() < 0.7:  # more than there are, and no more than may be
                    sides = self._rng.integers(1, 1000, 2).tolist()
                step = struct.calcsize(code)
                changed = struct.pack(code, sides[0]) + struct.pack(code, sides[1])
                pieces[at] = kind, body[:start] + changed + body[start + 2 * step :]
        return joined(pieces, data)

    def _piece_repeated(self, data: bytes) -> bytes:
        pieces = pieces_of(data)
        if pieces:
            at = int(self._rng.integers(len(pieces)))
            pieces[at:at] = [pieces[at]] * int(self._rng.choice([2, 10, 99, 120]))
        return joined(pieces, data)

    def _bomb(self, data: bytes) -> bytes:
        """A piece that unpacks to a megabyte, or many empty ones."""
        pieces, packed = pieces_of(data), zlib.compress(bytes(1_000_000), 9)
        bombs = _bombs(data[:2], packed)
        if bombs:
            at = int(self._rng.integers(len(pieces) + 1))
            pieces[at:at] = [bombs[self._rng.integers(len(bombs))]] * int(self._rng.choice([1, 1, 5, 50]))
        return joined(pieces, data)


def _bombs(magic: bytes, packed: bytes) -> Pieces:
    """Pieces for a file that begins so, of which many or one may be too many."""
    directory = b"\xff\xff" + bytes(2000)
    if magic == b"\x89P":
        return [
            (b"iCCP", b"x\0\0" + packed),
            (b"zTXt", b"x\0\0" + packed),
            (b"iTXt", b"x\0\1\0\0\0" + packed),
            (b"eXIf", b"II*\0\x08\0\0\0" + directory),
            (b"IDAT", packed),
        ]
    if magic == b"\xff\xd8":
        return [
            (b"\xe1", b"Exif\0\0MM\0*\0\0\0\x08" + directory),
            (b"\xe2", b"ICC_PROFILE\0\1\xff"),
            (b"\xfe", b""),
            (b"\xda", b"\0\x08\1\1\0\1\x3f\0"),
            (b"\xdd", b"\0\1"),
        ]
    if magic == b"RI":
        return [
            (b"EXIF", b"II*\0\x08\0\0\0" + directory),
            (b"ICCP", bytes(70_000)),
            (b"XMP ", b""),
            (b"ANMF", bytes(24)),
            (b"ALPH", b"\1" + bytes(500)),
        ]
    if magic == b"\0\0":
        item = b"\2\0\0\0\0\7\0\0"
        return [
            (b"metaiprpipcoispe", bytes(4) + b"\0\0\xff\xff" * 2),
            (b"metaiprpipcoirot", b"\1"),
            (b"metaiprpipcoclap", struct.pack(">8l", 9, 1, 9, 1, 99, 1, -99, 1)),
            (b"metaiinfinfe", item + b"grid\0"),
            (b"metaiinfinfe", item + b"Exif\0"),
            (b"metairefdimg", b"\0\1\0\1\0\1"),
            (b"free", bytes(70_000)),
            (b"moov", b""),
        ]
    return []


# Where the width and the height stand in the body of a piece, and as what.
_SIZE_AT: dict[bytes, tuple[int, str]] = {
    b"IHDR": (0, ">L"),
    b"\xc0": (1, ">H"),
    b"\xc2": (1, ">H"),
    b"VP8X": (4, "<L"),
    b"VP8 ": (6, "<H"),
    b"VP8L": (1, "<H"),
    b"ispe": (4, ">L"),
}

# Boxes that hold other boxes after this number of bytes (ISO/IEC 14496-12 and 23008-12).
_INSIDE = {b"meta": 4, b"iinf": 6, b"iref": 4, b"iprp": 0, b"ipco": 0}


def pieces_of(data: bytes) -> Pieces:
    """The pieces of a JPEG, PNG, WebP, AVIF or HEIC up to the first damage; none for other formats."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_pieces(data)
        if data.startswith(b"\x89PNG"):
            return _chunks(data, 8, ">L4s", 4, 1)
        if data.startswith(b"RIFF"):
            return _chunks(data, 12, "<4sL", 0, 2)
        if data[4:8] == b"ftyp":
            return _boxes(data, b"")
    except (struct.error, IndexError):
        pass
    return []


def joined(pieces: Pieces, like: bytes) -> bytes:
    """Pieces as a file of the format that `like` has, with right lengths, checksums and end marks."""
    if like.startswith(b"\xff\xd8"):
        parts = [b"\xff" + kind[:1] + _jpeg_body(kind, body) for kind, body in pieces]
        return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"
    if like.startswith(b"\x89PNG"):
        parts = [chunk(kind, body) for kind, body in pieces]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")
    if like.startswith(b"RIFF"):
        whole = b"WEBP" + b"".join(
            _named(kind) + struct.pack("<L", len(b)) + b + bytes(len(b) & 1) for kind, b in pieces
        )
        return b"RIFF" + struct.pack("<L", len(whole)) + whole
    if like[4:8] == b"ftyp":
        return _joined_boxes(pieces, 0)
    return like


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    name = _named(kind)
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def _named(kind: bytes) -> bytes:
    return (kind + b"abcd")[:4]


def _jpeg_pieces(data: bytes) -> Pieces:
    pieces, at = [], 2
    while data[at] == 0xFF and data[at + 1] != 0xD9:
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        while marker == 0xDA and not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
            end += 1
        # A scan keeps its length, so that what is pixels stays told from what is header.
        pieces.append((bytes([marker]), data[at + 2 if marker == 0xDA else at + 4 : end]))
        at = end
    return pieces


def _jpeg_body(kind: bytes, body: bytes) -> bytes:
    return body if kind == b"\xda" else struct.pack(">H", min(len(body) + 2, 65535)) + body[:65533]


def _chunks(data: bytes, at: int, head: str, checksum: int, align: int) -> Pieces:
    pieces: Pieces = []
    while at + 8 <= len(data):
        first, second = struct.unpack_from(head, data, at)
        kind, length = (first, second) if isinstance(first, bytes) else (second, first)
        if kind != b"IEND":
            pieces.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + checksum + (-length % align)
    return pieces


def _boxes(data: bytes, around: bytes) -> Pieces:
    pieces: Pieces = []
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">L4s", data, at)
        body = data[at + 8 : at + size] if size >= 8 else data[at + 8 :]
        if kind in _INSIDE:
            own = _INSIDE[kind]
            pieces += [(around + kind + _OWN, body[:own]), *_boxes(body[own:], around + kind)]
        else:
            pieces.append((around + kind, body))
        at += 8 + len(body)
    return pieces


_OWN = b"own "  # stands for the bytes of a box that lie before the boxes in it


def _joined_boxes(pieces: Pieces, depth: int) -> bytes:
    """The boxes of pieces that lie in one box `depth` levels down; neighbours of one kind share the box around them."""
    whole = b""
    start, end = 4 * depth, 4 * depth + 4
    for (kind, is_leaf), group in itertools.groupby(pieces, lambda one: (one[0][start:end], len(one[0]) <= end)):
        some = list(group)
        for body in [body for _, body in some] if is_leaf else [_joined_boxes(some, depth + 1)]:
            whole += (b"" if kind == _OWN else struct.pack(">L", 8 + len(body)) + _named(kind)) + body
    return whole


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, 1_000_000)
    except zlib.error:
        return body


def _interlaced() -> bytes:
    """A grey PNG of 16 x 16 pixels in the seven passes of Adam7."""
    rows = b"".join(
        bytes([0, *range(width)]) * height
        for width, height in ((2, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8))
    )
    header = struct.pack(">LLBBBBB", 16, 16, 8, 0, 0, 0, 1)
    return joined([(b"IHDR", header), (b"IDAT", zlib.compress(rows))], b"\x89PNG")


def saved(picture: PIL.Image.Image, name: str, **options: object) -> bytes:
    """A picture as a file of a format; Pillow alone does not write HEIC."""
    buffer = io.BytesIO()
    if name == "HEIC":
        pillow_heif.from_pillow(picture).save(buffer, **options)
    else:
        picture.save(buffer, name, **options)
    return buffer.getvalue()
