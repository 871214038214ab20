"""Video files: frames with exact times and hashes, read as far as they are sound, or refused with a reason."""

import hashlib
import os
import signal
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import ConfigInvalid, InternalError
from fr_core.imaging.confine import READY
from fr_video import messages
from fr_video.errors import (
    VideoChanged,
    VideoError,
    VideoTooCostly,
    VideoTooLarge,
    VideoUnreadable,
    VideoUnsupported,
    WithoutReason,
)
from fr_video.reading import Reading, VideoFile
from fr_video.values import EVERY_FRAME, Ended, Ending, Frame, Sampling, StreamFacts, VideoLimits
from support.footage import LOSSLESS, Actor, Scene, at_rate, encode, film, remuxed, turned, variable

RATE = Fraction(25)
SQUARE = np.full((60, 60, 3), (255, 0, 90), np.uint8)
MOVING = Scene([Actor("square", SQUARE, lambda time: (60 + 50 * time, 100, 60), round=False)], (320, 240))
STILL = Scene([Actor("square", SQUARE, lambda _: (100, 100, 60), round=False)], (320, 240))

CONTAINERS: dict[str, dict[str, Any]] = {
    "mp4": {},
    "mkv": {},
    "ts": {},
    "avi": {"codec": "mpeg4", "options": {}, "time_base": 1 / RATE},
    "webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
}


def read(path: Path, sampling: Sampling = EVERY_FRAME, limits: VideoLimits | None = None) -> tuple[list[Frame], Ending]:
    with VideoFile(path, limits) as video, video.sampled(sampling) as reading:
        frames = list(reading)
        assert reading.ending is not None
        return frames, reading.ending


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_its_frames_and_their_times(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / f"a.{name}", MOVING, at_rate(RATE, 2), **CONTAINERS[name])
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        frames = list(reading)
        assert video.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert video.size_bytes == path.stat().st_size
        assert (reading.facts.width, reading.facts.height) == (320, 240)
        assert reading.ending == Ending(Ended.WHOLE, 50, Fraction(49, 25), (), 0)
    assert [frame.time for frame in frames] == [number / RATE for number in range(50)]
    assert [frame.number for frame in frames] == list(range(50))
    for frame in frames[::10]:
        assert np.abs(frame.pixels.astype(int) - MOVING.draw(float(frame.time)).astype(int)).mean() < 4


def test_pixels_that_were_stored_without_loss_come_back_exactly_with_their_hash(tmp_path: Path) -> None:
    frames, _ = read(film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 1), **LOSSLESS))
    for frame in frames:
        drawn = MOVING.draw(float(frame.time))
        assert np.array_equal(frame.pixels, drawn)
        assert frame.sha256 == hashlib.sha256(drawn.tobytes()).hexdigest()
        assert not frame.pixels.flags.writeable


def test_two_passes_give_the_same_hashes(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 1))
    (first, _), (second, _) = read(path), read(path)
    assert [one.sha256 for one in first] == [one.sha256 for one in second]
    assert len({one.sha256 for one in first}) == 25


@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_a_variable_rate_keeps_every_time_exact(tmp_path: Path, name: str) -> None:
    times = list(variable(2))
    frames, ending = read(film(tmp_path / f"a.{name}", MOVING, times))
    assert [frame.time for frame in frames] == times
    assert len({later - earlier for earlier, later in pairwise(times)}) > 10  # the control
    assert ending.read_until == times[-1]


def test_a_video_of_a_phone_held_upright_is_turned(tmp_path: Path) -> None:
    (frame, *_), _ = read(turned(film(tmp_path / "a.mp4", STILL, at_rate(RATE, 1))))
    assert (frame.rotation, frame.pixels.shape) == (270, (320, 240, 3))
    rows, columns = np.nonzero(frame.pixels[..., 0] > 200)
    assert (round(columns.mean()), round(rows.mean())) == pytest.approx((240 - 100, 100), abs=2)


def test_frames_are_taken_by_time_and_more_of_them_while_the_picture_moves(tmp_path: Path) -> None:
    moving, _ = read(film(tmp_path / "moving.mp4", MOVING, at_rate(RATE, 3)), Sampling())
    assert [frame.time for frame in moving] == [Fraction(number, 5) for number in range(15)]
    still, ending = read(film(tmp_path / "still.mp4", STILL, at_rate(RATE, 3)), Sampling())
    assert [frame.time for frame in still] == [0, 1, 2]
    assert ending.decoded == 75
    assert ending.read_until == Fraction(74, 25)
    coarse = Sampling(Fraction(2), Fraction(2))
    assert [frame.time for frame in read(tmp_path / "moving.mp4", coarse)[0]] == [0, 2]


