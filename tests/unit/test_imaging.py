"""Imaging: what is decoded and into which pixels, and what is refused with which reason."""

import csv
import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import pillow_heif
import pytest
import simplejpeg
from PIL import JpegImagePlugin

from fr_core.errors import (
    ConfigInvalid,
    ImageTooManyBytes,
    ImageTooManyPixels,
    SeveralFrames,
    Undecodable,
    UnsupportedFormat,
)
from fr_core.imaging import DEFAULT_FORMATS, KNOWN_FORMATS, MAX_PIXELS_CEILING, ImageLimits, decode
from fr_core.imaging.containers import inspect
from fr_core.imaging.tags import exif_orientation
from fr_core.types import U8
from photo_mutants import Mutants, drawn_seeds, saved
from support.commands import REPOSITORY

WIDE = ImageLimits(max_pixels=40_000_000, formats=tuple(sorted(KNOWN_FORMATS)))
DEFAULT = ImageLimits()

# How to write each format without loss; None where no encoder does.
LOSSLESS: dict[str, dict[str, object] | None] = {
    "JPEG": None,
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "GIF": None,
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": None,
    "HEIC": None,
    "JPEG2000": {},
}


def drawing(width: int = 48, height: int = 32) -> U8:
    """A smooth picture without any symmetry, u8[height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) * 255 // (width + 2 * height)], -1).astype("u1")


def encoded(picture: U8 | PIL.Image.Image, name: str, **options: object) -> bytes:
    return saved(picture if isinstance(picture, PIL.Image.Image) else PIL.Image.fromarray(picture), name, **options)


def written(name: str) -> bytes:
    """The drawing in format `name`, as exactly as its encoder can."""
    picture = PIL.Image.fromarray(drawing())
    options = LOSSLESS[name]
    if name == "GIF":
        return encoded(picture.quantize(256), name)
    return encoded(picture, name, **({"quality": 95} if options is None else options))


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


def exif(value: int | str, tag: int = 0x0112) -> bytes:
    """One tag, by default the orientation."""
    tags = PIL.Image.Exif()
    tags[tag] = value
    return tags.tobytes()


of_formats = pytest.mark.parametrize("name", sorted(KNOWN_FORMATS))


def off(data: bytes, limits: ImageLimits = WIDE) -> float:
    """The mean difference of a decoded photo from the drawing."""
    return float(np.abs(decode(data, limits).pixels.astype(int) - drawing()).mean())


def test_what_people_read_of_formats_is_true() -> None:
    """One page lists the default formats, besides the generated pages; other texts do not name them."""
    row = f"| a photo | 8 MiB, 25 megapixels; {', '.join(DEFAULT_FORMATS)}; 512 faces |".upper()
    assert row in (REPOSITORY / "docs" / "start-integrators.md").read_text(encoding="utf-8").upper()
    for pattern in ("docs/**/*.md", "proto/fr_api/**/*.proto", "locales/**/*.po", "client/**/*.py"):
        for path in REPOSITORY.glob(pattern):
            if path.parent.name != "adr":
                assert "PNG or WebP" not in path.read_text(encoding="utf-8"), path


@of_formats
def test_every_known_format_is_decoded(name: str) -> None:
    data = written(name)
    image = decode(data, WIDE)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (32, 48, 3)
    assert image.pixels.flags.c_contiguous
    assert not image.pixels.flags.writeable
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert off(data) < 4 if LOSSLESS[name] is None else off(data) == 0
    if name in DEFAULT_FORMATS:
        assert decode(data, DEFAULT).width == 48
    else:
        with pytest.raises(UnsupportedFormat) as refused:
            decode(data, DEFAULT)
        assert refused.value.metadata == {"format": name, "accepted": "JPEG,PNG,WEBP,AVIF,HEIC"}
        assert "this server accepts JPEG, PNG, WEBP, AVIF, HEIC. Convert" in refused.value.message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("JPEG XL", b"\xff\x0a" + bytes(40)),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)),
        ("PSD", b"8BPS\0\1" + bytes(40)),
        ("TIFF", b"II\x2b\0\x08\0\0\0" + bytes(40)),
        *(("", none) for none in (b"", b"\xff", b"not a photo\n", b"BM, the first letters of a text", b"\xff\xd8")),
        ("", bytes(9999)),
    ],
)
def test_an_image_that_no_decoder_here_reads_is_named_and_what_is_none_undecodable(name: str, data: bytes) -> None:
    with pytest.raises((UnsupportedFormat, Undecodable)) as refused:
        decode(data, WIDE)
    assert (isinstance(refused.value, UnsupportedFormat), refused.value.metadata.get("format", "")) == (
        name != "",
        name,
    )


def test_bytes_at_the_limit_pass_and_pillow_is_left_as_it_was() -> None:
    data = written("PNG")
    assert decode(data, ImageLimits(max_bytes=len(data))).width == 48
    with pytest.raises(ImageTooManyBytes) as refused:
        decode(data, ImageLimits(max_bytes=len(data) - 1))
    assert refused.value.metadata == {"found": str(len(data)), "limit": str(len(data) - 1)}
    before = (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES, list(PIL.Image.ID))
    for name in KNOWN_FORMATS:
        decode(written(name), WIDE)
    assert before == (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES, list(PIL.Image.ID))


@of_formats
def test_pixels_at_the_limit_pass_and_one_more_is_refused(name: str) -> None:
    data = written(name)
    formats = tuple(KNOWN_FORMATS)
    assert decode(data, ImageLimits(max_pixels=48 * 32, formats=formats)).height == 32
    with pytest.raises(ImageTooManyPixels) as refused:
        decode(data, ImageLimits(max_pixels=48 * 32 - 1, formats=formats))
    assert refused.value.metadata == {"width": "48", "height": "32", "limit": str(48 * 32 - 1)}


def bombs() -> Iterator[tuple[str, bytes]]:
    yield "PNG", png(60_000, 60_000, 8, 2, [b""])
    jpeg = bytearray(written("JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    yield "JPEG", bytes(jpeg)
    alpha = PIL.Image.fromarray(drawing()).convert("RGBA")
    alpha.putalpha(100)
    for kind, data, at, size in (
        (b"VP8X", encoded(alpha, "WEBP"), 24, b"\xff\xff\0" * 2),
        (b"VP8 ", encoded(drawing(), "WEBP"), 26, struct.pack("<HH", 16_383, 16_383)),
        (b"VP8L", encoded(drawing(), "WEBP", lossless=True), 21, struct.pack("<L", 0x0FFFFFFF)),
    ):
        assert data[12:16] == kind
        yield f"WEBP {kind.decode()}", data[:at] + size + data[at + len(size) :]
    for name in ("AVIF", "HEIC"):
        data = encoded(drawing(64, 64), name)
        at = data.index(b"ispe") + 8
        yield name, data[:at] + struct.pack(">LL", 12_000, 12_000) + data[at + 8 :]


@pytest.mark.parametrize(("name", "data"), list(bombs()))
def test_a_bomb_is_refused_by_what_its_header_says(name: str, data: bytes) -> None:
    with pytest.raises(ImageTooManyPixels):
        decode(data, DEFAULT)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_bytes": 0},
        {"max_pixels": 0},
        {"max_pixels": MAX_PIXELS_CEILING + 1},
        {"formats": ()},
        {"formats": ("JPEG", "JPEG XL")},
        {"formats": ("jpeg",)},
    ],
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid):
        ImageLimits(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_animations_and_pages_are_refused(name: str) -> None:
    frames = [PIL.Image.fromarray(drawing()), PIL.Image.fromarray(255 - drawing())]
    if name == "GIF":
        frames = [frame.quantize(64) for frame in frames]
    data = encoded(frames[0], name, save_all=True, append_images=frames[1:])
    with pytest.raises(SeveralFrames):
        decode(data, WIDE)
    assert decode(encoded(frames[0], name, save_all=True), WIDE).width == 48


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_a_film_among_the_boxes_of_a_still_picture_is_refused(name: str) -> None:
    assert decode(written(name) + b"\0\0\0\x08skip", DEFAULT).width == 48  # the control
    with pytest.raises(SeveralFrames):
        decode(written(name) + b"\0\0\0\x08moov", DEFAULT)


@pytest.mark.parametrize("primary", [0, 1])
def test_the_primary_picture_of_a_heic_is_the_photo(primary: int) -> None:
    """Phones put previews, depth and gain maps beside it, and some files hold several photos."""
    heif = pillow_heif.from_pillow(PIL.Image.fromarray(drawing()))
    heif.add_from_pillow(PIL.Image.new("RGB", (16, 24), "red"))
    buffer = io.BytesIO()
    heif.save(buffer, primary_index=primary, thumbnails=[16], quality=95)
    image = decode(buffer.getvalue(), DEFAULT)
    assert (image.width, image.height) == ((48, 32), (16, 24))[primary]


def test_the_first_picture_of_a_phones_jpeg_is_the_photo() -> None:
    """MPO: phones put a preview or a depth map behind the photo."""
    preview = PIL.Image.new("RGB", (16, 16), "red")
    data = encoded(drawing(), "MPO", save_all=True, append_images=[preview], quality=95)
    assert PIL.Image.open(io.BytesIO(data)).format == "MPO"
    image = decode(data, DEFAULT)
    assert (image.width, image.height) == (48, 32)
    assert np.array_equal(image.pixels, decode(encoded(drawing(), "JPEG", quality=95), DEFAULT).pixels)
    assert decode(data[:-5], DEFAULT).width == 48  # a preview cut short costs nothing


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "JPEG2000", "AVIF", "HEIC"])
def test_a_file_cut_short_is_told_so_and_bytes_after_the_end_are_ignored(name: str) -> None:
    for cut in (1, 2, 5, 30):
        with pytest.raises(Undecodable, match="truncated"):
            decode(written(name)[:-cut], WIDE)
    if name not in ("JPEG2000", "AVIF", "HEIC"):  # to the latter two, it is a box that is cut short
        longer = decode(written(name) + b"\0ftypmp42 a film \xff\xd8\xff\xe0", WIDE).pixels
        assert np.array_equal(longer, decode(written(name), WIDE).pixels)


def test_notes_junk_further_pictures_and_colour_profiles_do_not_reach_the_pixels() -> None:
    plain = encoded(drawing(), "JPEG")
    noted = encoded(drawing(), "JPEG", exif=exif(6), comment="a note", icc_profile=b"a profile", xmp=b"<xmp/>")
    assert inspect(plain, "JPEG").data == plain
    assert inspect(noted[:2] + bytes(99) + noted[2:] + b"more", "JPEG").data == plain
    assert inspect(encoded(drawing(), "PNG", exif=exif(6), dpi=(72, 72)), "PNG").data == encoded(drawing(), "PNG")
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for broken in (profile, profile[:40], b"no profile"):
        assert np.array_equal(decode(encoded(drawing(), "PNG", icc_profile=broken), DEFAULT).pixels, drawing())


def test_damage_is_seen_also_where_pillow_loads_truncated_images(monkeypatch: pytest.MonkeyPatch) -> None:
    flipped = bytearray(written("PNG"))
    flipped[flipped.index(b"IDAT") + 40] ^= 1
    with pytest.raises(Undecodable):
        decode(bytes(flipped), DEFAULT)
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for name in DEFAULT.formats:
        with pytest.raises(Undecodable):
            decode(written(name)[:-4], DEFAULT)


TURN = PIL.Image.Transpose
STORED_AS = (
    *(None, TURN.FLIP_LEFT_RIGHT, TURN.ROTATE_180, TURN.FLIP_TOP_BOTTOM),
    *(TURN.TRANSPOSE, TURN.ROTATE_90, TURN.TRANSVERSE, TURN.ROTATE_270),
)
"""The turn of an upright scene as a camera stores it, by its EXIF mark: the inverse of the viewer's turn."""


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_obeyed(name: str, orientation: int) -> None:
    turn = STORED_AS[orientation - 1]
    scene = PIL.Image.fromarray(drawing())
    stored = scene if turn is None else scene.transpose(turn)
    options = LOSSLESS[name] or {"quality": 95}
    data = encoded(stored, name, exif=exif(orientation), **options)
    assert decode(data, WIDE).pixels.shape == (32, 48, 3)
    assert off(data) < (4 if LOSSLESS[name] is None else 1e-9)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_boxes_of_a_heic_turn_it_once_whatever_its_exif_says(orientation: int) -> None:
    """Phones write boxes and EXIF, and both say the same; other programs write only one."""
    turn = STORED_AS[orientation - 1]
    assert turn is not None
    both = encoded(PIL.Image.fromarray(drawing()).transpose(turn), "HEIC", exif=exif(orientation), quality=95)
    assert b"irot" in both or b"imir" in both
    boxes_alone = both.replace(exif(orientation), exif(1))
    exif_alone = encoded(drawing(), "HEIC", exif=exif(1), quality=95).replace(exif(1), exif(orientation))
    assert boxes_alone != both
    for data in (both, boxes_alone, exif_alone):
        assert decode(data, DEFAULT).pixels.shape == (32, 48, 3)
        assert off(data) < 4


