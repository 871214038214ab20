"""`fr bench video` without models: what is found, missed and switched, and what searches with tracks are worth."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.bench_cli import bench
from fr_bench.footage.against import Enrolled, against_photos
from fr_bench.footage.follow import Probes
from fr_bench.footage.made import Filming, busy_scene, cast_of, strangers_of
from fr_bench.footage.scene import Actor, Scene, texture
from fr_bench.footage.truth import Followed, followed, nearest
from fr_bench.speed.child import BenchFailed
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.imaging import ImageLimits
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.types import Embedding, ModelId, frozen_array
from fr_datasets.values import LabelledFace
from fr_video.values import Sighting, Track
from support import photos
from support.commands import page, require_understood
from support.videos import draw_chokepoint, draw_youtube_faces

MODEL = ModelId("made-up", "1", "a" * 64)
STEP = Fraction(1, 5)


def vector(*values: float) -> Embedding:
    made = np.array(values, np.float32)
    return Embedding(frozen_array(made / np.linalg.norm(made)), MODEL)


def track(number: int, *places: tuple[int, float]) -> Track:
    """Return a track of (number of a frame, x of the middle of the face)."""
    seen = tuple(Sighting(at, at, at * STEP, (x - 20, 80, x + 20, 120), 0.9) for at, x in places)
    return Track(number, seen, 1, (), vector(1.0))


def ada(x: float, *, clear: bool = True) -> LabelledFace:
    return LabelledFace("ada", x, 100, 20, clear=clear)


def truth(*frames: Sequence[LabelledFace]) -> dict[Fraction, Sequence[LabelledFace]]:
    return {at * STEP: faces for at, faces in enumerate(frames)}


def test_a_face_that_is_followed_throughout_is_found_without_a_switch() -> None:
    one = truth(*[[ada(100 + 5 * at)] for at in range(10)])
    figures = followed(one, [track(1, *[(at, 100 + 5 * at) for at in range(10)])])
    assert figures == Followed(objects=10, tracks=1, appearances=1, found=1)
    assert figures.mota == 1.0
    assert figures + figures == Followed(objects=20, tracks=2, appearances=2, found=2)


@pytest.mark.parametrize(("seen", "found"), [(5, 1), (4, 0)])
def test_an_appearance_counts_as_found_from_half_of_its_frames_on(seen: int, found: int) -> None:
    figures = followed(truth(*[[ada(100)]] * 10), [track(1, *[(at, 100) for at in range(seen)])])
    assert (figures.appearances, figures.found, figures.misses) == (1, found, 10 - seen)


def test_another_track_of_one_appearance_is_a_switch_and_one_after_a_pause_is_none() -> None:
    tracks = [track(1, (0, 100), (1, 100)), track(2, (2, 100))]
    assert followed(truth(*[[ada(100)]] * 3), tracks).id_switches == 1
    away = [[ada(100)], [ada(100)], *[[]] * 11, [ada(100)]]
    assert followed(truth(*away), [track(1, (0, 100), (1, 100)), track(2, (13, 100))]) == Followed(
        objects=3, tracks=2, appearances=2, found=2
    )
    behind = [[ada(100)], [ada(100)], *[[ada(100, clear=False)]] * 11, [ada(100)]]  # behind something for as long
    assert followed(truth(*behind), [track(1, (0, 100), (1, 100)), track(2, (13, 100))]).appearances == 2
    almost = [[ada(100)], [ada(100)], *[[]] * 9, [ada(100)]]  # two seconds, as a track may go on
    assert followed(truth(*almost), [track(1, (0, 100), (1, 100)), track(2, (11, 100))]).id_switches == 1


def test_a_track_of_two_people_is_mixed_and_a_box_at_no_face_is_a_false_positive() -> None:
    both = truth(*[[ada(100), LabelledFace("bo", 300, 100, 20)]] * 2)
    figures = followed(both, [track(1, (0, 100), (1, 300)), track(2, (0, 300), (1, 100)), track(3, (0, 500))])
    assert (figures.mixed, figures.false_positives, figures.id_switches) == (2, 1, 2)


def test_a_track_keeps_its_person_while_in_reach_and_another_is_mixed_in_once_they_part() -> None:
    bob = [LabelledFace("bob", x, 100, 20) for x in (160, 135, 115, 100, 85, 60)]
    crossing = truth(*[[ada(100), one] for one in bob])
    ahead = track(1, (0, 100), (1, 100), (2, 110), (3, 100), (4, 90), (5, 100))
    behind = track(2, (0, 160), (1, 135), (2, 108), (4, 92), (5, 60))
    assert (followed(crossing, [ahead, behind]).id_switches, followed(crossing, [ahead, behind]).mixed) == (0, 0)
    swapped = track(1, (0, 100), (1, 100), (2, 110), (3, 100), (4, 85), (5, 60))
    assert followed(crossing, [swapped]).mixed == 1


@pytest.mark.parametrize(
    ("one", "other", "switches", "false_positives"),
    [(range(6), range(2, 5), 0, 3), (range(4), range(2, 6), 1, 2), ([0, 1, 4, 5], [2, 3], 2, 0)],
)
def test_a_second_track_of_a_face_is_no_switch_as_long_as_the_first_follows_it(
    one: Sequence[int], other: Sequence[int], switches: int, false_positives: int
) -> None:
    """The figures are those of motmetrics 1.4.0 (the first track is a little beside the face)."""
    figures = followed(
        truth(*[[ada(100)]] * 6),
        [track(n, *[(at, 108 - 4 * n) for at in places]) for n, places in ((1, one), (2, other))],
    )
    assert (figures.id_switches, figures.false_positives, figures.misses) == (switches, false_positives, 0)
    assert figures.mota == 1 - (switches + false_positives) / 6


def test_a_covered_face_may_be_missed_or_seen_and_both_are_right() -> None:
    covered = truth([ada(100)], [ada(100, clear=False)], [ada(100)])
    for places in ([0, 1, 2], [0, 2]):
        figures = followed(covered, [track(1, *[(at, 100) for at in places])])
        assert figures == Followed(objects=2, tracks=1, appearances=1, found=1)


def test_the_nearest_face_in_reach_is_the_one() -> None:
    faces = [ada(100), LabelledFace("bo", 130, 100, 20)]
    assert nearest(faces, (100, 80, 140, 120)) is faces[1]
    assert nearest(faces, (160, 80, 200, 120)) is None


GALLERY = Enrolled(("ada", "bo", ""), (vector(1, 0, 0), vector(0, 1, 0), vector(0, 0, 1)))


def test_searches_count_ranks_misses_and_false_alarms() -> None:
    good, weak, wrong = vector(1, 0.1, 0), vector(0.5, 0, 0.4), vector(0.2, 1, 0)
    probes = [Probes("ada", 1, wrong, weak, good), Probes("bo", 3, wrong, wrong, wrong)]
    rows = against_photos(probes, GALLERY, threshold=0.9)
    told = {row.probe: [(one.count, one.total) for one in (row.rank1, row.fnmr, row.fmr, row.fpir)] for row in rows}
    assert told == {
        "a frame at random": [(1, 2), (1, 2), (1, 4), (1, 2)],
        "the best shot": [(2, 2), (1, 2), (0, 4), (0, 2)],
        "the mean of the track": [(2, 2), (0, 2), (0, 4), (0, 2)],
        "the mean, 1 look": [(1, 1), (0, 1), (0, 2), (0, 1)],
        "the mean, 2 to 3 looks": [(1, 1), (0, 1), (0, 2), (0, 1)],
    }


SQUARE = np.full((40, 40, 3), 200, np.uint8)


def clear(actors: Sequence[Actor]) -> list[bool]:
    return [face.clear for face in Scene(actors, (200, 100)).faces(0.0)]


def test_faces_behind_others_or_beyond_the_edge_are_not_clear() -> None:
    one = Actor("one", SQUARE, lambda _: (50, 50, 40))
    assert clear([one]) == [True]
    assert clear([one, Actor("two", SQUARE, lambda _: (60, 50, 40))]) == [False, True]
    assert clear([one, Actor("", SQUARE, lambda _: (60, 50, 40))]) == [False]
    assert clear([Actor("", SQUARE, lambda _: (60, 50, 40)), one]) == [True]
    assert clear([Actor("one", SQUARE, lambda _: (2, 50, 40))]) == [False]


def test_a_face_that_is_wholly_behind_another_is_not_there() -> None:
    small, large = Actor("small", SQUARE, lambda _: (50, 50, 40)), Actor("large", SQUARE, lambda _: (50, 50, 60))
    assert [face.identity for face in Scene([small, large], (200, 100)).faces(0.0)] == ["large"]
    assert [face.identity for face in Scene([large, small], (200, 100)).faces(0.0)] == ["large", "small"]


def test_a_camera_moves_and_magnifies_what_it_sees() -> None:
    one = Actor("one", SQUARE, lambda _: (50, 50, 40))
    scene = Scene([one], (200, 100), texture((200, 100)), camera=lambda time: (50 + 10 * time, 50, 2.0))
    assert scene.boxes(0.0) == {"one": (60, 10, 140, 90)}
    assert scene.boxes(1.0) == {"one": (40, 10, 120, 90)}
    lit = scene.draw(1.0)[48:52, 78:82]
    assert lit.mean() == pytest.approx(200, abs=2)
    assert scene.draw(1.0)[50, 150].tolist() != [200, 200, 200]


def test_a_tilted_face_stays_in_its_place() -> None:
    tilted = Actor("one", SQUARE, lambda _: (100, 50, 40), tilt=lambda _: 45.0, round=False)
    drawn = Scene([tilted], (200, 100)).draw(0.0)[..., 0] > 100
    rows, columns = np.nonzero(drawn)
    assert (rows.mean(), columns.mean()) == pytest.approx((50, 100), abs=1)
    assert columns.max() - columns.min() == pytest.approx(40 * 2**0.5, abs=3)


def draw_people(root: Path, number: int = 30) -> Path:
    for person in range(number):
        for photo in range(1, 4 if person % 2 else 3):
            name = f"P_{person:02d}"
            photos.face(root / name / f"{name}_{photo:04d}.jpg", person)
    return root


def test_those_who_are_filmed_are_not_those_for_tuning_and_another_photo_is_enrolled(tmp_path: Path) -> None:
    root = draw_people(tmp_path / "images")
    evaluated, tuned = cast_of(root, 8), cast_of(root, 4, tuning=True)
    assert not {one.name for one in evaluated} & {one.name for one in tuned}
    assert len({one.name for one in evaluated}) == 8
    assert all(one.enrolled not in one.filmed and len(one.filmed) == 2 for one in (*evaluated, *tuned))
    others = strangers_of(root, evaluated, 10)
    assert len({path.parent.name for path in others} - {one.name for one in evaluated}) == 10
    with pytest.raises(BenchFailed, match="10 suitable people with three photos or more; 11 are needed"):
        cast_of(root, 11)
    odd = [int(one.name[2:]) for one in cast_of(root, 2, fits=lambda head: int(head[100, 80, 2]) < 12)]
    assert max(odd) < 12


def test_each_person_comes_twice_with_a_pause_that_ends_a_track(tmp_path: Path) -> None:
    cast = cast_of(draw_people(tmp_path / "images"), 6)
    scene = busy_scene(cast, Filming(6, 20.0, (320, 180)), 0)
    times = [at / 10 for at in range(200)]
    seen = {one.name: [at for at in times if one.name in scene.boxes(at)] for one in cast}
    for there in seen.values():
        pauses = [later - earlier for earlier, later in pairwise(there) if later - earlier > 0.15]
        assert len(pauses) == 1
        assert pauses[0] > 2
    assert max(len(scene.boxes(at)) for at in times) >= 3


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = QualityLimits(min_sharpness=0.0, min_brightness=0.0)
    pipeline = Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), lenient)
    monkeypatch.setattr("fr_core.engine.open_engine", lambda *_, **__: replace(photos.engine(), pipeline=pipeline))


@pytest.mark.usefixtures("squares")
@pytest.mark.parametrize(
    ("name", "draw", "tracks", "searched"),
    [("youtube_faces", draw_youtube_faces, 5, 2), ("chokepoint", draw_chokepoint, 4, 4)],
)
def test_the_videos_of_a_data_set_are_followed_and_searched(
    tmp_path: Path, name: str, draw: object, tracks: int, searched: int
) -> None:
    root = draw(tmp_path / "set")  # type: ignore[operator]
    options = ["video", "--footage", name, "--root", str(root), "--json", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(bench, options)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["name"] == name
    assert (told["followed"]["tracks"], told["followed"]["mixed"], told["tracks_found"]) == (tracks, 0, 1.0)
    assert [row["rank1"]["total"] for row in told["against"][:3]] == [searched] * 3
    assert [row["rank1"]["count"] for row in told["against"][:3]] == [searched] * 3
    page_text = next((tmp_path / "out").glob("*.md")).read_text()
    for person in ("Ada", "P1E_S1"):
        assert person not in page_text + done.output
    assert "| the mean of the track |" in page_text
    assert "| appearances missed | 0.0000 (0 of " in page_text


@pytest.mark.usefixtures("squares")
def test_footage_without_two_people_or_a_second_video_allows_no_search(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path / "set", people={"Ada": (10, 10)}, pairs=())
    done = CliRunner().invoke(bench, ["video", "--footage", "youtube_faces", "--root", str(root)])
    assert done.exit_code == 2
    assert "allows no search" in done.output


def test_the_commands_of_the_guide_have_their_options() -> None:
    lines = [
        line.strip() for line in page("docs/benchmarks.md").splitlines() if line.strip().startswith("fr bench video")
    ]
    assert len(lines) == 4
    for line in lines:
        require_understood(line)