def test_frames_are_found_again_by_their_times(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", MOVING, variable(2))
    every, _ = read(path)
    wanted = every[3], every[7], every[-1]
    with VideoFile(path) as video, video.frames_at([frame.pts for frame in wanted]) as reading:
        assert [(one.number, one.pts, one.sha256) for one in reading] == [
            (one.number, one.pts, one.sha256) for one in wanted
        ]


def test_limits_of_frames_and_seconds_end_the_reading(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 3))
    frames, ending = read(path, limits=VideoLimits(max_frames=20))
    assert (len(frames), ending) == (20, Ending(Ended.MAX_FRAMES, 20, Fraction(19, 25), (), 0))
    frames, ending = read(path, limits=VideoLimits(max_seconds=1))
    assert (len(frames), ending) == (26, Ending(Ended.MAX_SECONDS, 26, Fraction(1), (), 0))


def test_a_file_beyond_the_limits_of_bytes_or_pixels_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 1))
    size = path.stat().st_size
    assert read(path, limits=VideoLimits(max_bytes=size, max_pixels=320 * 240))[0]  # the control
    with pytest.raises(VideoTooLarge, match=str(size)):
        read(path, limits=VideoLimits(max_bytes=size - 1))
    with pytest.raises(VideoTooLarge, match="76799 pixels"):
        read(path, limits=VideoLimits(max_pixels=320 * 240 - 1))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for data in (b"", b"a text", b"\xff\xd8\xff\xe0" + bytes(1000), b"\0\0\0\x18ftypisom" + bytes(1000)):
        path.write_bytes(data)
        with pytest.raises(VideoUnreadable):
            read(path)
    with pytest.raises(VideoUnreadable):
        VideoFile(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoUnreadable):
        VideoFile(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        VideoFile(tmp_path / "none")


def test_a_codec_that_is_not_decoded_here_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", [(Fraction(0), STILL.draw(0))], codec="ffv1", options={})
    with pytest.raises(VideoUnsupported):
        read(path)


@pytest.mark.parametrize("name", ["mkv", "ts"])
def test_a_cut_file_is_read_as_far_as_it_is_there(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / f"a.{name}", MOVING, at_rate(RATE, 4), options={"crf": "20", "g": "25", "bf": "0"})
    whole, _ = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut, ending = read(path)
    assert ending.why in (Ended.EARLY, Ended.DAMAGED) or name == "ts"  # a transport stream states no length
    assert 20 < len(cut) < 80
    assert [one.sha256 for one in cut] == [one.sha256 for one in whole[: len(cut)]]
    assert ending.read_until == cut[-1].time


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 2))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoUnreadable, match="before its first frame"):
        read(path)


H264: dict[str, Any] = {"options": {"crf": "24", "g": "10", "bf": "0"}}
MPEG4: dict[str, Any] = {"codec": "mpeg4", "options": {"g": "10"}, "time_base": 1 / RATE}


def damaged(path: Path, share: float, number: int, options: dict[str, Any]) -> list[Frame]:
    """Film noise with a key frame every 10 frames, then overwrite bytes; return the frames before that."""
    noise = np.random.default_rng(3).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    pictures = ((time, np.roll(noise, int(time * 100), axis=1)) for time in at_rate(RATE, 2))
    encode(path, pictures, **options)
    whole, _ = read(path)
    data = bytearray(path.read_bytes())
    at = int(len(data) * share)
    data[at : at + number] = np.random.default_rng(4).bytes(number)
    path.write_bytes(data)
    return whole


@pytest.mark.parametrize(("name", "options"), [("a.mp4", H264), ("a.avi", MPEG4)])
def test_a_damaged_stretch_is_left_out_and_named_and_no_concealed_frame_is_given(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = tmp_path / name
    whole = damaged(path, 0.5, 400, options)
    sound, ending = read(path)
    assert ending.why is Ended.WHOLE
    ((begin, end),) = ending.gaps
    assert [one.sha256 for one in sound] == [one.sha256 for one in whole if one.time <= begin or one.time >= end]
    assert Fraction(1, 25) < end - begin <= Fraction(11, 25)
    assert end % Fraction(10, 25) == 0  # a key frame


def test_damage_that_goes_to_the_end_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    whole = damaged(path, 0.9, 4_000, H264)
    sound, ending = read(path)
    assert (ending.why, ending.gaps, ending.read_until) == (Ended.DAMAGED, (), sound[-1].time)
    assert 40 <= len(sound) < 50
    assert [one.sha256 for one in sound] == [one.sha256 for one in whole[: len(sound)]]


def test_a_recording_that_begins_amid_a_picture_is_read_from_its_first_key_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", MOVING, at_rate(RATE, 3), options={"crf": "20", "g": "25", "bf": "0"})
    whole, _ = read(path)
    data = path.read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 6) :])
    cut, ending = read(path)
    assert ending.why in (Ended.WHOLE, Ended.EARLY)
    assert {one.sha256 for one in cut} <= {one.sha256 for one in whole}
    assert len(cut) >= 50


