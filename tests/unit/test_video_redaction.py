"""Redaction: a copy for disclosure shows no face but those that are named, in any frame."""

import errno
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.engine import Engine
from fr_core.imaging import ImageLimits
from fr_core.packs.manifest import load_pack
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.storage.durable import unfinished
from fr_core.types import U8, Detection
from fr_video.analysis import analyze
from fr_video.encoding import Encoder
from fr_video.errors import EncodingFailed, LeadsInvalid, RedactionFailed
from fr_video.leads import to_json
from fr_video.reading import VideoFile
from fr_video.redaction import MIN_SCORE, ROUNDS, read_kept, redact, sensitive
from fr_video.values import EVERY_FRAME, Frame, VideoLimits
from support import photos
from support.cli import fr, reason_of
from support.counts import count
from support.footage import LOSSLESS, Actor, Scene, at_rate, film, turned

RATE = Fraction(25)
PINK, GREEN = (np.full((60, 60, 3), colour, np.uint8) for colour in ((255, 0, 100), (0, 200, 0)))


class Squares(NullDetector):
    """As `NullDetector`, of the colours that a lossy encoder leaves; sees nothing in its first `blind` frames."""

    def __init__(self, blind: int = 0) -> None:
        self.blind = blind
        self.frames = itertools.count(1)

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        if next(self.frames) <= self.blind:
            return ()
        seen = is_pink(pixels)
        clean = np.where(seen[..., None], np.array((255, 0, 100), np.uint8), np.uint8(0))
        return tuple(one for one in super().detect(clean) if one.area > 100)


class Everywhere(NullDetector):
    """Sees a face in the same place of every picture, whatever it shows."""

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        picture = np.zeros_like(pixels)
        picture[50:90, 50:90] = (255, 0, 0)
        return super().detect(picture)


def is_pink(pixels: U8) -> Any:
    return (pixels[..., 0] > 180) & (pixels[..., 1] < 80) & (pixels[..., 2] > 50)


def engine_of(detector: NullDetector) -> Engine:
    return replace(photos.engine(), pipeline=Pipeline(detector, NullEmbedder(), ImageLimits(), QualityLimits()))


def jane(time: float) -> tuple[float, float, float]:
    return 60 + 40 * time, 80, 60


def john(time: float) -> tuple[float, float, float]:
    return 300 - 30 * time, 200, 60


TURNED_AWAY = 1.0, 1.6  # seconds in which John shows no face
FLASH = 1.32  # the time of the one frame that shows a third face


def scene() -> Scene:
    def turned_away(time: float) -> bool:
        return TURNED_AWAY[0] <= time < TURNED_AWAY[1]

    return Scene(
        [
            Actor("Jane", PINK, jane, round=False),
            Actor("John", PINK, lambda time: None if turned_away(time) else john(time), round=False),
            Actor("John from behind", GREEN, lambda time: john(time) if turned_away(time) else None, round=False),
            Actor("flash", PINK, lambda time: (340, 60, 50) if abs(time - FLASH) < 0.01 else None, round=False),
        ],
        (400, 260),
    )


@pytest.fixture
def footage_file(tmp_path: Path) -> Path:
    return film(tmp_path / "footage.mp4", scene(), at_rate(RATE, 3), **LOSSLESS)


def frames_of(path: Path) -> list[Frame]:
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        return list(reading)


def leads_of(path: Path) -> Any:
    with VideoFile(path) as video:
        return json.loads(json.dumps(to_json(analyze(video, engine_of(Squares())), None)))


def at(pixels: U8, place: tuple[float, float, float]) -> U8:
    x, y, wide = place
    inside: U8 = pixels[round(y - wide / 2) : round(y + wide / 2), round(x - wide / 2) : round(x + wide / 2)]
    return inside


def test_without_tracks_to_keep_no_frame_shows_a_face(tmp_path: Path, footage_file: Path) -> None:
    out = tmp_path / "copy.webm"
    with VideoFile(footage_file) as video:
        done = redact(video, engine_of(Squares()), {}, out)
        assert done.footage.sha256 == video.sha256
    frames = frames_of(out)
    assert [frame.time for frame in frames] == [number / RATE for number in range(75)]
    assert not any(is_pink(frame.pixels).any() for frame in frames)
    assert (done.frames, done.visible, done.rounds) == (75, 0, 1)
    assert done.output_sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert sum(is_pink(frame.pixels).any() for frame in frames_of(footage_file)) == 75  # the control
    assert is_pink(frames_of(footage_file)[33].pixels)[40:80, 320:360].all()  # the face of one frame