def test_a_heic_of_tiles_of_ten_bits_or_grey_is_decoded() -> None:
    wide = drawing(200, 150)
    tiles = encoded(wide, "HEIC", tile_size=64, quality=95)
    assert b"grid" in tiles
    assert np.abs(decode(tiles, DEFAULT).pixels.astype(int) - wide).mean() < 4
    buffer = io.BytesIO()
    ten = pillow_heif.from_bytes("RGB;16", (48, 32), (drawing().astype("<u2") * 257).tobytes())
    ten.save(buffer, quality=95)
    assert pillow_heif.open_heif(buffer.getvalue()).info["bit_depth"] == 10
    assert off(buffer.getvalue()) < 4
    grey = PIL.Image.fromarray(drawing()).convert("L")
    found = decode(encoded(grey, "HEIC", quality=95), DEFAULT).pixels
    assert np.abs(found.astype(int) - np.asarray(grey)[..., None]).mean() < 4


def exif_block(order: str = "<", start: int = 8, entries: int = 1, **field: int) -> bytes:
    """An EXIF block by hand: one tag, which says orientation 6 unless told otherwise."""
    mark, value = {"<": b"II", ">": b"MM"}[order], struct.pack(order + "H", field.get("value", 6))
    entry = struct.pack(order + "HHL", field.get("tag", 0x0112), field.get("kind", 3), field.get("count", 1)) + value
    return b"Exif\0\0" + mark + struct.pack(order + "HLH", 42, start, entries) + entry + bytes(6)


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0no tags at all",
        exif_block()[:-9],
        exif_block().replace(b"*", b"+"),
        exif_block(start=0xFFFFFFFF),
        exif_block(start=9),
        exif_block(entries=0),
        exif_block(entries=0xFFFF, tag=0x0100),
        exif_block(kind=2),
        exif_block(kind=99),
        exif_block(count=2),
        exif_block(value=0),
        exif_block(value=9),
        exif_block(value=0xFFFF),
    ],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_leaves_the_photo_as_stored(name: str, broken: bytes) -> None:
    image = decode(encoded(drawing(), name, exif=broken, **(LOSSLESS[name] or {})), DEFAULT)
    assert image.pixels.shape == (32, 48, 3)
    assert exif_orientation(broken) == 1
    for whole in (exif_block("<"), exif_block(">")):  # the control, in both byte orders
        data = encoded(drawing(), name, exif=whole, **(LOSSLESS[name] or {}))
        assert decode(data, DEFAULT).pixels.shape == (48, 32, 3)


