"""Courses of footage on a server: from `fr train plan check` to the export."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_api.v1 import evaluation_pb2, training_pb2
from support.courses import Chance, Trial, enrol, link_footage, start, take
from support.servers import Fr, Running, running

PLAN = """
format = 1
title = "Footage"
claims = false
[[sittings]]
name = "all"
blocks = [
  {id = "shown", exercise = "footage", same = 1, different = 1, feedback = true},
  {id = "silent", exercise = "footage", same = 1, different = 1, reveal_scores = false},
]
"""


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    link_footage(home / "footage")
    with running(home / "data") as server:
        yield server


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "footage.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_data_sets_of_videos_are_offered_for_courses(server: Running) -> None:
    found = server.evaluation.ListDatasets(evaluation_pb2.ListDatasetsRequest()).datasets
    offered = {one.name for one in found if one.for_courses}
    assert {"people_folder", "lfw", "london", "chokepoint", "youtube_faces"} <= offered
    assert "ijbc" not in offered


def test_a_course_of_footage_is_made_taken_and_exported(server: Running, fr: Fr, plan: Path) -> None:
    code, out, error = fr("train", "plan", "check", plan, "--dataset", "people_folder")
    assert "6 people with a photo and a track, for footage, are missing" in " ".join(out.split()), error
    code, out, error = fr("train", "plan", "check", plan, "--dataset", "chokepoint")
    assert (code, error) == (0, "")
    assert "6 other people with a photo and a track" in " ".join(out.split())
    assert "7 other people with a photo and a track" in " ".join(out.split())
    code, out, error = fr("train", "course", "create", plan, "--dataset", "chokepoint")
    assert code == 0, error
    (course, *_) = server.training.ListCourses(training_pb2.ListCoursesRequest()).courses
    assert list(course.datasets) == ["chokepoint"]
    items = [
        one.item for one in server.training.ListFormItems(training_pb2.ListFormItemsRequest(course_id=course.course_id))
    ]
    assert {one.exercise for one in items} == {training_pb2.EXERCISE_FOOTAGE}
    for item in items:
        photo, *shots = item.pictures
        assert (photo.role, photo.HasField("at")) == (training_pb2.PICTURE_ROLE_COMPARED, False)
        assert {one.role for one in shots} == {training_pb2.PICTURE_ROLE_SHOT}
        times = [one.at.ToMilliseconds() for one in shots]
        assert times == sorted(set(times))
        assert times[0] == 0
    made = enrol(server.training, course.course_id)
    shown: list[Trial] = []
    session = start(server.training, made.enrolled[0].code)
    answers = list(take(server.training, session, Chance(), shown.append))
    for trial, answer in zip(shown, answers, strict=True):
        reveal = answer.reveal
        if trial.block_id == "shown":
            assert list(reveal.similarities) == [trial.pictures[0].picture_id]
            assert "the photo and the track show" in reveal.text
        else:
            assert not answer.HasField("reveal")
    server.training.FinishSession(training_pb2.FinishSessionRequest(session_id=session))
    request = training_pb2.ExportResultsRequest(cohort_id=made.cohort.cohort_id, format=training_pb2.EXPORT_FORMAT_CSV)
    data = b"".join(one.content for one in server.training.ExportResults(request))
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["exercise"] for row in rows] == ["footage"] * 4
    assert all(row["similarity"] for row in rows)
    release = training_pb2.ReleaseItemsRequest(cohort_id=made.cohort.cohort_id, item_ids=[items[0].item_id])
    server.training.ReleaseItems(release)
    shown_items = server.training.GetClassItem(
        training_pb2.GetClassItemRequest(cohort_id=made.cohort.cohort_id, item_id=items[0].item_id)
    )
    assert [one.role for one in shown_items.pictures] == [one.role for one in items[0].pictures]
    assert shown_items.pictures[1].at == items[0].pictures[1].at
