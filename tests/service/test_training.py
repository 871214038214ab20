"""Courses over the API, from their plans to their reports; and courses that learn from answers to others."""

import csv
import hashlib
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pseudo_locales
from fr_api.v1 import gallery_pb2, training_pb2
from fr_training.bank.difficulty import updated
from fr_training.bank.manifest import truth_of
from fr_training.courses import Course, Item, Learned
from fr_training.grading.items import learned
from fr_training.lessons import lesson
from fr_training.sessions.results import results
from fr_training.trials import Result
from support.counts import NIGHTLY
from support.courses import PLAN, Chance, answer, ask, create, enrol, next_trial, start, store_of, take
from support.servers import Running, photo, refusal_of, running

Metadata = tuple[tuple[str, str], ...]
FRENCH = """
[translations.fr]
"A course of squares" = "Un cours de carrés"
"Everything" = "Tout"
"pre" = "Premier test"
"odd" = "L’intrus"
"""
IN_FRENCH: Metadata = (("accept-language", "fr"),)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(home / "data") as server:
        yield server


@pytest.fixture(scope="module")
def course(server: Running) -> training_pb2.Course:
    return create(server.training, PLAN + FRENCH)


@pytest.fixture
def codes(server: Running, course: training_pb2.Course) -> list[str]:
    return [one.code for one in enrol(server.training, course.course_id, 2).enrolled]


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    end = refusal_of(call)
    return end.code.name, end.info.reason


def test_the_making_of_a_course_is_told_step_by_step(server: Running) -> None:
    source = training_pb2.PlanSource(toml=PLAN)
    request = training_pb2.CreateCourseRequest(plan=source, datasets=["people_folder"], seed=5)
    request.exclude_photos.append("ab" * 32)
    events = list(server.training.CreateCourse(request))
    stages = [one.progress.stage for one in events[:-1]]
    assert stages == sorted(stages)
    made = events[-1].course
    assert made.seed == 5
    assert made.title == "A course of squares"
    assert [one.name for one in made.sittings] == ["all", "own"]
    assert len(made.manifest_sha256) == 64
    found = server.training.GetCourse(training_pb2.GetCourseRequest(course_id=made.course_id))
    assert (found.course, found.made_from) == (made, request)
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
def test_a_course_is_taken_whole(server: Running, course: training_pb2.Course, codes: list[str], group: int) -> None:
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
    decided = [(one, told) for one, told in zip(shown, responses, strict=True) if hasattr(told, "reveal")]
    told = Counter(one.block_id for one, told in decided if told.HasField("reveal"))
    assert told == {"features": 2, "practice": 4, "triage": 3, "lists": 2}
    over = ask(stub, session)
    assert (over.over.answered, over.over.trials) == (31, 31)
    state = stub.JoinCourse(training_pb2.JoinCourseRequest(code=codes[group])).sittings
    assert [one.state for one in state] == [training_pb2.SESSION_STATE_FINISHED, training_pb2.SESSION_STATE_NOT_STARTED]


def test_trainees_see_only_verifications(server: Running, course: training_pb2.Course, codes: list[str]) -> None:
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


def test_an_own_probe_is_scored(server: Running, home: Path, course: training_pb2.Course, codes: list[str]) -> None:
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
    trainee = server.training.JoinCourse(training_pb2.JoinCourseRequest(code=code)).trainee_id
    for cohort in server.training.ListCohorts(training_pb2.ListCohortsRequest(course_id=course.course_id)).cohorts:
        rows = csv.DictReader(io.StringIO(exported(server, cohort.cohort_id)))
        if found := [row for row in rows if row["trainee_id"] == trainee]:
            return found
    raise AssertionError("the trainee has no rows")


def exported(
    server: Running, cohort_id: str, form: int = training_pb2.EXPORT_FORMAT_CSV, metadata: Metadata = ()
) -> str:
    request = training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=form)  # type: ignore[arg-type]
    return b"".join(one.content for one in server.training.ExportResults(request, metadata=metadata)).decode()


def report(server: Running, html: bool = False, metadata: Metadata = (), **whom: str) -> str:
    file = training_pb2.TRAINING_REPORT_FILE_HTML if html else training_pb2.TRAINING_REPORT_FILE_JSON
    request = training_pb2.GetTrainingReportRequest(file=file, **whom)
    return b"".join(one.content for one in server.training.GetTrainingReport(request, metadata=metadata)).decode()