def tiff_with(tag: int, kind: int, count: int, value: int, plain: bytes | None = None) -> bytes:
    """The drawing as a TIFF whose tag `tag` (Software, 305, is one that says nothing of pixels) is written by hand."""
    data = bytearray(plain or encoded(drawing(), "TIFF", software="an editor of photos"))
    (start,) = struct.unpack_from("<L", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, at) == (tag,):
            struct.pack_into("<HLL", data, at + 2, kind, count, value)
            return bytes(data)
    raise AssertionError("no such tag")


def test_broken_notes_in_a_heic_change_nothing() -> None:
    data = encoded(drawing(), "HEIC", exif=exif(6), xmp=b"<x:xmpmeta tiff:Orientation='1'/>", quality=95)
    broken = data.replace(b"<x:xmpmeta", b"\xff\xfe\xff" * 3 + b"<").replace(exif(6), b"\xff" * len(exif(6)))
    assert broken != data
    assert np.array_equal(decode(broken, DEFAULT).pixels, decode(data, DEFAULT).pixels)


def test_broken_notes_in_an_avif_or_a_tiff_raise_no_warning() -> None:
    avif = encoded(drawing(), "AVIF", exif=exif("maker", 0x010F), quality=95)
    for whole, broken, warning in (
        (avif, avif.replace(b"MM\0*\0\0\0\x08", b"MM\0*\0\0\xff\x08"), "Corrupt EXIF"),
        (written("TIFF"), tiff_with(305, 2, 0x7FFFFFFF, 0x7FFFFFFF), "larger than file"),
    ):
        with pytest.warns(UserWarning, match=warning):
            PIL.Image.open(io.BytesIO(broken)).load()
        assert np.array_equal(decode(broken, WIDE).pixels, decode(whole, WIDE).pixels)