def test_damage_before_a_first_frame_that_goes_back_in_time_is_told(tmp_path: Path) -> None:
    """Recordings joined end to end: the stream begins at 1 s, which is damaged, and its first sound frame is before."""
    one = film(tmp_path / "one.ts", MOVING, [Fraction(0)])
    pieces = [
        remuxed(one, tmp_path / f"{at}.ts", delay=at, mpegts_copyts="1").read_bytes()
        for at in (90_000, 93_600, 97_200, 3_600, 7_200, 200_000)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(pieces))
    frames, ending = read(path)
    assert frames[0].time < 0
    assert ending.gaps[0] == (frames[0].time - Fraction(1, 90_000), frames[0].time)


def test_a_decoder_without_memory_is_a_refusal_before_the_first_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", replace(MOVING, size=(1280, 720)), at_rate(RATE, 1))
    for mebibytes in (1, 2, 4, 6):  # too few at different steps, some of which FFmpeg takes for damage
        with pytest.raises(VideoTooCostly):
            read(path, limits=VideoLimits(memory_mib=mebibytes))


def test_a_decoder_that_stands_still_ends_the_reading(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 2))
    with VideoFile(path, VideoLimits(answer_ms=5_000)) as video, video.sampled(EVERY_FRAME) as reading:
        frames = [next(iter(reading))]
        os.kill(reading.pid, signal.SIGSTOP)
        frames += reading  # one may have been ready
        assert len(frames) <= 2
        assert reading.ending == Ending(Ended.TOO_COSTLY, len(frames), frames[-1].time, (), 0)


@pytest.mark.parametrize(("number", "why"), [(signal.SIGKILL, Ended.TOO_COSTLY), (signal.SIGSEGV, Ended.BROKE_DECODER)])
def test_a_decoder_that_ends_after_a_frame_ends_the_reading_and_the_frames_stand(
    tmp_path: Path, number: signal.Signals, why: Ended
) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 2))
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        frames = [next(iter(reading)), next(iter(reading))]
        os.kill(reading.pid, number)
        frames += reading
        assert reading.ending == Ending(why, len(frames), frames[-1].time, (), 0)
        assert len(frames) < 50


def test_frames_without_a_time_are_counted_as_far_as_a_decoder_came_that_died(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", STILL, [Fraction(0)])
    later = messages.pack_frame(messages.FrameHead(3, 1, 32, 24, 0, untimed=2))
    with VideoFile(path, boot=saying(FACTS, frame_said(0, 0), later)) as video:
        with video.sampled(EVERY_FRAME) as reading:
            assert len(list(reading)) == 2
        assert reading.ending is not None
        assert (reading.ending.why, reading.ending.decoded, reading.ending.untimed) == (Ended.BROKE_DECODER, 4, 2)


def test_the_decoder_is_shut_in(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 1))
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        next(iter(reading))
        status = Path(f"/proc/{reading.pid}/status").read_text()
        assert "Seccomp:\t2" in status
        assert "CapEff:\t0000000000000000" in status
        assert "Threads:\t1\n" in status
        pid = reading.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def saying(*answers: bytes, first: bytes = READY) -> str:
    """Return the program of a decoder that was taken over: it gives these answers whatever the file holds."""
    return (
        "import os, sys; link = int(sys.argv[2])\n"
        f"os.write(link, {first!r})\n"
        f"for answer in {answers!r}: os.read(link, 1); os.write(link, answer)\n"
        "os.read(link, 1)"
    )


FACTS = messages.pack_facts(
    StreamFacts("mov", "h264", 32, 24, "yuv420p", Fraction(1, 25), 0, None, None, None, "made-up 1")
)


def frame_said(number: int, pts: int) -> bytes:
    return messages.pack_frame(messages.FrameHead(number, pts, 32, 24, 0))


def end_said(why: str) -> bytes:
    return messages.pack_ending(messages.EndHead(Ended.WHOLE, 2, 0, 1)).replace(b"WHOLE", why.encode())


