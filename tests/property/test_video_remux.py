"""A remuxed copy of footage has the frames of the original, whatever ticks its container counts; a real shift shows."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.types import U8
from fr_video.leads import seconds
from fr_video.reading import VideoFile
from fr_video.values import EVERY_FRAME
from fr_video.verify import Cited, CitedFile, Proof, Proven, verify
from support.counts import count
from support.footage import at_rate, encode, remuxed, texture

RATES = (Fraction(25), Fraction(30_000, 1001))
TICK = Fraction(1, 90_000)  # of the originals
KEY_FRAME = 12  # each of so many frames
Originals = dict[Fraction, tuple[Path, CitedFile]]
# Name of the copy, and the ticks a second of its track.
CONTAINERS = st.one_of(
    st.sampled_from([("copy.mkv", 1000), ("copy.ts", 90_000)]),
    st.tuples(st.sampled_from(["copy.mp4", "copy.mov"]), st.sampled_from([600, 1000, 12_800, 90_000, 10_000_000])),
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    """By frames a second, a file and a list that cites each of its frames."""
    return {rate: original(tmp_path_factory.mktemp("remux") / "original.mp4", rate) for rate in RATES}


def original(path: Path, rate: Fraction) -> tuple[Path, CitedFile]:
    """Film frames that are decoded in another order than they are shown in."""
    options = {"crf": "20", "preset": "veryfast", "bf": "2", "g": str(KEY_FRAME)}
    encode(path, pictures(rate), rate=rate, options=options)
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        frames = tuple(Cited(1, one.number, one.pts, seconds(one.time), one.sha256) for one in reading)
        return path, CitedFile(video.sha256, reading.facts.decoder, reading.facts.time_base, frames)


def pictures(rate: Fraction) -> Iterator[tuple[Fraction, U8]]:
    """Yield pictures of which each differs from all others."""
    wall = np.kron(texture((12, 18)), np.ones((10, 10, 1), np.uint8))
    for number, time in enumerate(at_rate(rate, 2)):
        picture = wall.copy()
        picture[20:50, number : number + 30] = (255, 0, 40)
        yield time, picture


def compared(cited: CitedFile, path: Path) -> Proven:
    with VideoFile(path) as video:
        return verify(cited, video)


@given(rate=st.sampled_from(RATES), container=CONTAINERS, delay=st.integers(0, 200_000))
@settings(max_examples=count("REMUXED_COPIES"))
def test_the_frames_of_a_remuxed_copy_are_the_same(
    originals: Originals,
    tmp_path_factory: pytest.TempPathFactory,
    rate: Fraction,
    container: tuple[str, int],
    delay: int,
) -> None:
    (source, cited), (name, ticks) = originals[rate], container
    copy = remuxed(source, tmp_path_factory.mktemp("copy") / name, delay, video_track_timescale=str(ticks))
    found = compared(cited, copy)
    assert {one.proof for one in found.frames} == {Proof.SAME}
    assert (found.same_file, found.holds, found.same_time_base) == (False, False, ticks == 90_000)
    assert [one.found_number for one in found.frames] == [one.number for one in cited.frames]


@given(rate=st.sampled_from(RATES), container=CONTAINERS, longer_ticks=st.integers(2, 5), key_frame=st.integers(1, 3))
@settings(max_examples=count("REMUXED_COPIES"))
def test_a_real_shift_is_a_shift_from_its_frame_on(
    originals: Originals,
    tmp_path_factory: pytest.TempPathFactory,
    rate: Fraction,
    container: tuple[str, int],
    longer_ticks: int,
    key_frame: int,
) -> None:
    (source, cited), (name, ticks) = originals[rate], container
    later = longer_ticks * max(TICK, Fraction(1, ticks)) / TICK
    at = cited.frames[key_frame * KEY_FRAME].pts
    path = tmp_path_factory.mktemp("shifted") / name
    found = compared(cited, remuxed(source, path, 0, int(later), at, video_track_timescale=str(ticks)))
    for one in found.frames:
        assert one.proof is (Proof.SHIFTED if one.cited.pts >= at else Proof.SAME)


def test_a_shift_by_one_tick_of_the_same_length_is_a_shift(originals: Originals, tmp_path: Path) -> None:
    source, cited = originals[RATES[0]]
    at = cited.frames[KEY_FRAME].pts
    found = compared(cited, remuxed(source, tmp_path / "copy.mp4", 0, 1, at, video_track_timescale="90000"))
    assert [one.proof for one in found.frames].count(Proof.SAME) == KEY_FRAME
    assert {one.proof for one in found.frames[KEY_FRAME:]} == {Proof.SHIFTED}