@pytest.mark.parametrize(
    ("tag", "kind", "count", "value"),
    [(258, 3, 3, 0x7FFFFFFF), (273, 4, 0x7FFFFFFF, 8), (256, 3, 2, 0x00010001), (257, 3, 9, 8)],
)
def test_broken_tags_that_describe_pixels_are_refused(tag: int, kind: int, count: int, value: int) -> None:
    with pytest.raises(Undecodable):
        decode(tiff_with(tag, kind, count, value), WIDE)
    data = encoded(drawing(), "TIFF")
    many = len(data) // 4 - 4
    with pytest.raises(Undecodable):  # tags that share their values look larger than the file
        decode(tiff_with(279, 4, many, 8, tiff_with(273, 4, many, 8, data)), WIDE)


@pytest.mark.parametrize(("name", "error"), [("JPEG", 4), ("TIFF", 1)])
def test_cmyk_and_jpegs_that_hold_rgb_are_read_the_adobe_way(name: str, error: float) -> None:
    options = {"quality": 98} if name == "JPEG" else {}
    assert off(encoded(PIL.Image.fromarray(drawing()).convert("CMYK"), name, **options)) < error
    # Only the Adobe segment tells RGB from YCbCr, once the components are not named R, G and B.
    data = bytearray(encoded(drawing(), "JPEG", quality=98, keep_rgb=True))
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    assert data[frame + 10 : frame + 19 : 3] == data[scan + 5 : scan + 11 : 2] == b"RGB"
    data[frame + 10 : frame + 19 : 3] = data[scan + 5 : scan + 11 : 2] = b"\1\2\3"
    assert off(bytes(data), DEFAULT) < 4


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(2, 1, 16, 2, [bytes.fromhex("00008080ffff01017f7f1234")]), [[0, 128, 255], [1, 127, 18]]),
        (png(2, 1, 16, 0, [b"\x12\x34\x12\xff"], (b"tRNS", b"\x12\x34")), [[255] * 3, [0x12] * 3]),
        (png(4, 1, 1, 0, [b"\xa0"]), [[255] * 3, [0] * 3] * 2),
        (encoded(PIL.Image.fromarray(np.array([[7, 200]], np.uint8)), "PNG"), [[7] * 3, [200] * 3]),
        (encoded(PIL.Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"), [[0] * 3, [128] * 3, [255] * 3]),
    ],
    ids=["16 bits", "16-bit grey, transparent is white", "1 bit", "grey", "floating point from 0 to 1"],
)
def test_pixels_of_other_depths_are_scaled_not_clipped(data: bytes, expected: list[list[int]]) -> None:
    assert decode(data, WIDE).pixels.tolist() == [expected]
    ramp = PIL.Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)
    for name in ("PNG", "TIFF"):
        assert np.array_equal(decode(encoded(ramp, name), WIDE).pixels[..., 1], np.arange(256).reshape(16, 16))


