"""From a video file to leads and back: `fr video` follows, searches, and proves the frames that it used."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.engine import Engine
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, GalleryUse, NewTemplate
from fr_core.imaging import ImageLimits
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_video.analysis import analyze
from fr_video.errors import LeadsInvalid
from fr_video.leads import NOTICE, to_json
from fr_video.reading import VideoFile
from fr_video.values import Ended, Footage, Sampling
from fr_video.verify import Proof, Proven, read_cited, verify
from support import photos
from support.cli import Said, fr, reason_of
from support.commands import commands, page
from support.footage import LOSSLESS, Actor, Scene, at_rate, encode, film, mot, remuxed

RATE = Fraction(25)
LENIENT = QualityLimits(min_sharpness=0.0, min_brightness=0.0)  # squares of one colour are not sharp


def actor(name: str, blue: int, x: float, speed: float, y: float = 100) -> Actor:
    square = np.full((60, 60, 3), (255, 0, blue), np.uint8)
    return Actor(name, square, lambda time: (round(x + speed * time), y, 60), round=False)


SCENE = Scene([actor("Jane", 40, 50, 80), actor("John", 120, 280, -20, 180)], (360, 240))


@pytest.fixture
def engine() -> Engine:
    pipeline = Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), LENIENT)
    return replace(photos.engine(), pipeline=pipeline)


@pytest.fixture
def footage_file(tmp_path: Path) -> Path:
    return film(tmp_path / "footage.mp4", SCENE, at_rate(RATE, 3), **LOSSLESS)


def analyzed(path: Path, engine: Engine) -> Footage:
    with VideoFile(path) as video:
        return analyze(video, engine)


def proven(said: dict[str, Any], path: Path) -> Proven:
    with VideoFile(path) as video:
        return verify(read_cited(said), video)


def test_faces_are_followed_through_the_file(footage_file: Path, engine: Engine) -> None:
    seen: list[Fraction] = []
    with VideoFile(footage_file) as video:
        found = analyze(video, engine, Sampling(), seen.append)
        assert found.sha256 == video.sha256
    assert seen == [Fraction(number, 5) for number in range(15)]
    assert (found.ending.why, found.ending.decoded, found.frames_looked_at) == (Ended.WHOLE, 75, 15)
    figures = mot(SCENE, seen, found.tracks)
    assert (figures.objects, figures.mota, figures.id_switches, figures.mixed) == (30, 1.0, 0, 0)
    assert [track.independent_looks for track in found.tracks] == [3, 3]
    first = found.tracks[0].sightings[5]
    assert (first.number, first.time, first.pts) == (25, Fraction(1), 90_000)
    assert first.box == pytest.approx((100, 70, 160, 130), abs=1)


def test_the_list_of_leads_says_what_was_read_and_proves_itself(footage_file: Path, engine: Engine) -> None:
    said = json.loads(json.dumps(to_json(analyzed(footage_file, engine), None)))
    assert said["notice"] == NOTICE
    assert said["read"] == {
        "ended": "WHOLE",
        "frames_decoded": 75,
        "frames_looked_at": 15,
        "frames_without_time": 0,
        "gaps_s": [],
        "sound_until_s": 2.96,
    }
    assert said["stream"]["time_base"] == [1, 90_000]
    assert [len(track["sightings"]) for track in said["tracks"]] == [15, 15]
    found = proven(said, footage_file)
    assert found.holds
    assert found.same_decoder
    assert len(found.frames) == 6


def altered(path: Path, footage_file: Path, change: str) -> Path:
    """Write the scene again, with a square that was changed in one frame, with later times, or without some frames."""
    wanted = [(time, SCENE.draw(float(time))) for time in at_rate(RATE, 3)]
    if change == "pixels":
        for _, picture in wanted:
            picture[0, 0] = 1
    if change == "times":
        wanted = [(time + Fraction(1, 100) if time else time, picture) for time, picture in wanted]
    if change == "dropped":
        wanted = [(time, picture) for time, picture in wanted if not 1 <= time < 2]
    return encode(path, wanted, **LOSSLESS)


@pytest.mark.parametrize(
    ("change", "proofs"),
    [
        ("none", {Proof.SAME}),
        ("pixels", {Proof.CHANGED}),
        ("times", {Proof.SAME, Proof.SHIFTED}),
        ("dropped", {Proof.SAME, Proof.SHIFTED, Proof.MISSING}),
    ],
)
def test_another_file_is_named_and_so_is_what_changed_in_its_frames(
    tmp_path: Path, footage_file: Path, engine: Engine, change: str, proofs: set[Proof]
) -> None:
    said = to_json(analyzed(footage_file, engine), None)
    found = proven(said, altered(tmp_path / "other.mkv", footage_file, change))
    assert not found.same_file
    assert not found.holds
    assert {frame.proof for frame in found.frames} <= proofs
    assert found.frames[0].proof in proofs
    for frame in found.frames if change == "times" else ():
        assert frame.proof is (Proof.SHIFTED if frame.cited.time_s else Proof.SAME)  # the first one stays
        if frame.proof is Proof.SHIFTED:
            assert frame.found_s == pytest.approx(frame.cited.time_s + 0.01)
            assert frame.found_pts == frame.cited.pts // 90 + 10  # Matroska has ticks of a millisecond


def test_a_list_whose_times_or_hashes_were_edited_does_not_hold(footage_file: Path, engine: Engine) -> None:
    def edited(key: str, value: object) -> Proven:
        said = json.loads(json.dumps(to_json(analyzed(footage_file, engine), None)))
        said["tracks"][0]["best_shots"][0][key] = value
        return proven(said, footage_file)

    shot = to_json(analyzed(footage_file, engine), None)["tracks"][0]["best_shots"][0]
    assert edited("pts", shot["pts"]).holds  # the control
    shifted = edited("pts", shot["pts"] + 3600)
    assert (shifted.same_file, shifted.frames[0].proof) == (True, Proof.SHIFTED)
    assert shifted.frames[0].found_pts == shot["pts"]
    assert edited("time_s", 1.24).frames[0].proof is Proof.SHIFTED
    assert edited("frame", shot["frame"] + 1).frames[0].proof is Proof.SHIFTED
    assert edited("frame_sha256", "0" * 64).frames[0].proof is Proof.CHANGED
    assert not edited("frame_sha256", "0" * 64).holds


def test_other_ticks_in_the_list_do_not_hold_for_the_same_file(footage_file: Path, engine: Engine) -> None:
    said = to_json(analyzed(footage_file, engine), None)
    assert proven(said, footage_file).holds  # the control
    said["stream"]["time_base"] = [1, 1000]
    assert {frame.proof for frame in proven(said, footage_file).frames} == {Proof.SHIFTED}


@pytest.mark.parametrize("said", [None, [], {}, {"format": "fr-core video leads", "version": 1}, "text"])
def test_what_is_no_list_of_leads_is_refused(said: Any) -> None:
    with pytest.raises(LeadsInvalid):
        read_cited(said)


@pytest.mark.parametrize("time_s", [float("inf"), float("nan"), 10**400], ids=["infinite", "undefined", "long"])
def test_a_list_with_an_impossible_time_is_refused(footage_file: Path, engine: Engine, time_s: float) -> None:
    said = to_json(analyzed(footage_file, engine), None)
    said["tracks"][0]["best_shots"][0]["time_s"] = time_s
    with pytest.raises(LeadsInvalid):
        read_cited(said)


def gallery(folder: Path, gallery_id: str = "wanted", use: GalleryUse = GalleryUse.TEST) -> None:
    """Enrol Jane's square as it is cut out, and a stranger's."""
    pixels = SCENE.draw(0.0)
    with Galleries.open(folder) as galleries:
        galleries.create(gallery_id, "Wanted", NULL_MODEL, 64, use=use)
        pipeline = Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), LENIENT)
        for subject, number in (("jane", 40), ("stranger", 200)):
            shown = pixels.copy()
            shown[(pixels[..., 0] == 255) & (pixels[..., 2] != 40)] = 0
            shown[pixels[..., 2] == 40] = (255, 0, number)
            (found,) = pipeline.analyze_image(photo(shown)).faces
            galleries.enrol(gallery_id, Enrolment(subject, NewTemplate(found.embedding), f"Name of {subject}"))


def photo(pixels: Any) -> Any:
    from fr_core.types import Image, frozen_array

    return Image(frozen_array(pixels), "0" * 64)


@pytest.fixture
def video(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, footage_file: Path, engine: Engine) -> Any:
    monkeypatch.setattr("fr_core.engine.open_engine", lambda *_: engine)

    def run(*words: object) -> Said:
        return fr("video", footage_file, "--data", tmp_path / "data", *words)

    return run


def test_the_command_lists_candidates_for_each_track(video: Any, tmp_path: Path, footage_file: Path) -> None:
    gallery(tmp_path / "data")
    code, out, error = video("--gallery", "wanted", "--threshold", 0.9, "--json")
    assert (code, error) == (0, "")
    said = json.loads(out)
    jane, john = said["tracks"]
    assert jane["candidates"][0]["subject_id"] == "jane"
    assert jane["candidates"][0]["display_name"] == "Name of jane"
    assert jane["candidates"][0]["similarity"] == pytest.approx(1.0, abs=1e-5)
    assert jane["candidates"][0]["above_threshold"]
    assert not john["candidates"][0]["above_threshold"]
    assert said["gallery"]["searched_templates"] == 2
    code, out, _ = video("--gallery", "wanted", "--probe", "best-shot", "--top-k", 1)
    assert code == 0
    assert NOTICE in out
    assert "75 frames decoded, until 2.960 s, 15 looked at" in out
    assert "Track 1: 0.000 s to 2.800 s, 15 frames, 3 independent looks" in out
    assert "Name of jane" in out
    assert str(footage_file) not in out


def test_the_command_proves_its_own_leads_and_names_another_file(
    video: Any, tmp_path: Path, footage_file: Path
) -> None:
    _, out, _ = video("--json")
    leads = tmp_path / "leads.json"
    leads.write_text(out)
    code, out, _ = video("--verify", leads)
    assert (code, out.splitlines()[-1]) == (0, "The file and every frame are the same.")
    said = json.loads(leads.read_text())
    assert json.loads(video("--verify", leads, "--json")[1])["holds"]
    code, out, _ = fr("video", remuxed(footage_file, tmp_path / "copy.mkv"), "--verify", leads)
    assert code == 1
    assert out.splitlines()[-2:] == [
        "The container differs: it counts time in other ticks.",
        "The frames are the same, but this is not the file of the leads.",
    ]
    said["file"]["sha256"] = "0" * 64
    said["tracks"][0]["best_shots"][0]["frame_sha256"] = "0" * 64
    leads.write_text(json.dumps(said))
    code, out, _ = video("--verify", leads)
    assert code == 1
    assert "Another file" in out
    assert "changed: the file has other pixels at this time" in out
    assert out.splitlines()[-1] == "The leads do not hold for this file."
    leads.write_text("{}")
    assert reason_of(video("--verify", leads)) == "LEADS_INVALID"


def test_the_commands_of_the_page_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: Engine) -> None:
    monkeypatch.setattr("fr_core.engine.open_engine", lambda *_: engine)
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "footage.mp4", SCENE, at_rate(RATE, 2), **LOSSLESS)
    gallery(tmp_path / "gallery", "faces")
    for line in commands(page("docs/video.md").partition("\n## On a server\n")[0]):
        words, _, target = line.partition(" > ")
        code, out, error = fr(*words.split()[1:])
        assert (code, error) == (0, ""), line
        if target:
            Path(target).write_text(out)
        if "--verify" in line:
            assert out.endswith("The file and every frame are the same.\n")
    assert json.loads((tmp_path / "copy.webm.json").read_text())["kept_tracks"] == [1]


def test_the_command_refuses_an_operational_gallery_and_what_is_no_video(video: Any, tmp_path: Path) -> None:
    gallery(tmp_path / "data", use=GalleryUse.OPERATIONAL)
    refused = video("--gallery", "wanted")
    assert reason_of(refused) == "OPERATIONAL_GALLERY"
    assert "Send the file to the server with `fr footage analyze`, and search with `fr footage search`." in refused[2]
    assert reason_of(video("--gallery", "none")) == "UNKNOWN_GALLERY"
    text = tmp_path / "text.mp4"
    text.write_text("a text")
    code, out, error = fr("video", text, "--json")
    assert (code, json.loads(out)["error"]["reason"]) == (1, "VIDEO_UNREADABLE")
    assert "Use the file as the recorder exported it" in error
    assert reason_of(fr("video", tmp_path / "none.mp4")) == "FILE_UNREADABLE"


@pytest.mark.parametrize("words", [("--every", "inf"), ("--motion-every", "inf")])
def test_the_command_refuses_a_time_between_frames_that_is_not_finite(video: Any, words: tuple[str, ...]) -> None:
    code, _, error = video(*words)
    assert (code, words[0] in error, "is not finite" in error) == (2, True, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--threshold", 0.3),
        ("--top-k", 3),
        ("--probe", "best-shot"),
        ("--verify", "leads.json", "--gallery", "wanted"),
    ],
)
def test_the_command_refuses_options_that_it_would_ignore(video: Any, words: tuple[Any, ...]) -> None:
    code, _, error = video(*words)
    assert (code, words[0] in error, "--gallery" in error) == (2, True, True)
