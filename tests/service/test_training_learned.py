"""Courses over the API that learn from the answers to others, and leave out what their maker says."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_training.bank.difficulty import updated
from fr_training.courses import Course, Item, Learned
from fr_training.grading.items import learned
from fr_training.sessions.results import results
from fr_training.trials import Result
from support.courses import Chance, create, enrol, link_people, start, store_of, take
from support.servers import Running, refusal_of, running

PLAN = """
format = 1
title = "Squares again"
sittings = [
  { name = "all", blocks = [
    { id = "pre", exercise = "verification", same = 2, different = 2 },
    { id = "odd", exercise = "triad", trials = 1 },
  ] },
]
"""
PEOPLE = 40
TRAINEES = 10  # of each of two cohorts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FR_HOME", str(folder))
        link_people(folder / "people", PEOPLE)
        yield folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(home / "data") as server:
        yield server


@pytest.fixture(scope="module")
def answered(server: Running) -> training_pb2.Course:
    """A course that two cohorts have taken."""
    course = create(server.training, PLAN)
    for cohort in range(2):
        for number, one in enumerate(enrol(server.training, course.course_id, TRAINEES).enrolled):
            how = Chance(random.Random(100 * cohort + number))
            list(take(server.training, start(server.training, one.code), how))
    return course


def taught(server: Running, course_id: str) -> Learned:
    """What the answers to a course teach."""
    store = store_of(server)
    course, rows = store.course(course_id), dict[str, tuple[Result, ...]]()
    for cohort in store.cohorts(course_id):
        for session in store.changes_since(cohort.cohort_id, -1).sessions:
            rows[session.trainee_id] = results(course, session)
    return learned([rows])


def items_of(course: Course) -> dict[str, Item]:
    return {item.item_id: item for form in course.forms.values() for item in form.items}


def refusal(server: Running, **fields: Any) -> tuple[str, str]:
    end = refusal_of(lambda: create(server.training, PLAN, **fields))
    return end.code.name, end.info.reason


def test_a_course_learns_from_all_cohorts_of_another(server: Running, answered: training_pb2.Course) -> None:
    found = taught(server, answered.course_id)
    assert {one.people for one in found.difficulties.values()} == {2 * TRAINEES}
    made = create(server.training, PLAN, learn_from=[answered.course_id, answered.course_id])
    assert list(made.learned_from) == [answered.course_id]
    assert made.quarantined_items == len(found.suspects)
    store = store_of(server)
    old, new = items_of(store.course(answered.course_id)), items_of(store.course(made.course_id))
    assert set(old) - found.suspects == set(old) & set(new)  # the same seed chooses the same
    assert made.learned_items == len(set(old) & set(new)) > 0
    for item_id in set(old) & set(new):
        machine = old[item_id].b
        assert machine is not None
        assert new[item_id].b == updated(machine, *found.difficulties[item_id])
    assert made.manifest_sha256 != answered.manifest_sha256
    got = server.training.GetCourse(training_pb2.GetCourseRequest(course_id=made.course_id)).course
    listed = server.training.ListCourses(training_pb2.ListCoursesRequest(page_size=1)).courses[0]
    assert got == listed == made


def test_courses_that_nobody_answered_teach_nothing(server: Running, answered: training_pb2.Course) -> None:
    empty = create(server.training, PLAN)
    enrol(server.training, empty.course_id, 3)
    made = create(server.training, PLAN, learn_from=[empty.course_id])
    assert (made.learned_items, made.quarantined_items) == (0, 0)
    assert list(made.learned_from) == [empty.course_id]
    assert made.manifest_sha256 == empty.manifest_sha256 == answered.manifest_sha256


def test_what_cannot_be_learned_from_is_refused(server: Running, answered: training_pb2.Course) -> None:
    assert refusal(server, learn_from=[answered.course_id, "0" * 16]) == ("NOT_FOUND", "UNKNOWN_COURSE")
    many = [f"{number:016x}" for number in range(17)]
    assert refusal(server, learn_from=many) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert create(server.training, PLAN).course_id  # the server makes courses as before


def test_photos_that_the_maker_excludes_are_left_out_and_counted(server: Running, home: Path) -> None:
    people = sorted((home / "people").iterdir())
    gone = [hashlib.sha256((person / "1.png").read_bytes()).hexdigest() for person in people[:8]]
    gone.append(hashlib.sha256((people[0] / "2.png").read_bytes()).hexdigest())
    made = create(server.training, PLAN, exclude_photos=[*gone, gone[0], "0" * 64])
    assert made.excluded_photos == 9
    store = store_of(server)
    excluded = store.course(made.course_id).excluded
    assert (excluded["EXCLUDED"], excluded["NO_PHOTO_LEFT"]) == (9, 1)
    assert all(not store.probe_truth(made.course_id, sha256).known for sha256 in gone)
    assert create(server.training, PLAN).excluded_photos == 0
    everybody = [hashlib.sha256(photo.read_bytes()).hexdigest() for person in people[:35] for photo in person.iterdir()]
    assert refusal(server, exclude_photos=everybody) == ("FAILED_PRECONDITION", "TOO_FEW_PEOPLE")


@pytest.mark.parametrize("photos", [["0" * 63], ["A" * 64], ["", "0" * 64], ["0" * 64] * 10_001])
def test_a_list_that_is_none_of_photos_is_refused(server: Running, photos: list[str]) -> None:
    assert refusal(server, exclude_photos=photos) == ("INVALID_ARGUMENT", "INVALID_FIELD")