def test_jpegs_have_the_pixels_of_pillow_to_the_bit() -> None:
    seeds = {name: data for name, data in drawn_seeds().items() if name.startswith("JPEG")}
    for subsampling in ("444", "422", "420", "440", "411"):
        seeds[subsampling] = simplejpeg.encode_jpeg(drawing(131, 97), colorsubsampling=subsampling)
    seeds["progressive"] = encoded(drawing(131, 97), "JPEG", progressive=True)
    for data in seeds.values():
        with PIL.Image.open(io.BytesIO(data)) as picture:
            found = decode(data, DEFAULT).pixels
            turned = PIL.ImageOps.exif_transpose(picture)
            assert np.array_equal(found, np.asarray(turned.convert("RGB")))


def test_damaged_jpegs_are_refused_like_those_that_pillow_refuses() -> None:
    seeds = [data for name, data in drawn_seeds().items() if name.startswith("JPEG") and name != "JPEG, tagged"]
    mutants, limits = Mutants(seeds, np.random.default_rng(5)), ImageLimits(max_pixels=1_000_000)
    damage = (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error, Undecodable)
    outcomes = {True: 0, False: 0}
    for data in (mutants.next() for _ in range(1000)):
        if not data.startswith(b"\xff\xd8\xff"):
            continue  # no JPEG to the server, and one to Pillow only because the test says so
        found: U8 | None = None
        expected: U8 | None = None
        with suppress(Undecodable):
            try:
                found = decode(data, limits).pixels
            except (ImageTooManyPixels, UnsupportedFormat):
                continue
        with suppress(*damage), JpegImagePlugin.JpegImageFile(io.BytesIO(inspect(data, "JPEG").data)) as picture:
            expected = np.asarray(picture.convert("RGB"))
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert np.array_equal(found, expected)
        outcomes[found is None] += 1
    assert min(outcomes.values()) > 100


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, np.nan, np.inf, np.int32(2)])
def test_pixels_beyond_black_and_white_are_no_photo_that_can_be_read(value: float) -> None:
    pixels = np.array([[0, value]], dtype=np.int32 if value == 2 else np.float32)
    with pytest.raises(UnsupportedFormat):
        decode(encoded(PIL.Image.fromarray(pixels), "TIFF"), WIDE)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(mode: str) -> None:
    picture = PIL.Image.new(mode, (3, 1), 0)
    clear = (0,) * (len(mode) - 1)
    for x, alpha in enumerate((0, 255, 102)):
        picture.putpixel((x, 0), (*clear, alpha))
    for name in ("PNG", "WEBP"):
        pixels = decode(encoded(picture, name, **(LOSSLESS[name] or {})), DEFAULT).pixels
        assert pixels[0, :, 0].tolist() == [255, 0, 153]
    for name in ("AVIF", "HEIC"):
        pixels = decode(encoded(picture.resize((96, 32), 0), name, quality=95), DEFAULT).pixels
        assert np.allclose(pixels[16, 16::32, 0], [255, 0, 153], atol=4)


