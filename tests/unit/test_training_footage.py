"""Courses of footage: a photo beside the shots of a track, made of labelled videos, and what is right kept back."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from fr_core.imaging import ImageLimits, decode
from fr_locales.rendering import render
from fr_training.answers import Answer, PairRating
from fr_training.bank.needs import Available, available, needs
from fr_training.bank.pool import Taken, pairs_among, parted, without_photos
from fr_training.build.course import BuiltCourse
from fr_training.build.footage import MOST_LOOKS, MOST_SHOTS
from fr_training.build.people import NO_PHOTO_LEFT, NamedPeople, analyse_people, read_named_people
from fr_training.courses import Item
from fr_training.errors import PlanInvalid, TooFewPeople
from fr_training.exercises import exercise_of
from fr_training.exports.xapi import definition
from fr_training.grading.class_items import class_item
from fr_training.grading.reports import trainee_figures
from fr_training.keys import PairKey
from fr_training.plan import CoursePlan
from fr_training.prompts import ExerciseKind, Role, Step
from fr_training.report import trainee_json
from fr_training.report.deck import deck_html
from fr_training.sessions.results import results
from fr_training.simulation import runner
from fr_training.simulation.trainee import Abilities, SimulatedTrainee
from fr_training.store.course_codec import pack_course, unpack_course
from fr_training.trials import Locked, Trial
from support import photos as squares
from support.people import built_course, plan_of
from support.videos import draw_chokepoint, draw_youtube_faces

STEP = 30  # between the blues of two people
FOOTAGE = 'id = "footage"; exercise = "footage"; same = 2; different = 2'
VIDEOS = {f"P{number}": (STEP * number,) * 3 for number in range(8)}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> NamedPeople:
    """Eight people with three videos each, of 30 frames in 1.25 seconds."""
    root = draw_youtube_faces(tmp_path_factory.mktemp("videos"), VIDEOS, pairs=())
    return read_named_people("youtube_faces", root)


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> NamedPeople:
    people = {f"{number:04d}": STEP * number for number in range(8)}
    return read_named_people("chokepoint", draw_chokepoint(tmp_path_factory.mktemp("stills"), people))


@pytest.fixture(scope="module")
def built(videos: NamedPeople) -> BuiltCourse:
    return built_course(coloured(FOOTAGE), videos, squares.engine())


def coloured(blocks: str) -> CoursePlan:
    return replace(plan_of(blocks), colour=True)


def items_of(built: BuiltCourse, form: str = "footage") -> tuple[Item, ...]:
    return built.course.forms[form].items


def blue_of(picture: bytes) -> int:
    """The blue of a square, to three levels: a JPEG file does not keep it."""
    pixels = decode(picture, ImageLimits()).pixels
    return 3 * round(float(pixels[200:280, 216:296, 2].mean()) / 3)


def who(picture: bytes) -> int:
    return round(blue_of(picture) / STEP)


@pytest.mark.parametrize("source", ["videos", "stills"])
def test_each_item_is_a_photo_and_a_track_of_whom_the_key_says(source: str, request: pytest.FixtureRequest) -> None:
    made = built_course(coloured(FOOTAGE), request.getfixturevalue(source), squares.engine())
    items = items_of(made)
    assert sorted(item.key.mated for item in items if isinstance(item.key, PairKey)) == [False, False, True, True]
    seen: list[int] = []
    for item in items:
        photo, *shots = (who(made.pictures[number]) for number in item.photos)
        assert isinstance(item.key, PairKey)
        assert len(set(shots)) == 1  # a track is of one person
        assert (photo == shots[0]) == item.key.mated
        seen += {photo, shots[0]}
    assert len(seen) == len(set(seen))  # nobody is in two items
    assert made.course.datasets == (("youtube_faces",) if source == "videos" else ("chokepoint",))


def test_shots_stand_in_the_order_of_time_and_are_few(built: BuiltCourse) -> None:
    for item in items_of(built):
        assert len(item.times) == len(item.photos) - 1
        assert 2 <= len(item.times) <= MOST_SHOTS
        assert item.times[0] == 0
        assert list(item.times) == sorted(set(item.times))
        assert item.times[-1] <= 1250  # milliseconds of the video
    assert len({len(data) for data in built.pictures}) == 1  # a length tells nothing


def test_a_long_video_is_looked_at_in_few_frames(videos: NamedPeople) -> None:
    engine, done = squares.engine(), []
    person = videos.people[0]
    frames = [replace(frame, number=20 * frame.number) for frame in person.videos[0].frames * 2]
    frames = [replace(frame, number=place * 20, photo=frame.photo) for place, frame in enumerate(frames)]
    long = replace(person.videos[0], frames=tuple(frames))
    other = replace(videos, people=(replace(person, videos=(long, person.videos[1])),))
    analyse_people([other], engine, 1, lambda now, total: done.append(total))
    assert max(done) == MOST_LOOKS + len(list(videos.people[0].videos[1].frames)) // 5  # five times a second of 24


def test_the_photo_is_never_of_the_video_of_the_track(videos: NamedPeople) -> None:
    found = analyse_people([videos], squares.engine(), 1, lambda done, total: None)
    for person in found.pool.people:
        tracks = [photo for photo in person.photos if photo.shots]
        photos = [photo for photo in person.photos if not photo.shots]
        assert [len(photos), len(tracks)] == [1, 2]
        assert {photo.session for photo in photos}.isdisjoint({track.session for track in tracks})
        sources = [found.sources[shot.number] for track in tracks for shot in track.shots]
        assert [one.sha256 for one in sources] == [shot.sha256 for track in tracks for shot in track.shots]


def test_pairs_of_somebody_with_tracks_are_a_photo_and_a_track() -> None:
    taken = [Taken("", "a"), Taken("", "b"), Taken("", "a", True), Taken("", "c", True)]
    assert pairs_among(taken) == [(0, 3), (1, 2), (1, 3)]
    assert pairs_among(taken[:2]) == [(0, 1)]
    assert pairs_among(taken[2:]) == []
    assert available([taken, taken[:2], taken[2:]]) == Available(1, 1, 1, with_tracks=1)


def test_a_video_without_faces_leaves_a_person_out(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path, VIDEOS, pairs=())
    for video in ("1", "2"):
        for path in (root / "frame_images_DB" / "P0" / video).iterdir():
            squares.face(path, None)
    for path in (root / "frame_images_DB" / "P1").rglob("*.jpg"):
        squares.face(path, None)
    found = analyse_people([read_named_people("youtube_faces", root)], squares.engine(), 1, lambda done, total: None)
    assert len(parted(found.pool)[1].people) == 6
    assert found.excluded == {NO_PHOTO_LEFT: 1}  # P0 has a photo, and no track


def test_a_plan_counts_the_people_with_tracks_apart(videos: NamedPeople) -> None:
    pairs = 'id = "pairs"; exercise = "verification"; same = 3; different = 1'
    wanted = needs(plan_of(f"{pairs}\n{FOOTAGE}"))
    assert (wanted.people, wanted.people_with_two_photos, wanted.people_with_tracks) == (5, 3, 6)
    with pytest.raises(TooFewPeople) as caught:
        built_course(coloured(FOOTAGE.replace("different = 2", "different = 4")), videos, squares.engine())
    assert caught.value.metadata == {"people_with_tracks": "10", "missing": "2"}
    with pytest.raises(TooFewPeople, match="data sets hold 0 and 0"):  # people of footage are no others
        built_course(coloured(f"{pairs}\n{FOOTAGE}"), videos, squares.engine())


def test_blocks_of_footage_and_others_share_a_course(tmp_path: Path, videos: NamedPeople) -> None:
    for number in range(6):
        for which in (1, 2):
            path = tmp_path / f"Q{number}" / f"{which}.png"
            squares.face(path, STEP * number + 12)
            path.write_bytes(path.read_bytes() + bytes([which]))
    folder = read_named_people("people_folder", tmp_path)
    blocks = f'id = "pairs"; exercise = "verification"; same = 2; different = 2\n{FOOTAGE}'
    made = built_course(coloured(blocks), (folder, videos), squares.engine())
    people = [{person for item in items_of(made, form) for person in item.people} for form in ("pairs", "footage")]
    assert people[0].isdisjoint(people[1])
    assert all(not item.times for item in items_of(made, "pairs"))
    for item in (*items_of(made, "pairs"), *items_of(made)):
        blues = {blue_of(made.pictures[number]) for number in item.photos}
        assert len(blues) == len(item.people)
        assert {blue % STEP == 0 for blue in blues} == {bool(item.times)}
    numbers = [number for form in ("pairs", "footage") for item in items_of(made, form) for number in item.photos]
    assert sorted(set(numbers)) == list(range(len(made.pictures)))
    lesson = built_course(
        coloured(f'id = "read"; exercise = "lesson"; lesson = "video"\n{FOOTAGE}'), videos, squares.engine()
    )
    assert set(lesson.course.forms) == {"read", "footage"}


def test_a_shot_that_is_left_out_takes_its_track_along(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path, {"P0": (0, 0, 0)}, pairs=())
    for number, path in enumerate(sorted(root.rglob("*.jpg"))):
        path.write_bytes(path.read_bytes() + b"%d" % number)  # no two files are the same
    found = analyse_people([read_named_people("youtube_faces", root)], squares.engine(), 1, lambda done, total: None)
    photo, track, other = found.pool.people[0].photos
    left = without_photos(found.pool, {track.shots[1].sha256})
    assert left.people[0].photos == (photo, other)
    assert without_photos(found.pool, {"f" * 64}).people == found.pool.people


def test_a_face_beside_the_label_is_in_no_track(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path, {"P0": (0, 0), "P1": (STEP, STEP)}, pairs=())
    labels = root / "frame_images_DB" / "P0.labeled_faces.txt"
    labels.write_text(labels.read_text().replace(",150,100,100,100,", ",20,20,40,40,"))
    found = analyse_people([read_named_people("youtube_faces", root)], squares.engine(), 1, lambda done, total: None)
    assert [identity for _, identity in found.numbers] == ["P1"]
    assert found.excluded == {NO_PHOTO_LEFT: 1}


def test_a_course_of_footage_is_kept_as_it_was_made(built: BuiltCourse) -> None:
    course = built.course
    assert unpack_course(course.course_id, pack_course(course)) == course


def test_the_reveal_alone_has_the_similarity_of_the_machine() -> None:
    exercise, key = exercise_of(ExerciseKind.FOOTAGE), PairKey(mated=True, similarity=0.25)
    order = exercise.order(4, np.random.default_rng(1))
    assert order == (0, 1, 2, 3)  # the photo first, then the shots in the order of time
    ids = ("a", "b", "c", "d")
    prompts = [exercise.prompt(Step.RATE, ids, one) for one in (key, PairKey(mated=False, similarity=0.75))]
    assert prompts[0] == prompts[1]
    assert [one.role for one in prompts[0].pictures] == [Role.COMPARED, *[Role.SHOT] * 3]
    trial = answered(3, order)
    told = exercise.reveal(key, trial, ids)
    assert (told.correct, told.similarities) == (True, {"a": 0.25})
    assert told.text is not None
    assert render(told.text) == "Right: the photo and the track show one person."
    graded = exercise.grade(key, trial, ids)
    assert (graded.truth, graded.answer, graded.rating, graded.similarity) == ("same", "same", 3, 0.25)


def answered(rating: int, order: Sequence[int]) -> Trial:
    locked = Locked(Step.RATE, Answer(PairRating(rating)), 1, 1)
    return Trial("t", 0, "footage", "footage", "i", tuple(order), 0, locked=(locked,), done=True)


def test_a_class_sees_the_shots_in_their_order(built: BuiltCourse) -> None:
    course, item = built.course, items_of(built)[0]
    found = class_item("footage", item, course.plan.blocks[0], (), course.machine)
    assert (found.photos, found.times) == (item.photos, item.times)
    assert "the photo and the track show" in render(found.truth)
    deck = deck_html(course, [found], 0, dict(enumerate(built.pictures)))
    assert re.findall(r"<figcaption>(\w+)</figcaption>", deck) == ["A", *(f"B{n}" for n, _ in enumerate(item.times, 1))]


def test_footage_counts_as_pairs_in_figures_and_exports() -> None:
    made = runner.made_course(plan_of('id = "footage"; exercise = "footage"; same = 12; different = 12'), 1, 0)
    seat = runner.Seat("S-1", 0, SimulatedTrainee(Abilities(2.0)))
    rows = results(made, runner.run_sitting(made, runner.items_of(made), seat, "one", np.random.default_rng(1), 0))
    assert {row.exercise for row in rows} == {ExerciseKind.FOOTAGE}
    assert all(row.similarity is not None for row in rows)  # of the machine, beside the trainee
    figures = trainee_figures(made, list(rows), {"S-1": list(rows)})
    document = json.loads(trainee_json(made, figures))
    pairs = document["together"]["pairs"]
    hits, false = (sum(row.answer == "same" for row in rows if row.truth == truth) for truth in ("same", "different"))
    assert pairs["errors"]["sensitivity"]["dprime"]["value"] == pytest.approx(dprime(hits, false, 12))
    assert document["blocks"][0]["exercise"] == "footage"
    told = definition(rows[0])
    assert told["name"]["en"] == f"Photo and track {rows[0].item_id}"
    assert (told["interactionType"], len(told["correctResponsesPattern"])) == ("likert", 3)


def dprime(hits: int, false: int, count: int) -> float:
    """With the correction for extremes that reference/training-science asks for."""
    z = NormalDist().inv_cdf
    return z((hits + 0.5) / (count + 1)) - z((false + 0.5) / (count + 1))


def test_footage_is_neither_adaptive_nor_equated() -> None:
    with pytest.raises(PlanInvalid, match="adaptive"):
        plan_of(f"{FOOTAGE}; adaptive = true")
    with pytest.raises(PlanInvalid):
        plan_of(f'{FOOTAGE}; equated = "test"; occasion = "pre"; reveal_scores = false')


@pytest.mark.parametrize(
    ("more", "reveals"),
    [
        ("", False),
        ("feedback = true", True),
        ("reveal_scores = true", True),
        ("feedback = true; reveal_scores = false", False),
    ],
)
def test_similarities_of_footage_are_told_with_feedback_unless_the_plan_says_otherwise(
    more: str, reveals: bool
) -> None:
    assert plan_of(f"{FOOTAGE}; {more}" if more else FOOTAGE).blocks[0].reveal_scores is reveals