@pytest.mark.parametrize(
    ("answers", "frames", "why"),
    [
        ([frame_said(0, 0), frame_said(1, 1), end_said("WHOLE")], 2, Ended.WHOLE),  # the control
        ([frame_said(0, 5), frame_said(1, 4), end_said("WHOLE")], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), b"nonsense"], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), FACTS], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), frame_said(1, 1) + b"!"], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), messages.pack_gap(5, 4)], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), *[messages.pack_gap(n, n + 1) for n in (4, 3)]], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), end_said("SECRET")], 1, Ended.BROKE_DECODER),
        ([frame_said(0, 0), messages.OUT_OF_MEMORY], 1, Ended.TOO_COSTLY),
        ([frame_said(0, 0)], 1, Ended.BROKE_DECODER),
    ],
)
def test_a_decoder_that_was_taken_over_is_not_believed(
    tmp_path: Path, answers: list[bytes], frames: int, why: Ended
) -> None:
    path = film(tmp_path / "a.mp4", STILL, [Fraction(0)])
    with VideoFile(path, boot=saying(FACTS, *answers)) as video, video.sampled(EVERY_FRAME) as reading:
        assert len(list(reading)) == frames
        assert reading.ending is not None
        assert reading.ending.why is why


@pytest.mark.parametrize(
    "answers",
    [
        [b"nonsense"],
        [b"O{}"],
        [FACTS.replace(b"32", b"65000").replace(b"24", b"65000")],
        [FACTS.replace(b"h264", b"h\\u001b4")],
        [FACTS, messages.pack_frame(messages.FrameHead(0, 0, 65_000, 65_000, 0))],
        [FACTS, end_said("SECRET")],
        [b"R" + b"a refusal of its own"],
    ],
)
def test_a_decoder_that_was_taken_over_before_the_first_frame_is_refused(tmp_path: Path, answers: list[bytes]) -> None:
    path = film(tmp_path / "a.mp4", STILL, [Fraction(0)])
    with (
        pytest.raises(VideoUnreadable, match="decoder failed"),
        VideoFile(path, boot=saying(*answers)) as video,
        video.sampled(EVERY_FRAME) as reading,
    ):
        list(reading)


def test_a_decoder_that_cannot_shut_itself_in_is_a_failure_of_ours(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", STILL, [Fraction(0)])
    with VideoFile(path, boot=saying(first=b"no walls")) as video, pytest.raises(InternalError) as failed:
        video.sampled(EVERY_FRAME)
    assert str(failed.value.__cause__) == "no walls"


def test_a_file_that_is_written_to_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", MOVING, at_rate(RATE, 1))
    with VideoFile(path) as video:
        video.require_unchanged()
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(VideoChanged):
            video.require_unchanged()


def test_limits_and_samplings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="max_frames"):
        VideoLimits(max_frames=0)
    for interval, motion_interval, motion in ((0, 0, 0.1), (1, 2, 0.1), (1, 1, 1.1)):
        with pytest.raises(ConfigInvalid):
            Sampling(Fraction(interval), Fraction(motion_interval), motion)


@given(st.binary(max_size=200))
def test_whatever_a_decoder_writes_is_an_answer_or_nonsense(said: bytes) -> None:
    for reader in (messages.read_facts, messages.read_ending, messages.read_gap):
        with suppress(messages.Nonsense):
            reader(said)
    with suppress(messages.Nonsense):
        assert messages.read_frame(said, 1000).width <= 1000


@pytest.mark.parametrize(
    "head",
    [
        messages.FrameHead(0, 0, 0, 10, 0),
        messages.FrameHead(0, 0, 40, 40, 0),
        messages.FrameHead(0, 2**62, 10, 10, 0),
        messages.FrameHead(0, 0, 10, 10, 45),
        messages.FrameHead(1, 0, 10, 10, 90, untimed=2),
    ],
)
def test_a_frame_that_the_limits_do_not_allow_is_nonsense(head: messages.FrameHead) -> None:
    fine = messages.FrameHead(0, 0, 10, 10, 90)
    assert messages.read_frame(messages.pack_frame(fine)[1:], 1000) == fine
    with pytest.raises(messages.Nonsense):
        messages.read_frame(messages.pack_frame(head)[1:], 1000)


def test_every_error_has_a_code_and_a_remedy() -> None:
    with_reason = [kind for kind in VideoError.__subclasses__() if kind is not WithoutReason]
    assert all(kind.reason for kind in with_reason)
    for kind in (*with_reason, *WithoutReason.__subclasses__()):
        assert kind("It is so.").message.startswith("It is so. ")
    assert Reading.__doc__
