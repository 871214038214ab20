"""A course over the API, from its plan to its reports, with every exercise."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import gallery_pb2, training_pb2
from support.courses import PLAN, Chance, answer, ask, create, enrol, next_trial, start, take
from support.servers import Running, photo, refusal_of, running


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(home / "data") as server:
        yield server


@pytest.fixture(scope="module")
def course(server: Running) -> training_pb2.Course:
    return create(server.training)


@pytest.fixture
def codes(server: Running, course: training_pb2.Course) -> list[str]:
    """Codes of two new trainees, one of each group."""
    return [one.code for one in enrol(server.training, course.course_id, 2).enrolled]


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    end = refusal_of(call)
    return end.code.name, end.info.reason


def test_the_making_of_a_course_is_told_step_by_step(server: Running) -> None:
    source = training_pb2.PlanSource(toml=PLAN)
    request = training_pb2.CreateCourseRequest(plan=source, datasets=["people_folder"], seed=5)
    events = list(server.training.CreateCourse(request))
    stages = [one.progress.stage for one in events[:-1]]
    assert stages == sorted(stages)
    made = events[-1].course
    assert made.seed == 5
    assert made.title == "A course of squares"
    assert [one.name for one in made.sittings] == ["all", "own"]
    assert len(made.manifest_sha256) == 64
    assert server.training.GetCourse(training_pb2.GetCourseRequest(course_id=made.course_id)).course == made
    listed = server.training.ListCourses(training_pb2.ListCoursesRequest(page_size=1))
    assert listed.courses[0] == made
    gallery = server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id=made.gallery_id)).gallery
    assert not gallery.HasField("expire_time")
    server.training.DeleteCourse(training_pb2.DeleteCourseRequest(course_id=made.course_id))
    gone = training_pb2.GetCourseRequest(course_id=made.course_id)
    assert refusal(lambda: server.training.GetCourse(gone)) == ("NOT_FOUND", "UNKNOWN_COURSE")
    of_course = gallery_pb2.GetGalleryRequest(gallery_id=made.gallery_id)
    assert refusal(lambda: server.gallery.GetGallery(of_course)) == ("NOT_FOUND", "UNKNOWN_GALLERY")


@pytest.mark.parametrize("group", [0, 1])
def test_a_course_is_taken_to_its_end(
    server: Running, course: training_pb2.Course, codes: list[str], group: int
) -> None:
    stub = server.training
    shown: list[training_pb2.Trial] = []
    session = start(stub, codes[group])
    responses = list(take(stub, session, Chance(), shown.append))
    sitting = course.sittings[0]
    trials = list(dict.fromkeys(one.trial_id for one in shown))
    assert len(trials) == sum(block.trials for block in sitting.blocks) == 31
    assert list(dict.fromkeys(one.block_id for one in shown)) == [block.block_id for block in sitting.blocks]
    sizes = {len(one.data) for trial in shown for one in trial.pictures}
    assert len(sizes) == 1
    told = Counter(one.block_id for one, response in zip(shown, responses, strict=True) if _reveals(response))
    assert told == {"features": 2, "practice": 4, "triage": 3, "lists": 2}
    over = ask(stub, session)
    assert (over.over.answered, over.over.trials) == (31, 31)
    state = stub.JoinCourse(training_pb2.JoinCourseRequest(code=codes[group])).sittings
    assert [one.state for one in state] == [training_pb2.SESSION_STATE_FINISHED, training_pb2.SESSION_STATE_NOT_STARTED]


def _reveals(response: Any) -> bool:
    return isinstance(response, training_pb2.SubmitDecisionResponse) and response.HasField("reveal")


def test_trainees_are_not_told_which_pairs_are_rare_or_were_judged_before(
    server: Running, course: training_pb2.Course, codes: list[str]
) -> None:
    verification = training_pb2.EXERCISE_VERIFICATION
    seen: dict[str, int] = {}
    session = start(server.training, codes[0])
    list(take(server.training, session, Chance(), lambda trial: seen.update({trial.block_id: trial.exercise})))
    joined = server.training.JoinCourse(training_pb2.JoinCourseRequest(code=codes[0])).sittings[0].sitting
    told = {block.block_id: block.exercise for block in joined.blocks}
    assert seen["rare"] == seen["second"] == told["rare"] == told["second"] == verification
    planned = {block.block_id: block.exercise for block in course.sittings[0].blocks}
    assert planned["rare"] == training_pb2.EXERCISE_LOW_PREVALENCE
    assert planned["second"] == training_pb2.EXERCISE_BLIND


def test_an_own_probe_is_searched_for_and_scored_where_the_photo_is_known(
    server: Running, home: Path, course: training_pb2.Course, codes: list[str]
) -> None:
    stub = server.training
    known = (home / "people" / "Jane_Roe_007" / "2.png").read_bytes()
    for code, probe, scored in ((codes[0], known, True), (codes[1], photo(253), False)):
        session = start(stub, code, "own")
        trial = next_trial(stub, session)
        assert trial is not None
        assert not trial.pictures
        how = Chance(probe=probe)
        _, trial = answer(stub, session, trial, how)
        assert trial is not None
        assert not trial.pictures
        _, trial = answer(stub, session, trial, how)
        assert trial is not None
        assert len(trial.pictures) == 3
        response, trial = answer(stub, session, trial, how)
        assert trial is None
        assert len(response.reveal.similarities) == 3
        row = _rows(server, course, code)[0]
        assert (row["truth"] != "") == scored


def test_the_trainer_says_whom_a_photo_shows(server: Running, course: training_pb2.Course, codes: list[str]) -> None:
    stub = server.training
    probe = photo(252)
    key = training_pb2.SetProbeKeyRequest(course_id=course.course_id, image_sha256=hashlib.sha256(probe).hexdigest())
    key.absent = True
    stub.SetProbeKey(key)
    key.identity = "nobody of the course"
    assert refusal(lambda: stub.SetProbeKey(key)) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    session = start(stub, codes[0], "own")
    list(take(stub, session, Chance(probe=probe)))
    row = _rows(server, course, codes[0])[0]
    assert (row["truth"], row["notes"]) == ("absent", "A red square.")


def test_a_truth_that_is_told_later_counts_too(server: Running, course: training_pb2.Course, codes: list[str]) -> None:
    stub = server.training
    probe = photo(250)
    list(take(stub, start(stub, codes[0], "own"), Chance(probe=probe)))
    assert _rows(server, course, codes[0])[0]["truth"] == ""
    key = training_pb2.SetProbeKeyRequest(course_id=course.course_id, image_sha256=hashlib.sha256(probe).hexdigest())
    for number in range(100):
        key.identity = f"Jane_Roe_{number:03}"
        stub.SetProbeKey(key)
        if _rows(server, course, codes[0])[0]["truth"].startswith("mate:"):
            break
    else:
        raise AssertionError("none of all people is a candidate")
    key.absent = True
    stub.SetProbeKey(key)
    row = _rows(server, course, codes[0])[0]
    assert (row["truth"], row["correct"]) == ("absent", "false")


def _rows(server: Running, course: training_pb2.Course, code: str) -> list[dict[str, str]]:
    """The rows of a trainee in the CSV export of the cohort."""
    trainee = server.training.JoinCourse(training_pb2.JoinCourseRequest(code=code)).trainee_id
    for cohort in server.training.ListCohorts(training_pb2.ListCohortsRequest(course_id=course.course_id)).cohorts:
        rows = [
            row
            for row in csv.DictReader(io.StringIO(exported(server, cohort.cohort_id)))
            if row["trainee_id"] == trainee
        ]
        if rows:
            return rows
    raise AssertionError("the trainee has no rows")


def exported(server: Running, cohort_id: str, form: int = training_pb2.EXPORT_FORMAT_CSV) -> str:
    request = training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=form)  # type: ignore[arg-type]
    return b"".join(one.content for one in server.training.ExportResults(request)).decode()


def report(server: Running, html: bool = False, **whom: str) -> str:
    file = training_pb2.TRAINING_REPORT_FILE_HTML if html else training_pb2.TRAINING_REPORT_FILE_JSON
    request = training_pb2.GetTrainingReportRequest(file=file, **whom)
    return b"".join(one.content for one in server.training.GetTrainingReport(request)).decode()


def test_reports_and_exports_are_of_the_answers_that_there_are(server: Running, course: training_pb2.Course) -> None:
    stub = server.training
    made = enrol(stub, course.course_id, 3)
    cohort_id = made.cohort.cohort_id
    assert refusal(lambda: report(server, cohort_id=cohort_id)) == ("FAILED_PRECONDITION", "NOTHING_TO_REPORT")
    for number, one in enumerate(made.enrolled[:2]):
        session = start(stub, one.code)
        if number == 1:
            assert refusal(partial(report, server, code=one.code))[1] == "SESSION_UNFINISHED"
        list(take(stub, session, Chance(random.Random(number))))
    first = made.enrolled[0]
    assert json.loads(report(server, code=first.code)) == json.loads(report(server, trainee_id=first.trainee_id))
    for page in (report(server, html=True, code=first.code), report(server, html=True, cohort_id=cohort_id)):
        assert page.startswith("<!doctype html>")
        assert "A course of squares" in page
    assert json.loads(report(server, cohort_id=cohort_id))
    assert refusal(lambda: report(server, trainee_id=made.enrolled[2].trainee_id))[1] == "NOTHING_TO_REPORT"
    rows = list(csv.DictReader(io.StringIO(exported(server, cohort_id))))
    assert Counter(row["trainee_id"] for row in rows) == dict.fromkeys(
        (one.trainee_id for one in made.enrolled[:2]), 31
    )
    for form in (
        training_pb2.EXPORT_FORMAT_XAPI,
        training_pb2.EXPORT_FORMAT_AGS,
        training_pb2.EXPORT_FORMAT_OPEN_BADGES,
    ):
        assert isinstance(json.loads(exported(server, cohort_id, form)), list)
    partners = {row["trainee_id"]: row["partner"] for row in rows if row["exercise"] == "blind"}
    assert partners == {first.trainee_id: made.enrolled[1].trainee_id, made.enrolled[1].trainee_id: first.trainee_id}
    text = exported(server, cohort_id) + report(server, cohort_id=cohort_id)
    assert "Jane" not in text
    assert first.code not in text


def test_a_cohort_is_watched_and_deleted(server: Running, course: training_pb2.Course) -> None:
    stub = server.training
    made = enrol(stub, course.course_id, 2)
    watching = stub.WatchCohort(training_pb2.WatchCohortRequest(cohort_id=made.cohort.cohort_id))
    first = next(watching).progress
    assert Counter(one.state for one in first) == {training_pb2.SESSION_STATE_NOT_STARTED: 4}
    session = start(stub, made.enrolled[0].code)
    trial = next_trial(stub, session)
    assert trial is not None
    answer(stub, session, trial, Chance())
    while True:
        (now,) = next(watching).progress
        assert now.trainee_id == made.enrolled[0].trainee_id
        if now.answered:
            break
    watching.cancel()
    found = stub.GetCohort(training_pb2.GetCohortRequest(cohort_id=made.cohort.cohort_id))
    assert now in found.progress
    stub.DeleteTrainee(training_pb2.DeleteTraineeRequest(trainee_id=made.enrolled[0].trainee_id))
    assert refusal(lambda: ask(stub, session))[1] == "UNKNOWN_SESSION"
    more = stub.AddTrainees(training_pb2.AddTraineesRequest(cohort_id=made.cohort.cohort_id, trainees=1)).enrolled
    assert len(more) == 1
    stub.DeleteCohort(training_pb2.DeleteCohortRequest(cohort_id=made.cohort.cohort_id))
    assert refusal(lambda: start(stub, more[0].code))[1] == "UNKNOWN_TRAINEE"


def test_what_is_acknowledged_is_there_after_a_restart(home: Path) -> None:
    folder = home / "restarted"
    with running(folder) as server:
        course = create(server.training)
        code = enrol(server.training, course.course_id).enrolled[0].code
        session = start(server.training, code)
        trial = next_trial(server.training, session)
        assert trial is not None
        answer(server.training, session, trial, Chance())
        waiting = next_trial(server.training, session)
    with running(folder) as server:
        assert start(server.training, code) == session
        again = next_trial(server.training, session)
        assert again is not None
        assert waiting is not None
        assert again.trial_id == waiting.trial_id != trial.trial_id
        assert again.pictures == waiting.pictures