def test_a_face_that_turns_away_stays_covered_until_it_is_found_again(tmp_path: Path, footage_file: Path) -> None:
    with VideoFile(footage_file) as video:
        redact(video, engine_of(Squares()), {}, tmp_path / "copy.webm")
    for frame in frames_of(tmp_path / "copy.webm"):
        assert at(frame.pixels, john(float(frame.time))).max() < 30


def test_a_kept_track_stays_visible_and_nobody_else(tmp_path: Path, footage_file: Path) -> None:
    leads = leads_of(footage_file)
    number = next(one["track"] for one in leads["tracks"] if one["sightings"][0]["box"][1] < 100)
    with VideoFile(footage_file) as video:
        kept = read_kept(leads, [number], video.sha256)
        done = redact(video, engine_of(Squares()), kept, tmp_path / "copy.mkv")
    last = max(one["time_s"] for one in leads["tracks"][number - 1]["sightings"])
    for frame in frames_of(tmp_path / "copy.mkv"):
        pink = is_pink(frame.pixels)
        if frame.time <= last:
            assert is_pink(at(frame.pixels, jane(float(frame.time))))[5:-5, 5:-5].all()
        assert not pink[120:].any()
        assert not pink[:, 290:].any()
    assert done.visible == last * 25 + 1
    assert done.to_json("p", "fast", MIN_SCORE)["kept_tracks"] == [number]


def test_what_the_check_of_the_copy_finds_is_covered_and_checked_again(tmp_path: Path, footage_file: Path) -> None:
    with VideoFile(footage_file) as video:
        done = redact(video, engine_of(Squares(blind=75)), {}, tmp_path / "copy.webm")
    assert done.rounds == 2
    assert not any(is_pink(frame.pixels).any() for frame in frames_of(tmp_path / "copy.webm"))


def test_a_copy_that_still_shows_a_face_is_refused_and_deleted(tmp_path: Path) -> None:
    path = film(tmp_path / "footage.mp4", scene(), at_rate(RATE, 0.4), **LOSSLESS)
    steps: set[int] = set()
    with VideoFile(path) as video, pytest.raises(RedactionFailed, match="10 in the last"):
        redact(video, engine_of(Everywhere()), {}, tmp_path / "copy.webm", on_frame=lambda step, _: steps.add(step))
    assert steps == set(range(ROUNDS + 1))
    assert [one.name for one in tmp_path.iterdir()] == ["footage.mp4"]


