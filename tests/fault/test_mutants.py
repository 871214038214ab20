"""Thousands of damaged photos, each refused by name or decoded, at small cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fuzz_decode
from fr_core.errors import FrError, Undecodable
from fr_core.imaging import Decoder, ImageLimits, PlainDecoder, decode
from fr_core.imaging.sandbox import SandboxedDecoder
from fuzz_decode import KEPT, LIMITS, MOST_GROWTH_MIB, MOST_MS, REPOSITORY, outcome, run_batch
from photo_mutants import Mutants, chunk, drawn_seeds, joined, kept_inputs, pieces_of
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
    # The control: the mutants do bite, and many come as far as the pixels.
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
    """The control of the test above."""
    seeds = list(drawn_seeds().values())
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


def test_mutants_come_out_of_the_sandbox_as_they_do_without(
    sandbox: SandboxedDecoder, caplog: pytest.LogCaptureFixture
) -> None:
    """No call that decoding a broken photo makes of the kernel is one that the walls forbid."""
    mutants = Mutants(list(drawn_seeds().values()), np.random.default_rng(7))
    for data in [*kept_inputs(KEPT), *(mutants.next() for _ in range(400))]:
        assert said(sandbox, data) == said(PlainDecoder(), data)
    assert caplog.text == ""


def test_what_fuzzing_kept_is_refused_or_decoded_at_small_cost() -> None:
    inputs = kept_inputs(KEPT)
    reached: Counter[str] = Counter()
    for data in inputs:
        reason, took_ms = outcome(data)
        reached[reason] += 1
        assert took_ms <= MOST_MS
    assert sum(reached.values()) == len(inputs) > 20
    assert len(reached) >= 3


@pytest.mark.parametrize("name", sorted(drawn_seeds()))
def test_a_photo_taken_to_pieces_goes_together_again(name: str) -> None:
    data = drawn_seeds()[name]
    pieces = pieces_of(data)
    assert len(pieces) >= (1 if name.startswith("WEBP") else 2)
    again = joined(pieces, data)
    assert decode(again, LIMITS).pixels.tobytes() == decode(data, LIMITS).pixels.tobytes()


def test_mutants_are_the_same_each_time() -> None:
    seeds = list(drawn_seeds().values())
    first, second, other = (Mutants(seeds, np.random.default_rng(seed)) for seed in (1, 1, 2))
    row = [first.next() for _ in range(50)]
    assert row == [second.next() for _ in range(50)]
    assert row != [other.next() for _ in range(50)]


def refining(scans: int, side: int) -> bytes:
    """A progressive grey JPEG whose every further scan is a few bytes and walks through every coefficient."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body

    def packed(bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")

    blocks, long_run = (side // 8) ** 2, "0" + "1" * 14  # a run of 32,767 blocks at their end
    runs = long_run * (blocks // 32_767) + "10" * (blocks % 32_767)
    frame = b"\x08" + side.to_bytes(2, "big") * 2 + b"\1\1\x11\0"
    tables = segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1\1" + bytes(14) + b"\xe0\0")
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, frame) + tables,
            segment(0xDA, b"\1\1\0\0\0\0") + packed("0" * blocks),
            segment(0xDA, b"\1\1\0\1\x3f\1") + packed(runs),
            (segment(0xDA, b"\1\1\0\1\x3f\x10") + packed(runs)) * scans,
            b"\xff\xd9",
        )
    )


def test_a_jpeg_of_many_scans_over_many_pixels_is_refused() -> None:
    """Without that limit, 50 KB of 97 scans take 1.6 s at 25 megapixels."""
    assert decode(refining(8, 4992), ImageLimits()).width == 4992  # the control: as many scans as encoders write
    assert decode(refining(90, 1032), ImageLimits()).width == 1032
    begun = time.thread_time()
    with pytest.raises(Undecodable, match="too many scans for its number of pixels"):
        decode(refining(90, 4992), ImageLimits())
    assert time.thread_time() - begun < MOST_MS / 1000


def test_a_png_whose_pixels_unpack_to_more_than_it_says_is_no_bomb() -> None:
    import zlib

    header = (64).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    packed = zlib.compress(bytes(200_000_000), 9)
    data = joined([(b"IHDR", header), (b"IDAT", packed)], b"\x89PNG")
    assert chunk(b"IDAT", packed) in data
    said, took_ms = outcome(data, ImageLimits())
    assert said == "decoded"
    assert took_ms <= MOST_MS
