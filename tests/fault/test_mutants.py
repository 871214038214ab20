"""Damaged and hostile photos: each is refused by name or decoded, at small cost."""

import contextlib
import io
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fuzz_decode
from fr_core.errors import FrError, ImageTooManyPixels, Undecodable
from fr_core.imaging import KNOWN_FORMATS, Decoder, ImageLimits, PlainDecoder, decode
from fr_core.imaging.sandbox import SandboxedDecoder
from fr_core.types import U8
from fuzz_decode import (
    KEPT,
    LIMITS,
    MOST_GROWTH_MIB,
    MOST_MS,
    REPOSITORY,
    outcome,
    run_batch,
    run_sandboxed,
    seeds_of,
)
from photo_mutants import Mutants, chunk, drawn_seeds, joined, kept_inputs, saved
from support.counts import count

COUNT = count("MUTANTS")


def test_mutants_neither_crash_nor_cost_much() -> None:
    """In processes of their own; those that fail lie in build/fuzz."""
    command = [sys.executable, "tools/fuzz_decode.py", "mutants", "--count", str(COUNT)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = {key: float(value) for key, value in (line.split(": ") for line in ended.stdout.splitlines())}
    assert found["failed"] == 0
    assert found["slowest_ms"] <= MOST_MS
    assert found["growth_mib"] <= MOST_GROWTH_MIB
    # The control: mutants do fail, and many get as far as the pixels.
    assert found["UNDECODABLE"] > COUNT / 5
    assert found["IMAGE_TOO_MANY_PIXELS"] > COUNT / 500
    assert found["decoded"] > COUNT / 10
    outcomes = set(found) - {"failed", "slowest_ms", "growth_mib"}
    assert sum(found[key] for key in outcomes) == COUNT


def fault(data: bytes, limits: ImageLimits) -> None:
    raise ZeroDivisionError


def slow(data: bytes, limits: ImageLimits) -> None:
    end = time.thread_time() + (MOST_MS + 20) / 1000
    while time.thread_time() < end:
        pass


def greedy(data: bytes, limits: ImageLimits) -> None:
    assert np.ones(int((MOST_GROWTH_MIB + 300) * 2**17)).sum() > 0


@pytest.mark.parametrize(
    ("planted", "said"), [(fault, "raised ZeroDivisionError"), (slow, "decoded"), (greedy, "decoded")]
)
def test_a_decoder_at_fault_is_found_and_its_input_kept(
    planted: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = seeds_of(sandboxed=False)
    assert run_batch(seeds, 3, 1, tmp_path)["failed"] == 0
    assert list(tmp_path.iterdir()) == []
    if planted is greedy:  # other tests may have held more already
        monkeypatch.setattr(fuzz_decode, "_peak_mib", iter([0.0, MOST_GROWTH_MIB + 1]).__next__)
    monkeypatch.setattr(fuzz_decode, "decode", slow if planted is slow else planted)
    found = run_batch(seeds, 3, 1, tmp_path)
    assert (found["failed"], found[said]) == (1, 1)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == Mutants(seeds, np.random.default_rng(3)).next()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxedDecoder]:
    made = SandboxedDecoder(workers=1, memory_mib=200, time_ms=60_000)
    yield made
    made.close()


def said(decoder: Decoder, data: bytes) -> object:
    try:
        image = decoder.decode(data, LIMITS)
    except FrError as refused:
        return refused.reason, refused.message, refused.metadata
    return image.pixels.tobytes(), image.sha256


def test_the_sandbox_decodes_mutants_all_the_same(sandbox: SandboxedDecoder, caplog: pytest.LogCaptureFixture) -> None:
    """No call that decoding a broken photo makes of the kernel is one that the walls forbid."""
    mutants = Mutants(seeds_of(sandboxed=False), np.random.default_rng(7))
    for data in [*kept_inputs(KEPT), *(mutants.next() for _ in range(400))]:
        assert said(sandbox, data) == said(PlainDecoder(), data)
    assert caplog.text == ""


def test_mutants_of_avif_and_heic_cost_at_most_a_process(caplog: pytest.LogCaptureFixture) -> None:
    """Their decoders may crash, and their headers may be false; but they make no forbidden system call."""
    mutants = max(COUNT // 5, 300)
    found = run_sandboxed(11, mutants)
    replaced = found.pop("costly") + found.pop("crashed")
    assert sum(found.values()) == mutants
    assert replaced <= mutants / 20
    assert "SIGSYS" not in caplog.text
    # The control: mutants do fail, and many get as far as the pixels.
    assert found["UNDECODABLE"] > mutants / 5
    assert found["decoded"] > mutants / 20


def test_what_fuzzing_kept_is_refused_or_decoded_at_small_cost() -> None:
    inputs = kept_inputs(KEPT)
    reached: Counter[str] = Counter()
    for data in inputs:
        reason, took_ms = outcome(data)
        reached[reason] += 1
        assert took_ms <= MOST_MS
    assert sum(reached.values()) == len(inputs) > 20
    assert len(reached) >= 3


def refining(scans: int, side: int) -> bytes:
    """A progressive grey JPEG whose every further scan is a few bytes and walks through every coefficient."""
    blocks, long_run = (side // 8) ** 2, "0" + "1" * 14  # a run of 32,767 blocks at their end
    runs = long_run * (blocks // 32_767) + "10" * (blocks % 32_767)
    frame = b"\x08" + side.to_bytes(2, "big") * 2 + b"\1\1\x11\0"
    first = segment(0xDA, b"\1\1\0\0\0\0") + packed("0" * blocks)
    second = segment(0xDA, b"\1\1\0\1\x3f\1") + packed(runs)
    further = segment(0xDA, b"\1\1\0\1\x3f\x10") + packed(runs)
    return progressive(frame) + first + second + further * scans + b"\xff\xd9"


def test_a_jpeg_of_many_scans_over_many_pixels_is_refused() -> None:
    """Without that limit, 50 KB of 97 scans take 1.6 s at 25 megapixels."""
    assert decode(refining(8, 4992), ImageLimits()).width == 4992  # the control: as many scans as encoders write
    assert decode(refining(90, 1032), ImageLimits()).width == 1032
    begun = time.thread_time()
    with pytest.raises(Undecodable, match="too many scans for its number of pixels"):
        decode(refining(90, 4992), ImageLimits())
    assert time.thread_time() - begun < MOST_MS / 1000


def test_a_png_whose_pixels_unpack_to_more_than_it_says_is_no_bomb() -> None:
    header = (64).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    packed = zlib.compress(bytes(200_000_000), 9)
    data = joined([(b"IHDR", header), (b"IDAT", packed)], b"\x89PNG")
    assert chunk(b"IDAT", packed) in data
    said, took_ms = outcome(data, ImageLimits())
    assert said == "decoded"
    assert took_ms <= MOST_MS


WIDE = ImageLimits(max_pixels=1_000_000, formats=tuple(sorted(KNOWN_FORMATS)))


def small(name: str, **options: object) -> bytes:
    return saved(PIL.Image.open(io.BytesIO(drawn_seeds()["PNG"])), name, **options)


TAGS = PIL.Image.Exif()
TAGS[0x0112], TAGS[0x010F] = 6, "a maker of cameras"
# Beside the formats of tools/photo_mutants.py.
SEEDS = {name: small(name, exif=TAGS.tobytes()) for name in ("JPEG", "TIFF", "AVIF")}


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
            decode(data, WIDE)
            outcomes["decoded"] += 1
        except FrError as refused:
            outcomes[refused.reason] += 1
        slowest = max(slowest, time.thread_time() - begun)
    assert sum(outcomes.values()) == 1000
    # The control: the mutants do bite, and some are harmless.
    assert outcomes["UNDECODABLE"] > 100
    assert outcomes["decoded"] > 0
    assert slowest < 2.0


def packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def progressive(frame: bytes) -> bytes:
    """The beginning of a grey JPEG.

    One code for DC ("0": no difference), two for AC ("0": a run of 16,384 blocks and more; "10": end of block).
    """
    tables = segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1\1" + bytes(14) + b"\xe0\0")
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, frame) + tables


def many_scans(scans: int, side: int = 1032) -> bytes:
    """A progressive grey JPEG whose every further scan says "nothing changes" of all its blocks, in a few bytes."""
    blocks = (side // 8) ** 2
    frame = struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"
    first = segment(0xDA, b"\1\1\0\0\0\0") + packed("0" * blocks)
    further = segment(0xDA, b"\1\1\0\1\x3f\0") + packed("0" + format(blocks - 16384, "014b"))
    return progressive(frame) + first + further * scans + b"\xff\xd9"


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """8 MB of such scans keep the decoder busy for minutes at 25 megapixels."""
    limits = ImageLimits(max_pixels=2_000_000)
    assert decode(many_scans(90), limits).width == 1032  # the control
    with pytest.raises(Undecodable, match="scans"):
        decode(many_scans(300_000), limits)


def stuffed(name: str, count: int) -> bytes:
    data = small(name)
    if name == "JPEG":
        return data[:2] + segment(0xFE, b"") * count + data[2:]
    if name == "PNG":
        return data[:-12] + chunk(b"IDAT", b"") * count + data[-12:]
    if name == "GIF":
        return data[:-1] + b"!\xfe\0" * count + data[-1:]
    if name in ("AVIF", "HEIC"):
        return data + b"\0\0\0\x08free" * count
    body = data[12:] + b"ABCD\0\0\0\0" * count
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC"])
def test_a_photo_of_endless_segments_is_refused(name: str) -> None:
    assert decode(stuffed(name, 10_000), WIDE).width == 96  # the control
    with pytest.raises(Undecodable, match="segments"):
        decode(stuffed(name, 600_000), WIDE)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\0", b"\xff\xd0", b"\xff\x01", b"\0"])
@pytest.mark.parametrize("at", [20, -2])
def test_megabytes_of_filler_in_a_jpeg_take_no_time(filler: bytes, at: int) -> None:
    data = small("JPEG")
    begun = time.thread_time()
    with contextlib.suppress(Undecodable):
        decode(data[:at] + filler * (4_000_000 // len(filler)) + b"\0" + data[at:], WIDE)
    assert time.thread_time() - begun < 2.0


def test_profiles_and_texts_that_unpack_to_gigabytes_are_not_unpacked() -> None:
    data = small("PNG")
    bomb = zlib.compress(bytes(1_000_000), 9)
    notes = chunk(b"iCCP", b"x\0\0" + bomb) * 2000 + chunk(b"zTXt", b"x\0\0" + bomb) * 2000
    begun = time.thread_time()
    assert decode(data[:33] + notes + data[33:], WIDE).width == 96
    assert time.thread_time() - begun < 2.0


def test_a_small_file_of_many_pixels_is_refused_before_they_are_decoded() -> None:
    """The pixel data is missing: had they been decoded, the answer would be Undecodable."""
    for side, refusal in ((50_000, ImageTooManyPixels), (500, Undecodable)):  # the second is the control
        header = struct.pack(">LLBBBBB", side, side, 8, 6, 0, 0, 0)
        with pytest.raises(refusal):
            decode(joined([(b"IHDR", header), (b"IDAT", b"")], b"\x89PNG"), ImageLimits())


def test_a_refusal_says_nothing_of_the_bytes() -> None:
    secret = b"the name of a person"
    for data in (secret, small("PNG")[:40] + secret, small("JPEG")[:-30] + secret):
        with pytest.raises(FrError) as refused:
            decode(data, WIDE)
        assert secret.decode() not in refused.value.message + str(refused.value.metadata)


# First bytes by which each format is known, so that random bytes get past the door.
SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"RIFF\x20\0\0\0WEBPVP8 ",
    b"RIFF\x20\0\0\0WEBPVP8X",
    b"RIFF\x20\0\0\0WEBPVP8L",
    b"GIF89a",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"\0\0\0\x1cftypavif",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cjP  \r\n\x87\n",
)


@st.composite
def photos(draw: st.DrawFn) -> U8:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(photo: U8, name: str) -> bytes:
    return saved(PIL.Image.fromarray(photo), name, **({"lossless": True} if name == "WEBP" else {}))


@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
def test_any_bytes_are_a_photo_or_a_refusal(signature: bytes, rest: bytes) -> None:
    try:
        assert decode(signature + rest, WIDE).pixels.shape[2] == 3
    except FrError as refused:
        assert refused.reason  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "BMP"])
@given(photo=photos())
def test_a_photo_written_without_loss_comes_back_exactly(name: str, photo: U8) -> None:
    assert np.array_equal(decode(encoded(photo, name), WIDE).pixels, photo)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC", "JPEG2000"])
@given(photo=photos(), share=st.floats(0, 1, exclude_max=True))
def test_no_part_of_a_photo_passes_for_the_whole(name: str, photo: U8, share: float) -> None:
    data = encoded(photo, name)
    with pytest.raises(Undecodable):
        decode(data[: int(share * len(data))], WIDE)