@pytest.fixture
def with_sound(tmp_path: Path) -> Path:
    """Return footage with a title, a place and a tone of a second."""
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "Secret title"
        picture: Any = output.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 320, 240, "yuv420p"
        tone: Any = output.add_stream("aac", rate=48_000)
        tone.layout = "mono"
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(scene().draw(number / 25)[:240, :320].copy(), format="rgb24")
            output.mux(picture.encode(frame))
        wave = np.sin(np.arange(48_000) / 20).astype(np.float32)
        for place in range(0, 48_000 - 1023, 1024):
            sound = av.AudioFrame.from_ndarray(wave[None, place : place + 1024], format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48_000, place
            output.mux(tone.encode(sound))
        output.mux(picture.encode(None))
        output.mux(tone.encode(None))
    return path


def test_sound_and_metadata_are_dropped_unless_the_sound_is_wanted(tmp_path: Path, with_sound: Path) -> None:
    for sound, name, said in ((False, "a.mkv", "dropped"), (True, "b.mkv", "copied")):
        with VideoFile(with_sound) as video:
            assert redact(video, engine_of(Squares()), {}, tmp_path / name, sound=sound).sound == said
        with av.open(str(tmp_path / name)) as copy:
            assert [one.type for one in copy.streams] == (["video", "audio"] if sound else ["video"])
            assert "title" not in copy.metadata
            if sound:
                heard = sum(frame.samples for frame in copy.decode(audio=0))
                assert heard == pytest.approx(48_000, abs=3_000)
        assert b"Secret title" not in (tmp_path / name).read_bytes()
    assert b"Secret title" in with_sound.read_bytes()
    with VideoFile(with_sound) as video, pytest.raises(RedactionFailed, match="sound must end in"):
        redact(video, engine_of(Squares()), {}, tmp_path / "c.webm", sound=True)


def test_sound_that_the_original_does_not_have_is_not_said_to_be_copied(tmp_path: Path) -> None:
    path = film(tmp_path / "silent.mp4", scene(), at_rate(RATE, 0.4), **LOSSLESS)
    with VideoFile(path) as video:
        done = redact(video, engine_of(Squares()), {}, tmp_path / "copy.mkv", sound=True)
    assert done.to_json("p", "fast", MIN_SCORE)["sound"] == "none"


def test_a_turned_video_is_upright_in_the_copy(tmp_path: Path) -> None:
    path = turned(film(tmp_path / "a.mp4", scene(), at_rate(RATE, 0.4), **LOSSLESS))
    with VideoFile(path) as video:
        redact(video, engine_of(Squares()), {}, tmp_path / "copy.webm")
    frames = frames_of(tmp_path / "copy.webm")
    assert {(frame.rotation, frame.pixels.shape) for frame in frames} == {(0, (400, 260, 3))}
    assert not any(is_pink(frame.pixels).any() for frame in frames)


def test_leads_of_another_file_and_unknown_tracks_are_refused(footage_file: Path) -> None:
    leads = leads_of(footage_file)
    sha256 = leads["file"]["sha256"]
    assert list(read_kept(leads, [1], sha256)) == [1]
    for said, keep, of_file, why in (
        (leads, [1], "0" * 64, "another file"),
        (leads, [9], sha256, "no track 9"),
        ({**leads, "tracks": [{"track": 1, "sightings": [{"pts": 0, "box": [1, 2, 3, "4"]}]}]}, [1], sha256, "not a"),
        *(
            (
                {**leads, "tracks": [{"track": 1, "sightings": [{"pts": 0, "box": [1, 2, 3, side]}]}]},
                [1],
                sha256,
                "not a",
            )
            for side in (10**400, float("inf"), float("nan"))
        ),
        ({**leads, "tracks": [1]}, [1], sha256, "not a list"),
        ([], [1], sha256, "not a list"),
    ):
        with pytest.raises(LeadsInvalid, match=why):
            read_kept(said, keep, of_file)


def test_the_pack_reports_faces_from_the_lower_score_on() -> None:
    for name in ("buffalo_s", "sface"):
        pack = load_pack(name)
        assert sensitive(pack).detector.score_threshold == MIN_SCORE < pack.detector.score_threshold
        assert sensitive(pack).model_id(flip=False) == pack.model_id(flip=False)


TAKEN_OVER = {
    "crashes": "os.kill(os.getpid(), 11)",
    "writes where nothing is": "os.write(link, b'W' + b'\\xff' * 8 + b'x')",
    "talks nonsense": "os.write(link, b'what?')",
    "is silent": "time.sleep(60)",
}


@pytest.mark.parametrize("what", TAKEN_OVER)
def test_an_encoder_that_was_taken_over_ends_the_copy(tmp_path: Path, what: str) -> None:
    boot = (
        "import os, sys, time; link = int(sys.argv[2]); os.write(link, b'ready'); os.read(link, 64);"
        f"{TAKEN_OVER[what]}; os.read(link, 64)"
    )
    with (tmp_path / "copy").open("wb") as file:
        limits = VideoLimits(answer_ms=2_000)
        encoder = Encoder(file.fileno(), "webm", (16, 16), RATE, Fraction(1), limits, boot=boot)
        with encoder, pytest.raises(EncodingFailed):
            encoder.add(0, np.zeros((16, 16, 3), np.uint8))
    assert (tmp_path / "copy").stat().st_size == 0


def test_pictures_of_another_size_and_a_full_limit_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with (tmp_path / "copy").open("wb") as file:
        limits = VideoLimits(max_bytes=2_000)
        with Encoder(file.fileno(), "webm", (64, 64), RATE, Fraction(1), limits) as encoder:
            with pytest.raises(EncodingFailed, match="size of the picture"):
                encoder.add(0, noise[:32])
            with pytest.raises(EncodingFailed, match="encoder of video files failed"):
                add_all(encoder, [np.roll(noise, number) for number in range(50)])


def add_all(encoder: Encoder, pictures: Sequence[U8]) -> None:
    for number, picture in enumerate(pictures):
        encoder.add(number, picture)
    encoder.finish()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_core.engine.open_engine", lambda *_: engine_of(Squares()))


@pytest.mark.usefixtures("command")
def test_the_command_writes_a_copy_and_its_record(tmp_path: Path, footage_file: Path) -> None:
    leads = tmp_path / "leads.json"
    leads.write_text(json.dumps(leads_of(footage_file)))
    out = tmp_path / "copy.webm"
    words = ("redact", footage_file, "--out", out, "--keep", 1, "--tracks", leads)
    code, said, error = fr(*words)
    assert (code, error) == (0, "")
    assert re.search(r"Tracks that stay visible: 1, seen [1-9]\d* times in the copy; covered where in doubt\.", said)
    assert "Checked: 75 frames of the copy, no face except those of kept tracks" in said
    record = json.loads((tmp_path / "copy.webm.json").read_text())
    assert record["copy"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert record["original"]["sha256"] == hashlib.sha256(footage_file.read_bytes()).hexdigest()
    assert record["check"]["faces_uncovered"] == 0
    assert "libvpx-vp9" in record["copy"]["encoder"]
    assert str(tmp_path) not in json.dumps(record)
    assert reason_of(fr(*words)) == "FILE_EXISTS"
    other = ("redact", footage_file, "--out", tmp_path / "other.webm")
    assert reason_of(fr(*other, "--keep", 1)) == "TRACKS_MISSING"
    assert reason_of(fr(*other, "--keep", 7, "--tracks", leads)) == "LEADS_INVALID"
    refused = fr("redact", footage_file, "--out", tmp_path / "copy.mp4")
    assert reason_of(refused) == "REDACTION_FAILED"
    assert "Give the copy another name." in refused[2]
    assert reason_of(fr("redact", tmp_path / "missing.mp4", *other[2:])) == "FILE_UNREADABLE"
    assert reason_of(fr(*other, "--keep", 1, "--tracks", tmp_path / "missing.json")) == "FILE_UNREADABLE"
    nowhere = tmp_path / "no" / "such.webm"
    assert reason_of(fr("redact", footage_file, "--out", nowhere)) == "FILE_UNWRITABLE"
    assert not (tmp_path / "other.webm").exists()


def make_and_wait(original: str, out: str) -> None:
    """Make a copy, and wait for ever when it is to be checked: for a process that is killed then."""

    def on_frame(step: int, time: Fraction) -> None:
        if step == 1:
            print("unchecked", flush=True)  # noqa: T201
            sys.stdin.read()

    with VideoFile(Path(original)) as video:
        redact(video, engine_of(Squares()), {}, Path(out), on_frame=on_frame)


def test_a_killed_run_leaves_no_result_and_the_next_one_replaces_what_it_left(
    tmp_path: Path, footage_file: Path
) -> None:
    out = tmp_path / "copies" / "copy.webm"
    out.parent.mkdir()
    script = f"import sys; sys.path[:0] = {sys.path!r}; import {__name__} as own; own.make_and_wait(*sys.argv[1:])"
    command = [sys.executable, "-c", script, str(footage_file), str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "unchecked\n"
            with VideoFile(footage_file) as video, pytest.raises(RedactionFailed, match="Another run"):
                redact(video, engine_of(Squares()), {}, out)
        finally:
            process.kill()
    (left,) = out.parent.iterdir()
    assert (left.name, left.stat().st_mode & 0o777) == ("copy.webm.unchecked", 0o600)
    assert left.stat().st_size > 0
    with VideoFile(footage_file) as video:
        done = redact(video, engine_of(Squares()), {}, out)
    assert [one.name for one in out.parent.iterdir()] == ["copy.webm"]
    assert done.output_sha256 == hashlib.sha256(out.read_bytes()).hexdigest()


def test_of_runs_that_begin_at_once_one_has_the_file_of_the_copy(tmp_path: Path) -> None:
    path, together = tmp_path / "copy.webm.unchecked", threading.Barrier(4, timeout=60)

    def begin(_: int) -> tuple[int, list[str]]:
        had, wrong = 0, []
        for _ in range(count("COPIES_AT_ONCE")):
            together.wait()
            try:
                with unfinished(path) as file:
                    had += 1
                    for _ in range(3):
                        os.sched_yield()
                    if not os.path.samestat(path.stat(), os.fstat(file)):
                        wrong.append("another file has its name")
            except BlockingIOError:
                continue
            except OSError as error:
                wrong.append(repr(error))
        return had, wrong

    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(begin, range(4)))
    assert [wrong for _, wrong in ended] == [[]] * 4
    assert sum(had for had, _ in ended) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_place_of_an_unchecked_copy_is_not_followed(tmp_path: Path, footage_file: Path) -> None:
    other = tmp_path / "other"
    other.write_text("of another program")
    (tmp_path / "copy.webm.unchecked").symlink_to(other)
    with VideoFile(footage_file) as video, pytest.raises(OSError, match=r"copy\.webm\.unchecked"):
        redact(video, engine_of(Squares()), {}, tmp_path / "copy.webm")
    assert other.read_text() == "of another program"


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize("name", ["copy.webm", "copy.webm.json"])
def test_nothing_is_written_where_a_name_is_taken_by_a_link(tmp_path: Path, footage_file: Path, name: str) -> None:
    """A link to nowhere is a name that is taken, too."""
    folder = tmp_path / "disclosed"
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / "nowhere")
    assert reason_of(fr("redact", footage_file, "--out", folder / "copy.webm")) == "FILE_EXISTS"
    assert [one.name for one in folder.iterdir()] == [name]


@pytest.mark.usefixtures("command")
def test_there_is_no_copy_without_its_record(
    tmp_path: Path, footage_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("fr_core.storage.durable.write_new", full)
    folder = tmp_path / "disclosed"
    folder.mkdir()
    code, _, _ = fr("redact", footage_file, "--out", folder / "copy.webm")
    assert code != 0
    assert list(folder.iterdir()) == []