def test_palettes_are_read_with_and_without_transparency() -> None:
    picture = PIL.Image.new("P", (4, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3])
    for x in range(4):
        picture.putpixel((x, 0), x)
    assert decode(encoded(picture, "PNG"), DEFAULT).pixels[0, :, 2].tolist() == [30, 60, 90, 3]
    one = decode(encoded(picture, "PNG", transparency=1), DEFAULT).pixels
    assert one[0, :, 2].tolist() == [30, 255, 90, 3]
    many = decode(encoded(picture, "PNG", transparency=b"\xff\x00\x66\xff"), DEFAULT).pixels
    assert many[0, :, 2].tolist() == [30, 255, 189, 3]
    gif = decode(encoded(picture, "GIF", transparency=1), WIDE).pixels
    assert gif[0, :, 2].tolist() == [30, 255, 90, 3]


def test_every_odd_file_is_decoded_or_refused_as_its_index_says(testdata: Path) -> None:
    folder = testdata / "odd_formats"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = []
    for row in rows:
        data = (folder / row["file"]).read_bytes()
        try:
            decoded = decode(data, WIDE).pixels.ndim == 3
        except Undecodable:
            decoded = False
        if decoded == (row["expected_faces"] == "error"):
            wrong.append(row["file"])
    assert len(rows) == 47
    assert wrong == []
