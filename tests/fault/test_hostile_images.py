"""Hostile photos: mutants, bombs of pixels and bombs of time. Each is refused by name, or decodes; nothing else."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib
from collections import Counter

import numpy as np
import PIL.Image
import pytest

from fr_core.errors import FrError, ImageTooManyPixels, Undecodable
from fr_core.imaging import KNOWN_FORMATS, ImageLimits, decode
from fr_core.types import U8

LIMITS = ImageLimits(max_pixels=1_000_000, formats=tuple(sorted(KNOWN_FORMATS)))


def drawing() -> U8:
    y, x = np.mgrid[:64, :96]
    grain = np.random.default_rng(1).integers(0, 20, (64, 96, 3))
    return np.clip(np.stack([x * 2, y * 3, x + y], -1) + grain, 0, 255).astype("u1")


def encoded(name: str) -> bytes:
    tags = PIL.Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "a maker of cameras"
    buffer = io.BytesIO()
    PIL.Image.fromarray(drawing()).save(buffer, name, exif=tags.tobytes())
    return buffer.getvalue()


# Beside the formats of tools/photo_mutants.py, of which test_mutants.py decodes thousands.
SEEDS = {name: encoded(name) for name in ("JPEG", "TIFF", "AVIF")}


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` cut short, or with a few bytes flipped, replaced, removed or put in, mostly near its start."""
    kind = rng.integers(4)
    if kind == 0:
        return data[: rng.integers(1, len(data))]
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 400)
        at = int(rng.integers(reach))
        if kind == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            changed[at] = int(rng.choice([0, 1, 127, 128, 254, 255]))
        elif rng.random() < 0.5:
            del changed[at : at + int(rng.integers(1, 9))]
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(changed)


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_a_thousand_mutants_are_decoded_or_refused_by_name(name: str) -> None:
    rng = np.random.default_rng(20)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(1000):
        data = mutant(SEEDS[name], rng)
        begun = time.thread_time()
        try:
            decode(data, LIMITS)
            outcomes["decoded"] += 1
        except FrError as refused:
            outcomes[refused.reason] += 1
        slowest = max(slowest, time.thread_time() - begun)
    assert sum(outcomes.values()) == 1000
    # The control: the mutants do bite, and some are harmless.
    assert outcomes["UNDECODABLE"] > 100
    assert outcomes["decoded"] > 0
    assert slowest < 2.0


def test_the_mutants_bring_pillow_alone_to_raise_what_is_no_refusal() -> None:
    """The control of the test above: without the decoder's care the same mutants end in many other errors."""
    rng = np.random.default_rng(20)
    raised: Counter[str] = Counter()
    for _ in range(1000):
        try:
            PIL.Image.open(io.BytesIO(mutant(SEEDS["JPEG"], rng))).load()
        except (OSError, SyntaxError, ValueError, struct.error, Warning) as error:
            raised[type(error).__name__] += 1
    assert len(raised) > 1


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def many_scans(scans: int, side: int = 1032) -> bytes:
    """A progressive grey JPEG whose every further scan says "nothing changes" of all its blocks, in a few bytes."""
    blocks = (side // 8) ** 2
    frame = struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"
    start = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, frame)
    # One code for DC ("0": no difference), two for AC ("0": a run of 16,384 blocks and more; "10": end of block).
    tables = segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1\1" + bytes(14) + b"\xe0\0")

    def packed(bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")

    first = segment(0xDA, b"\1\1\0\0\0\0") + packed("0" * blocks)
    further = segment(0xDA, b"\1\1\0\1\x3f\0") + packed("0" + format(blocks - 16384, "014b"))
    return start + tables + first + further * scans + b"\xff\xd9"


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """8 MB of such scans keep the decoder busy for minutes at 25 megapixels."""
    limits = ImageLimits(max_pixels=2_000_000)
    assert decode(many_scans(90), limits).width == 1032  # the control
    with pytest.raises(Undecodable, match="scans"):
        decode(many_scans(300_000), limits)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def small(name: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(drawing()).save(buffer, name)
    return buffer.getvalue()


def stuffed(name: str, count: int) -> bytes:
    """A photo with `count` segments that hold nothing."""
    data = small(name)
    if name == "JPEG":
        return data[:2] + segment(0xFE, b"") * count + data[2:]
    if name == "PNG":
        return data[:-12] + chunk(b"IDAT", b"") * count + data[-12:]
    if name == "GIF":
        return data[:-1] + b"!\xfe\0" * count + data[-1:]
    body = data[12:] + b"ABCD\0\0\0\0" * count
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_photo_of_endless_segments_is_refused(name: str) -> None:
    assert decode(stuffed(name, 10_000), LIMITS).width == 96  # the control
    with pytest.raises(Undecodable, match="segments"):
        decode(stuffed(name, 600_000), LIMITS)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\0", b"\xff\xd0", b"\xff\x01", b"\0"])
@pytest.mark.parametrize("at", [20, -2])
def test_megabytes_of_filler_in_a_jpeg_take_no_time(filler: bytes, at: int) -> None:
    data = small("JPEG")
    begun = time.thread_time()
    with contextlib.suppress(Undecodable):
        decode(data[:at] + filler * (4_000_000 // len(filler)) + b"\0" + data[at:], LIMITS)
    assert time.thread_time() - begun < 2.0


def test_profiles_and_texts_that_unpack_to_gigabytes_are_not_unpacked() -> None:
    data = small("PNG")
    bomb = zlib.compress(bytes(1_000_000), 9)
    notes = chunk(b"iCCP", b"x\0\0" + bomb) * 2000 + chunk(b"zTXt", b"x\0\0" + bomb) * 2000
    begun = time.thread_time()
    assert decode(data[:33] + notes + data[33:], LIMITS).width == 96
    assert time.thread_time() - begun < 2.0


def test_a_small_file_of_many_pixels_is_refused_before_they_are_decoded() -> None:
    """The pixel data is missing: had they been decoded, the answer would be Undecodable."""
    header = struct.pack(">LLBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageTooManyPixels):
        decode(data, ImageLimits())
    header = struct.pack(">LLBBBBB", 500, 500, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(Undecodable):  # the control
        decode(data, ImageLimits())


def test_a_refusal_says_nothing_of_the_bytes() -> None:
    secret = b"the name of a person"
    for data in (secret, small("PNG")[:40] + secret, small("JPEG")[:-30] + secret):
        with pytest.raises(FrError) as refused:
            decode(data, LIMITS)
        assert secret.decode() not in refused.value.message + str(refused.value.metadata)
