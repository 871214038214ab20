"""Training withstands attackers, crashes and floods of streams: nothing leaks, blocks, remains or fills the disk."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

from fr_api.v1 import gallery_pb2, training_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import InternalError, StoreFailed, UnknownGallery
from fr_core.gallery.values import GalleryUpdate, GalleryUse
from fr_server.rpc.services.training.course_gallery import gallery_of_course
from fr_server.rpc.services.training.storage import keep_galleries
from fr_training.courses import Course
from fr_training.trials import Session
from support.callers import reason_of
from support.courses import Chance, answer, create, enrol, link_people, next_trial, start, store_of, take
from support.servers import Running, running
from support.training_stores import add_course, begin, open_store, small_course

PLAN = """
format = 1
title = "Squares"
sittings = [
  { name = "all", blocks = [{ id = "lists", exercise = "candidates", size = 3, present = 2, absent = 1 }] },
  { name = "own", blocks = [{ id = "own", exercise = "own_probe", trials = 6, size = 4 }] },
]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which just so many people are linked as the plan needs."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FR_HOME", str(folder))
        link_people(folder / "people", 10)
        yield folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(home / "data") as server:
        yield server


@pytest.fixture(scope="module")
def course(server: Running) -> training_pb2.Course:
    return create(server.training, PLAN)


def test_own_probes_never_come_to_a_dead_end(server: Running, course: training_pb2.Course) -> None:
    code = enrol(server.training, course.course_id).enrolled[0].code
    for sitting in ("all", "own"):
        list(take(server.training, start(server.training, code, sitting), Chance()))
    joined = server.training.JoinCourse(training_pb2.JoinCourseRequest(code=code)).sittings
    assert {one.state for one in joined} == {training_pb2.SESSION_STATE_FINISHED}


def test_a_waiting_probe_is_not_found_by_an_own_probe(server: Running, course: training_pb2.Course) -> None:
    stub = server.training
    code = enrol(stub, course.course_id).enrolled[0].code
    lists, own = start(stub, code), start(stub, code, "own")
    noted = next_trial(stub, lists)
    assert noted is not None
    (probe,) = noted.pictures
    sent = next_trial(stub, own)
    assert sent is not None
    how = Chance(probe=probe.data)
    _, sent = answer(stub, own, sent, how)
    assert sent is not None
    _, sent = answer(stub, own, sent, how)
    assert sent is not None
    found = {one.data for one in sent.pictures}
    assert found
    _, listed = answer(stub, lists, noted, how)
    assert listed is not None
    assert found.isdisjoint(one.data for one in listed.pictures)


def test_a_course_whose_deletion_was_cut_off_can_be_deleted_again(server: Running) -> None:
    made = create(server.training, PLAN, seed=2)
    request = training_pb2.DeleteCourseRequest(course_id=made.course_id)
    delete = partial(server.training.DeleteCourse, request)
    with patch.object(server.app.galleries, "delete", side_effect=StoreFailed("The disk refuses.")):
        assert reason_of(delete) == "STORE_FAILED"
    assert reason_of(delete) == "OK"
    of_course = gallery_pb2.GetGalleryRequest(gallery_id=made.gallery_id)
    assert reason_of(partial(server.gallery.GetGallery, of_course)) == "UNKNOWN_GALLERY"


def test_the_gallery_of_a_course_whose_maker_died_stays(server: Running, course: training_pb2.Course) -> None:
    galleries = server.app.galleries
    soon = datetime.now(UTC) + timedelta(hours=1)
    galleries.update(course.gallery_id, GalleryUpdate(expires=soon))
    keep_galleries(store_of(server), galleries)
    assert galleries.get(course.gallery_id).expires is None


def test_a_gallery_under_the_id_of_a_courses_is_not_taken_for_it(server: Running) -> None:
    made, galleries = create(server.training, PLAN, seed=3), server.app.galleries
    assert gallery_of_course(galleries, made.gallery_id).use is GalleryUse.TRAINING
    galleries.delete(made.gallery_id)
    galleries.create(made.gallery_id, "", NULL_MODEL, 64, None, None, False, GalleryUse.OPERATIONAL)
    with pytest.raises(UnknownGallery):
        gallery_of_course(galleries, made.gallery_id)
    server.training.DeleteCourse(training_pb2.DeleteCourseRequest(course_id=made.course_id))
    assert galleries.get(made.gallery_id).use is GalleryUse.OPERATIONAL, "it is of somebody else"
    galleries.delete(made.gallery_id)


def test_nobody_waits_for_ever_for_a_change_that_stops_as_a_generator_does(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        made = small_course()
        add_course(store, made)
        (session,) = begin(store, made, store.create_cohort(made.course_id, "Squares", 1, 10**9)[1])

        def stopped(course: Course, found: Session) -> tuple[Session, None]:
            raise StopIteration

        with pytest.raises(InternalError, match="change failed"):
            store.change(session.session_id, stopped).result(10)


def test_a_deleted_course_leaves_no_template_on_the_disk(home: Path) -> None:
    folder = home / "gone"
    with running(folder) as server:
        made = create(server.training, PLAN)
        listing = gallery_pb2.ListSubjectsRequest(gallery_id=made.gallery_id)
        subject = server.gallery.ListSubjects(listing).subjects[0]
        before = (folder / "galleries.db").read_bytes() + (folder / "galleries.db-wal").read_bytes()
        assert before.count(subject.subject_id.encode()) > 0
        server.training.DeleteCourse(training_pb2.DeleteCourseRequest(course_id=made.course_id))
        after = b"".join(path.read_bytes() for path in folder.iterdir() if path.name.startswith("galleries.db"))
        assert subject.subject_id.encode() not in after
        assert made.gallery_id.encode() in after  # in the audit alone: of what was deleted it says that, and when
