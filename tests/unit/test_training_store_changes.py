"""What the store of training tells of a cohort that changes, and what a process remembers of what was deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fr_core.storage.database import Database
from fr_core.storage.statements import Reading
from fr_training.courses import Course
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort, NewTrainee
from fr_training.trials import Session
from support.training_stores import DAY_MS, NOW_MS, Clock, add_course, begin, open_store, shown, small_course

COURSE = small_course()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TrainingStore]:
    with open_store(tmp_path / "training") as store:
        add_course(store, COURSE)
        yield store


def enrol(store: TrainingStore, trainees: int = 3) -> tuple[Cohort, tuple[NewTrainee, ...]]:
    return store.create_cohort(COURSE.course_id, "Monday", trainees, DAY_MS)


def show(_: Course, session: Session) -> tuple[Session, None]:
    return shown(COURSE, session), None


def test_the_version_of_a_cohort_never_falls(store: TrainingStore) -> None:
    cohort, enrolled = enrol(store)
    seen = [store.cohort_version(cohort.cohort_id)]

    def grown() -> None:
        seen.append(store.cohort_version(cohort.cohort_id))
        assert seen[-1] > seen[-2]

    begun = begin(store, COURSE, enrolled)
    grown()
    store.change(begun[-1].session_id, show).result()  # the last change is of who is deleted next
    grown()
    store.delete_trainee(enrolled[-1].trainee_id)
    grown()
    store.add_trainees(cohort.cohort_id, 1)
    grown()
    for trainee in store.trainees(cohort.cohort_id):
        store.delete_trainee(trainee.trainee_id)
        grown()
    other, _ = enrol(store)
    store.delete_trainee(store.trainees(other.cohort_id)[0].trainee_id)
    assert store.cohort_version(cohort.cohort_id) == seen[-1]  # that was another cohort


def test_changes_tell_who_is_new_and_not_who_was_deleted(store: TrainingStore) -> None:
    cohort, enrolled = enrol(store)
    first = store.changes_since(cohort.cohort_id, -1)
    assert first.trainees == store.trainees(cohort.cohort_id)
    assert (first.cohort, first.course, first.sessions) == (cohort, COURSE, ())
    (begun,) = begin(store, COURSE, enrolled[:1])
    (new,) = store.add_trainees(cohort.cohort_id, 1)
    second = store.changes_since(cohort.cohort_id, first.mark)
    assert second.sessions == (begun,)
    assert [one.trainee_id for one in second.trainees] == [new.trainee_id]
    assert second.cohort.trainees == 4
    store.delete_trainee(enrolled[0].trainee_id)
    third = store.changes_since(cohort.cohort_id, second.mark)
    assert (third.trainees, third.sessions) == ((), ())
    other, strangers = enrol(store)
    (stranger,) = begin(store, COURSE, strangers[:1])
    store.change(stranger.session_id, show).result()
    assert store.changes_since(cohort.cohort_id, third.mark).sessions == ()
    assert store.changes_since(other.cohort_id, -1).sessions == (shown(COURSE, stranger),)
    assert third.mark == store.cohort_version(cohort.cohort_id) > second.mark
    assert third.cohort.trainees == 3


@contextmanager
def after_each_look(happens: Callable[[], None]) -> Iterator[list[int]]:
    """Have something happen after each look of this thread at a database; gives a list of those looks."""
    here, looks, reading = threading.get_ident(), list[int](), Database.reading

    @contextmanager
    def looking(database: Database) -> Iterator[Reading]:
        with reading(database) as now:
            yield now
        if threading.get_ident() == here and not busy:
            looks.append(len(looks))
            busy.append(1)
            happens()
            busy.clear()

    busy: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "reading", looking)
        yield looks


def test_changes_are_of_one_moment(store: TrainingStore) -> None:
    """Whoever enrols and begins while they are read is in both, or in neither."""
    cohort, _ = enrol(store)

    def happens() -> None:
        begin(store, COURSE, store.add_trainees(cohort.cohort_id, 1))

    with after_each_look(happens) as looks:
        for _ in range(3):
            found = store.changes_since(cohort.cohort_id, -1)
            assert {one.trainee_id for one in found.sessions} <= {one.trainee_id for one in found.trainees}
            assert len(found.trainees) == found.cohort.trainees
            later = store.changes_since(cohort.cohort_id, found.mark)
            assert not {one.trainee_id for one in later.trainees} & {one.trainee_id for one in found.trainees}
    assert len(looks) == 6


def held(store: TrainingStore) -> tuple[set[int], set[int]]:
    """Numbers of the courses and of the cohorts of which something is remembered."""
    return set(store._courses._known._values), set(store._cohorts.keys._values)


def test_nothing_of_a_deleted_course_or_cohort_is_remembered(store: TrainingStore) -> None:
    other = small_course(course_id="0" * 16)
    add_course(store, other)
    made = [enrol(store)[0] for _ in range(2)]
    kept, _ = store.create_cohort(other.course_id, "kept", 1, DAY_MS)
    for cohort in (*made, kept):
        store.cohort(cohort.cohort_id)
        store.changes_since(cohort.cohort_id, -1)
    assert held(store) == ({1, 2}, {1, 2, 3})
    store.delete_cohort(made[0].cohort_id)
    assert held(store) == ({1, 2}, {2, 3})
    store.picture(COURSE.course_id, 0)
    store.delete_course(COURSE.course_id)
    assert held(store) == ({2}, {3})
    assert store.remembered_picture(COURSE.course_id, 0) is None


def test_a_cohort_whose_time_is_over_takes_its_key_along(tmp_path: Path) -> None:
    clock = Clock()
    with open_store(tmp_path / "training", clock) as store:
        add_course(store, COURSE)
        for days in (1, 3):
            cohort, _ = store.create_cohort(COURSE.course_id, "", 1, days * DAY_MS)
            store.cohort(cohort.cohort_id)
        clock.now_ms = NOW_MS + 2 * DAY_MS
        assert store._cohorts.expire() == 1
        assert held(store)[1] == {2}
        assert store.purge() == 0
        assert held(store)[1] == {2}


@pytest.mark.parametrize("what", ["cohort", "course"])
def test_a_purge_forgets_what_another_process_deleted(tmp_path: Path, store: TrainingStore, what: str) -> None:
    kept = small_course(course_id="0" * 16)
    add_course(store, kept)
    cohort, _ = enrol(store)
    staying, _ = store.create_cohort(kept.course_id, "", 1, DAY_MS)
    for one in (cohort, staying):
        store.cohort(one.cohort_id)
        store.changes_since(one.cohort_id, -1)
    for course in (COURSE, kept):
        store.picture(course.course_id, 0)
    with open_store(tmp_path / "training") as other:
        if what == "cohort":
            other.delete_cohort(cohort.cohort_id)
        else:
            other.delete_course(COURSE.course_id)
    assert held(store) == ({1, 2}, {1, 2})
    assert store.purge() == 0
    assert held(store) == ({1, 2} if what == "cohort" else {2}, {2})
    assert (store.remembered_picture(COURSE.course_id, 0) is None) == (what == "course")
    assert store.remembered_picture(kept.course_id, 0) is not None


def test_who_reads_while_it_is_deleted_brings_nothing_back(store: TrainingStore) -> None:
    cohort, _ = enrol(store)
    reading, deleted = threading.Event(), threading.Event()

    def read() -> None:
        with store._database.reading() as now:
            now.rows("SELECT count(*) FROM courses")  # from here on it sees what was there
            reading.set()
            assert deleted.wait(10)
            course = store._courses.known(now, COURSE.course_id)
            assert course.course == COURSE
            store._cohorts.key(now, store._cohorts.number(now, cohort.cohort_id))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fr_core.storage.log_copier._SCRUB_S", 0.0)  # which waits for those who read
        thread = threading.Thread(target=read)
        thread.start()
        assert reading.wait(10)
        store.delete_course(COURSE.course_id)
        deleted.set()
        thread.join(10)
    assert held(store) == (set(), set())


def test_a_picture_that_is_read_while_its_course_is_deleted_is_forgotten(store: TrainingStore) -> None:
    def delete() -> None:
        store.delete_course(COURSE.course_id)

    with after_each_look(delete):
        assert store.picture(COURSE.course_id, 0)
    assert store.remembered_picture(COURSE.course_id, 0) is None
