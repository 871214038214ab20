"""Damaged and hostile video files: each is refused by name or read as far as it is sound, at small cost."""

import struct
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_video.errors import VideoError, VideoTooLarge
from fr_video.reading import VideoFile
from fr_video.values import EVERY_FRAME, Ended, VideoLimits
from support.counts import count
from support.footage import Actor, Scene, at_rate, film

RATE = Fraction(25)
LIMITS = VideoLimits(max_pixels=640 * 480, max_frames=2_000, memory_mib=256, answer_ms=20_000)
SQUARE = np.random.default_rng(5).integers(0, 256, (60, 60, 3), dtype=np.uint8)
SCENE = Scene([Actor("square", SQUARE, lambda time: (60 + 50 * time, 100, 60))], (320, 240))

CONTAINERS: dict[str, dict[str, Any]] = {
    "mp4": {},
    "mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=none"}},
    "ts": {"codec": "mpeg2video", "options": {}, "time_base": 1 / RATE},
    "avi": {"codec": "mpeg4", "options": {}, "time_base": 1 / RATE},
    "webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
}
MUTANTS = -(-count("VIDEO_MUTANTS") // len(CONTAINERS))


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file cut short, or with bytes flipped, replaced by extremes, removed, put in or repeated."""
    kind = rng.integers(5)
    if kind == 0:
        return data[: rng.integers(1, len(data))]
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        # Headers are near the beginning and, in an MP4, near the end.
        at = int(rng.choice([rng.integers(len(changed)), rng.integers(600), len(changed) - 1 - rng.integers(600)]))
        if kind == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
            changed[at : at + 4] = struct.pack(">I", value)
        elif kind == 3:
            del changed[at : at + int(rng.integers(1, 200))]
        else:
            begin = int(rng.integers(len(changed)))
            changed[at:at] = changed[begin : begin + int(rng.integers(1, 400))]
    return bytes(changed)


def outcome(path: Path) -> str:
    """Read a file, and return why that ended, or the code of the refusal; fails if more was read than is allowed."""
    try:
        with VideoFile(path, LIMITS) as video, video.sampled(EVERY_FRAME) as reading:
            last = None
            for frame in reading:
                assert frame.pixels.shape[0] * frame.pixels.shape[1] <= LIMITS.max_pixels
                assert last is None or frame.time > last
                last = frame.time
            assert reading.ending is not None
            assert reading.ending.decoded <= LIMITS.max_frames
            return reading.ending.why.value
    except VideoError as refused:
        return refused.reason


@pytest.mark.parametrize("name", CONTAINERS)
def test_mutants_are_refused_or_read_as_far_as_they_are_sound(tmp_path: Path, name: str) -> None:
    """The decoder's memory is limited by the kernel; one that is beyond it ends as TOO_COSTLY."""
    path = film(tmp_path / f"a.{name}", SCENE, at_rate(RATE, 2), **CONTAINERS[name])
    data, rng = path.read_bytes(), np.random.default_rng(20)
    assert outcome(path) == Ended.WHOLE  # the control
    found: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(MUTANTS):
        path.write_bytes(mutant(data, rng))
        begun = time.monotonic()
        found[outcome(path)] += 1
        slowest = max(slowest, time.monotonic() - begun)
    print(f"{name}: {MUTANTS} mutants, {dict(found)}, slowest {slowest:.1f} s")  # noqa: T201
    # The control: mutants do bite, and none was spared by the limit of time.
    assert sum(number for said, number in found.items() if said != Ended.WHOLE) >= MUTANTS // 5
    assert found[Ended.TOO_COSTLY] + found["VIDEO_TOO_COSTLY"] <= MUTANTS // 10


def test_a_stream_whose_frames_grow_is_read_within_the_limit_and_refused_beyond_it(tmp_path: Path) -> None:
    often = {"crf": "20", "g": "5"}  # key frames
    small = film(tmp_path / "small.ts", SCENE, at_rate(RATE, 1), options=often)
    later = (1 + time for time in at_rate(RATE, 1))
    large = film(tmp_path / "large.ts", replace(SCENE, size=(640, 480)), later, options=often)
    path = tmp_path / "a.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        shapes = Counter(frame.pixels.shape for frame in reading)
        assert shapes.keys() == {(240, 320, 3), (480, 640, 3)}
        assert min(shapes.values()) > 15  # where the streams meet, packets are missing
    within = VideoLimits(max_pixels=320 * 240)
    with pytest.raises(VideoTooLarge), VideoFile(path, within) as video, video.sampled(EVERY_FRAME) as reading:
        list(reading)


def test_a_file_of_frames_without_end_stops_at_the_limit(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", SCENE, at_rate(Fraction(1000), 3))
    limits = VideoLimits(max_frames=500)
    with VideoFile(path, limits) as video, video.sampled(EVERY_FRAME) as reading:
        assert len(list(reading)) == 500
        assert reading.ending is not None
        assert reading.ending.why is Ended.MAX_FRAMES


def test_a_file_that_names_another_file_opens_none(tmp_path: Path) -> None:
    """A playlist or a script of FFmpeg, and an MP4 whose picture lies in another file, are no way out."""
    secret = film(tmp_path / "secret.mp4", SCENE, at_rate(RATE, 1))
    for text in (f"ffconcat version 1.0\nfile '{secret}'\n", f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n"):
        path = tmp_path / "a.mp4"
        path.write_text(text)
        assert outcome(path) == "VIDEO_UNREADABLE"
    link = tmp_path / "link.mp4"
    link.symlink_to(secret)
    assert outcome(link) == Ended.WHOLE  # the control: it is the file itself that would be read