def test_reports_and_exports_are_of_the_answers_that_there_are(
    server: Running, course: training_pb2.Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    page = report(server, html=True, cohort_id=cohort_id)
    assert page.startswith("<!doctype html>")
    assert "A course of squares" in page
    assert json.loads(report(server, cohort_id=cohort_id))
    assert refusal(lambda: report(server, trainee_id=made.enrolled[2].trainee_id))[1] == "NOTHING_TO_REPORT"
    rows = list(csv.DictReader(io.StringIO(exported(server, cohort_id))))
    assert Counter(row["trainee_id"] for row in rows) == {one.trainee_id: 31 for one in made.enrolled[:2]}
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
    pseudo_locales.write(tmp_path)
    monkeypatch.setenv("FR_CATALOGUES", str(tmp_path))
    asked = (("accept-language", "ar-XB"),)
    for whom in ({"code": first.code}, *([{"cohort_id": cohort_id}] if NIGHTLY else [])):
        page = report(server, True, asked, **whom)
        assert '<html lang="ar-XB" dir="rtl">' in page
        shown = " ".join(re.sub("<style>.*?</style>|<.*?>", " | ", page, flags=re.DOTALL).split())
        assert [one for one in pseudo_locales.english_words() if one in shown] == []
    notice = json.loads(report(server, metadata=asked, code=first.code))["notice"]
    assert "no evidence" not in notice
    form = training_pb2.EXPORT_FORMAT_XAPI
    told, own = (report(server, html, IN_FRENCH, code=first.code) for html in (True, False))
    assert told.startswith("<!doctype html>")
    assert "Un cours de carrés" in told
    assert json.loads(own)["course"]["title"] == "A course of squares"
    assert exported(server, cohort_id, form, IN_FRENCH) == exported(server, cohort_id, form)
    assert exported(server, cohort_id, form, asked) == exported(server, cohort_id, form)
    joined = stub.JoinCourse(training_pb2.JoinCourseRequest(code=first.code), metadata=asked)
    assert "training in the comparison" not in joined.notice
    again = start(stub, made.enrolled[2].code)
    begins = stub.NextTrial(training_pb2.NextTrialRequest(session_id=again, language="ar-XB")).block
    assert begins.block.instructions.startswith("\u200f")
    assert "training in the comparison" in stub.JoinCourse(training_pb2.JoinCourseRequest(code=first.code)).notice


def test_the_words_of_a_plan_are_told_in_the_language_of_the_call(server: Running, codes: list[str]) -> None:
    stub = server.training
    request = training_pb2.JoinCourseRequest(code=codes[0])
    joined = stub.JoinCourse(request, metadata=IN_FRENCH)
    every, own = (one.sitting for one in joined.sittings)
    assert (joined.title, every.title, own.title) == ("Un cours de carrés", "Tout", "own")
    assert [one.title for one in every.blocks[:3]] == ["Premier test", "L’intrus", "features"]
    assert stub.JoinCourse(request).title == stub.JoinCourse(request, metadata=(("accept-language", "es"),)).title
    asked = training_pb2.NextTrialRequest(session_id=start(stub, codes[0]))
    assert stub.NextTrial(asked, metadata=IN_FRENCH).block.block.title == "Premier test"
    plans = {one.name: one for one in stub.ListPlans(training_pb2.ListPlansRequest(), metadata=IN_FRENCH).plans}
    assert plans["one-day"].title == "Comparer des visages\N{NO-BREAK SPACE}: une journée"
    checked = stub.CheckPlan(
        training_pb2.CheckPlanRequest(plan=training_pb2.PlanSource(name="one-day")), metadata=IN_FRENCH
    )
    assert checked.sittings[0].blocks[1].title == lesson("bias", "fr").title


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
        course = create(server.training, AGAIN)
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


AGAIN = """
format = 1
title = "Squares again"
sittings = [
  { name = "all", blocks = [
    { id = "pre", exercise = "verification", same = 2, different = 2 },
    { id = "odd", exercise = "triad", trials = 1 },
  ] },
]
"""
TRAINEES = 10  # of each of two cohorts


@pytest.fixture(scope="module")
def taken(server: Running) -> training_pb2.Course:
    course = create(server.training, AGAIN)
    for cohort in range(2):
        for number, one in enumerate(enrol(server.training, course.course_id, TRAINEES).enrolled):
            how = Chance(random.Random(100 * cohort + number))
            list(take(server.training, start(server.training, one.code), how))
    return course


def taught(server: Running, course_id: str) -> Learned:
    store = store_of(server)
    course, rows = store.course(course_id), dict[str, tuple[Result, ...]]()
    for cohort in store.cohorts(course_id):
        for session in store.changes_since(cohort.cohort_id, -1).sessions:
            rows[session.trainee_id] = results(course, session)
    return learned([rows])


def items_of(course: Course) -> dict[str, Item]:
    return {item.item_id: item for form in course.forms.values() for item in form.items}


def refused(server: Running, **fields: Any) -> tuple[str, str]:
    end = refusal_of(lambda: create(server.training, AGAIN, **fields))
    return end.code.name, end.info.reason


def test_a_course_learns_from_all_cohorts_of_another(server: Running, taken: training_pb2.Course) -> None:
    found = taught(server, taken.course_id)
    assert {one.people for one in found.difficulties.values()} == {2 * TRAINEES}
    made = create(server.training, AGAIN, learn_from=[taken.course_id, taken.course_id])
    assert list(made.learned_from) == [taken.course_id]
    assert made.quarantined_items == len(found.suspects)
    store = store_of(server)
    old, new = items_of(store.course(taken.course_id)), items_of(store.course(made.course_id))
    assert set(old) - found.suspects == set(old) & set(new)  # the same seed chooses the same
    assert made.learned_items == len(set(old) & set(new)) > 0
    for item_id in set(old) & set(new):
        machine = old[item_id].b
        assert machine is not None
        assert new[item_id].b == updated(machine, *found.difficulties[item_id])
    assert made.manifest_sha256 != taken.manifest_sha256
    got = server.training.GetCourse(training_pb2.GetCourseRequest(course_id=made.course_id)).course
    listed = server.training.ListCourses(training_pb2.ListCoursesRequest(page_size=1)).courses[0]
    assert got == listed == made


def test_courses_that_nobody_answered_teach_nothing(server: Running, taken: training_pb2.Course) -> None:
    empty = create(server.training, AGAIN)
    enrol(server.training, empty.course_id, 3)
    made = create(server.training, AGAIN, learn_from=[empty.course_id])
    assert (made.learned_items, made.quarantined_items) == (0, 0)
    assert list(made.learned_from) == [empty.course_id]
    assert made.manifest_sha256 == empty.manifest_sha256 == taken.manifest_sha256


def test_what_cannot_be_learned_from_is_refused(server: Running, taken: training_pb2.Course) -> None:
    assert refused(server, learn_from=[taken.course_id, "0" * 16]) == ("NOT_FOUND", "UNKNOWN_COURSE")
    many = [f"{number:016x}" for number in range(17)]
    assert refused(server, learn_from=many) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert create(server.training, AGAIN).course_id  # the server makes courses as before


def test_photos_that_the_maker_excludes_are_left_out_and_counted(server: Running, home: Path) -> None:
    people = sorted((home / "people").iterdir())
    gone = [hashlib.sha256((person / "1.png").read_bytes()).hexdigest() for person in people[:8]]
    gone.append(hashlib.sha256((people[0] / "2.png").read_bytes()).hexdigest())
    made = create(server.training, AGAIN, exclude_photos=[*gone, gone[0], "0" * 64])
    assert made.excluded_photos == 9
    store = store_of(server)
    excluded = store.course(made.course_id).excluded
    assert (excluded["EXCLUDED"], excluded["NO_PHOTO_LEFT"]) == (9, 1)
    assert all(not store.probe_truth(made.course_id, sha256).known for sha256 in gone)
    assert create(server.training, AGAIN).excluded_photos == 0
    everybody = [hashlib.sha256(photo.read_bytes()).hexdigest() for person in people[:95] for photo in person.iterdir()]
    assert refused(server, exclude_photos=everybody) == ("FAILED_PRECONDITION", "TOO_FEW_PEOPLE")


# Of `PLAN`, the sitting with its own photos, and of the blocks those which forecasts tell apart.
FEW = "\n".join(line for line in PLAN.splitlines() if not re.search('id = "(?!odd|practice|triage|own)', line))
FORECAST = PLAN if NIGHTLY else FEW


def test_a_forecast_keeps_nothing_and_is_that_of_the_course(server: Running) -> None:
    def kept() -> tuple[int, int]:
        courses = server.training.ListCourses(training_pb2.ListCoursesRequest()).courses
        return len(courses), len(server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries)

    before = kept()
    found = create(server.training, FORECAST, only_forecast=True)
    assert (kept(), found.course_id, found.gallery_id) == (before, "", "")
    made = create(server.training, FORECAST)
    assert list(made.forecasts) == list(found.forecasts)
    assert made.manifest_sha256 == found.manifest_sha256
    assert kept() == (before[0] + 1, before[1] + 1)
    forms = {one.form: one for one in made.forecasts}
    assert set(forms) == {form.name for form in made.forms} - {"triage", "own"}
    for one in forms.values():
        assert 0.0 < one.right_low <= one.right <= one.right_high <= 1.0
        assert one.text.startswith("Of 100 answers, people are expected")
    assert forms["practice"].HasField("pixels_auc")
    assert forms["practice"].of_all_pairs  # it has six pairs
    assert not forms["odd"].HasField("pixels_auc")
    assert any(one.warnings for one in forms.values())  # squares have one colour each


def listed(server: Running, **fields: Any) -> list[training_pb2.FormItem]:
    return [one.item for one in server.training.ListFormItems(training_pb2.ListFormItemsRequest(**fields))]


def test_the_items_of_a_course_can_be_looked_at_and_left_out(server: Running, taken: training_pb2.Course) -> None:
    store = store_of(server)
    course = store.course(taken.course_id)
    found = listed(server, course_id=taken.course_id)
    assert {one.item_id for one in found} == set(items_of(course))
    assert [one.form for one in found] == [name for name, form in course.forms.items() for _ in form.items]
    for one in found:
        item = items_of(course)[one.item_id]
        assert one.truth == truth_of(item.key)
        assert [picture.data for picture in one.pictures] == [store.picture(taken.course_id, n) for n in item.photos]
    form = course.plan.blocks[0].forms[0]
    some = listed(server, course_id=taken.course_id, form=form)
    assert [one.item_id for one in some] == [item.item_id for item in course.forms[form].items]
    gone = [one.item_id for one in (some[0], found[-1])]
    made = create(server.training, AGAIN, exclude_items=gone)
    left = items_of(store.course(made.course_id))
    asked = training_pb2.GetCourseRequest(course_id=made.course_id)
    assert list(server.training.GetCourse(asked).made_from.exclude_items) == sorted(gone)
    assert not set(gone) & set(left)
    assert len(left) == len(found)
    assert refusal(partial(listed, server, course_id="0" * 16)) == ("NOT_FOUND", "UNKNOWN_COURSE")
    assert refusal(partial(listed, server, course_id=taken.course_id, form="x"))[1] == "INVALID_FIELD"


def test_an_item_that_no_course_has_is_refused(server: Running) -> None:
    """One that a course was made to leave out is known as long as this course is there."""

    def delete(course: training_pb2.Course) -> None:
        server.training.DeleteCourse(training_pb2.DeleteCourseRequest(course_id=course.course_id))

    before = {item_id for course in store_of(server).courses() for item_id in items_of(course)}
    first = create(server.training, AGAIN, seed=7)
    gone = [next(item_id for item_id in items_of(store_of(server).course(first.course_id)) if item_id not in before)]
    assert refused(server, exclude_items=[*gone, "0" * 16], only_forecast=True) == ("NOT_FOUND", "UNKNOWN_ITEM")
    made = create(server.training, AGAIN, seed=7, exclude_items=gone)
    delete(first)
    again = create(server.training, AGAIN, seed=7, exclude_items=gone, only_forecast=True)
    assert again.manifest_sha256 == made.manifest_sha256
    delete(made)
    assert refused(server, exclude_items=gone) == ("NOT_FOUND", "UNKNOWN_ITEM")


@pytest.mark.parametrize("items", [["0" * 15], ["A" * 16], ["0" * 16] * 10_001])
def test_a_list_that_is_none_of_items_is_refused(server: Running, items: list[str]) -> None:
    assert refused(server, exclude_items=items) == ("INVALID_ARGUMENT", "INVALID_FIELD")


@pytest.mark.parametrize("photos", [["0" * 63], ["A" * 64], ["", "0" * 64], ["0" * 64] * 10_001])
def test_a_list_that_is_none_of_photos_is_refused(server: Running, photos: list[str]) -> None:
    assert refused(server, exclude_photos=photos) == ("INVALID_ARGUMENT", "INVALID_FIELD")
