"""The store of training when things go wrong: a full disk, a death while a course is made, and what deletions leave."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast, overload

import apsw
import pytest

from fr_core.errors import FrError, StorageLow, StoreFailed
from fr_core.storage.log_copier import LogCopier
from fr_training.answers import Answer, Notes
from fr_training.courses import Course
from fr_training.prompts import Step
from fr_training.store.schema import DATABASE_NAME, MAKING
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Locked, Session
from support.counts import NIGHTLY
from support.full_disk import Disk, pieces_left, pieces_of, small_disk
from support.training_stores import (
    DAY_MS,
    NOW_MS,
    add_course,
    answered,
    begin,
    open_store,
    pictures_of,
    shown,
    small_course,
)

COURSE = small_course()
# Trainees: of few the traces are soon sought, of many the rows are moved between pages.
FEW, MANY = 12, 80 if NIGHTLY else 40

LOG_NAME = f"{DATABASE_NAME}-wal"
RESERVE_BYTES = 64 * 2**20  # of a disk of 4 MiB, an eighth


def one_more(_: Course, session: Session) -> tuple[Session, None]:
    return answered(shown(COURSE, session)), None


def filled(store: TrainingStore, trainees: int) -> list[Session]:
    """A course, and a cohort whose trainees answer in turn, so that their rows are moved between pages."""
    add_course(store, COURSE, {"a" * 64: 3})
    _, enrolled = store.create_cohort(COURSE.course_id, "Monday", trainees, DAY_MS)
    sessions = begin(store, COURSE, enrolled)
    drawn = random.Random(1)
    for _ in range(25):
        turn = drawn.choices(sessions, k=2 * trainees)
        for future in [store.change(session.session_id, noted) for session in turn]:
            future.result()
    return sessions


def noted(_: Course, session: Session) -> tuple[Session, None]:
    one = shown(COURSE, session)
    *before, last = one.trials
    text = "n" * random.Random(f"{session.started_ms} {last.ordinal} {session.group}").randrange(1, 900)
    return replace(one, trials=(*before, replace(last, locked=(Locked(Step.NOTE, Answer(Notes(text)), 1, 1),)))), None


def traces(folder: Path, *queries: str) -> set[int]:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        values = [value for sql in queries for row in connection.execute(sql) for value in row]
    return {piece for one in values for piece in pieces_of(one.encode() if isinstance(one, str) else one)}


def of_trainee(trainee_id: str) -> tuple[str, ...]:
    of = f"(SELECT trainee_no FROM trainees WHERE trainee_id = '{trainee_id}')"
    sessions = f"(SELECT session_no FROM sessions WHERE trainee_no = {of})"
    return (
        f"SELECT trainee_id, code_mac, mac FROM trainees WHERE trainee_no = {of}",
        f"SELECT session_mac, sealed FROM sessions WHERE trainee_no = {of}",
        f"SELECT sealed FROM trials WHERE session_no IN {sessions}",
    )


OF_COHORTS = (
    "SELECT cohort_id, wrapped_key, sealed FROM cohorts",
    "SELECT trainee_id, code_mac, mac FROM trainees",
    "SELECT session_mac, sealed FROM sessions",
    "SELECT sealed FROM trials",
)
OF_COURSES = (
    *OF_COHORTS,
    "SELECT wrapped_key, sealed, gallery FROM courses",  # its id, which is nobody's, stays in the audit
    "SELECT sealed FROM pictures",
    "SELECT identity_mac, sealed FROM identities",
    "SELECT photo_mac, sealed FROM probe_keys",
)


def deleted_trainees(folder: Path, trainees: int) -> dict[str, list[int]]:
    with open_store(folder) as store:
        sessions = filled(store, trainees)
        ids = [session.trainee_id for session in random.Random(2).sample(sessions, trainees // 2)]
        wanted = set().union(*(traces(folder, *of_trainee(trainee_id)) for trainee_id in ids))
        assert len(wanted) > 200
        for trainee_id in ids:
            store.delete_trainee(trainee_id)
        return pieces_left(folder, wanted)


def test_a_deleted_trainee_leaves_nothing(tmp_path: Path) -> None:
    assert deleted_trainees(tmp_path / "training", MANY) == {}


def test_control_without_secure_deletion_it_is_in_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    with open_store(folder) as store:
        sessions = filled(store, FEW)
        store._database.writer.execute("PRAGMA secure_delete = OFF")
        cast(LogCopier, store._database.log)._connection.execute("PRAGMA secure_delete = OFF")
        wanted = traces(folder, *of_trainee(sessions[0].trainee_id))
        store.delete_trainee(sessions[0].trainee_id)
        assert DATABASE_NAME in pieces_left(folder, wanted)


@pytest.mark.parametrize("what", ["course", "cohort", "expired"])
def test_deletions_and_purges_leave_nothing(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "training"
    with open_store(folder) as store:
        filled(store, FEW)
        (cohort,) = store.cohorts()
        wanted = traces(folder, *(OF_COURSES if what == "course" else OF_COHORTS))
        assert set(pieces_left(folder, wanted)) & {LOG_NAME, DATABASE_NAME}  # the control: it was there
        if what == "course":
            store.delete_course(COURSE.course_id)
        elif what == "cohort":
            store.delete_cohort(cohort.cohort_id)
        else:
            store._cohorts._clock_ms = lambda: NOW_MS + DAY_MS
            assert store.purge() == 1
        assert pieces_left(folder, wanted) == {}


def test_what_a_dead_process_had_deleted_is_gone_once_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "training"
    with monkeypatch.context() as dying:
        dying.setattr(LogCopier, "scrub", lambda _: True)
        with open_store(folder) as store:
            filled(store, FEW)
            (cohort,) = store.cohorts()
            wanted = traces(folder, *OF_COHORTS)
            store.delete_cohort(cohort.cohort_id)
        assert pieces_left(folder, wanted)
    open_store(folder).close()
    assert pieces_left(folder, wanted) == {}


class Halting(Sequence[bytes]):
    """Pictures that stop coming in the midst, until somebody lets them go on, or fail."""

    def __init__(self, fails: bool = False) -> None:
        self.halted, self.go_on = threading.Event(), threading.Event()
        self._fails = fails

    def __len__(self) -> int:
        return 40

    @overload
    def __getitem__(self, number: int) -> bytes: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[bytes]: ...
    def __getitem__(self, number: int | slice) -> bytes | Sequence[bytes]:
        assert isinstance(number, int)
        if number >= 40:
            raise IndexError
        if number == 30 and self._sums_are_done():
            self.halted.set()
            assert self.go_on.wait(30)
            if self._fails:
                raise OSError("the pictures cannot be read")
        return bytes([number]) * 50_000

    def _sums_are_done(self) -> bool:
        """Return True the second time: the first call is for the sum of the bytes."""
        self._asked = getattr(self, "_asked", 0) + 1
        return self._asked > 1


def adding(store: TrainingStore, pictures: Halting) -> threading.Thread:
    def add() -> None:
        try:
            store.add_course(COURSE, pictures, {}, {}, {})
        except OSError:
            assert pictures._fails

    thread = threading.Thread(target=add)
    thread.start()
    assert pictures.halted.wait(30)
    return thread


def rows_of(store: TrainingStore, table: str) -> int:
    with store._database.reading() as now:
        ((count,),) = now.rows(f"SELECT count(*) FROM {table}")
    return int(count)


def test_a_course_appears_as_a_whole_and_others_write_meanwhile(tmp_path: Path) -> None:
    other = small_course(course_id="0" * 16)
    with open_store(tmp_path / "training") as store:
        add_course(store, other)
        pictures = Halting()
        thread = adding(store, pictures)
        assert rows_of(store, "pictures") > len(pictures_of(other))  # some are written
        assert store.courses() == (other,)
        _, enrolled = store.create_cohort(other.course_id, "", 1, DAY_MS)
        (session,) = begin(store, other, enrolled)
        store.change(session.session_id, one_more).result()
        with open_store(tmp_path / "training") as second:  # and does not take it for what was left
            second.purge()
            assert second.courses() == (other,)
            pictures.go_on.set()
            thread.join()
            assert second.courses() == (COURSE, other)
            assert second.picture(COURSE.course_id, 39) == bytes([39]) * 50_000


def test_a_course_whose_making_fails_leaves_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "training") as store:
        pictures = Halting(fails=True)
        thread = adding(store, pictures)
        pictures.go_on.set()
        thread.join()
        assert (rows_of(store, "courses"), rows_of(store, "pictures")) == (0, 0)


@pytest.mark.parametrize("how", ["open", "purge"])
def test_a_course_whose_maker_died_is_cleared_away(tmp_path: Path, how: str) -> None:
    with open_store(tmp_path / "training") as store:
        add_course(store, COURSE)
        store._writer.run(lambda tx: tx.write("UPDATE courses SET state = ?", MAKING))  # as the dead leave it
        if how == "purge":
            store.purge()
            assert rows_of(store, "pictures") == 0
    with open_store(tmp_path / "training") as store:
        assert (rows_of(store, "courses"), rows_of(store, "pictures")) == (0, 0)


@pytest.fixture(params=["counted", "mounted"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with small_disk(request.param, tmp_path / "disk") as made:
        yield made


def until_refused(do: Callable[[int], object]) -> tuple[int, FrError]:
    for n in range(100_000):
        try:
            do(n)
        except (StorageLow, StoreFailed) as refusal:
            return n, refusal
    raise AssertionError("the disk does not fill up")


def added(store: TrainingStore, number: int) -> None:
    course = small_course(course_id=f"{number:016x}", created_ms=NOW_MS + number)
    store.add_course(course, [bytes([number % 256]) * 20_000] * 10, {}, {}, {})


def require_whole(store: TrainingStore, courses: Sequence[int]) -> None:
    assert [int(course.course_id, 16) for course in store.courses()] == sorted(courses, reverse=True)
    for number in courses:
        for picture in range(10):
            assert store.picture(f"{number:016x}", picture) == bytes([number % 256]) * 20_000


def test_below_the_mark_additions_are_refused_and_deletions_work(disk: Disk, tmp_path: Path) -> None:
    folder = tmp_path / "disk" / "training"
    with open_store(folder, vfs=disk.vfs_name, reserve_bytes=RESERVE_BYTES) as store:
        count, refusal = until_refused(lambda n: added(store, n))
        assert isinstance(refusal, StorageLow)
        assert count > 1
        require_whole(store, range(count))
        store.delete_course(f"{0:016x}")
        require_whole(store, range(1, count))
    with open_store(folder, vfs=disk.vfs_name, reserve_bytes=RESERVE_BYTES) as store:
        disk.make_room()
        added(store, count)
        require_whole(store, range(1, count + 1))


def test_without_a_mark_what_is_refused_is_refused_whole(disk: Disk, tmp_path: Path) -> None:
    folder = tmp_path / "disk" / "training"
    with open_store(folder, vfs=disk.vfs_name, reserve_bytes=-(2**30)) as store:
        add_course(store, COURSE)
        _, enrolled = store.create_cohort(COURSE.course_id, "", 1, DAY_MS)
        (session,) = begin(store, COURSE, enrolled)
        count, refusal = until_refused(lambda n: added(store, n))
        assert isinstance(refusal, StoreFailed)
        changes, refusal = until_refused(lambda _: store.change(session.session_id, one_more).result())
        assert isinstance(refusal, StoreFailed)
        assert len(store.session(session.session_id).trials) == changes
        disk.make_room()
        store.purge()  # with what was left of the last course
        store.change(session.session_id, one_more).result()
        assert len(store.session(session.session_id).trials) == changes + 1
        assert len(store.courses()) == count + 1
        assert rows_of(store, "courses") == count + 1
    with open_store(folder, vfs=disk.vfs_name, reserve_bytes=-(2**30)) as store:
        assert len(store.session(session.session_id).trials) == changes + 1
        assert all(trial.done for trial in store.session(session.session_id).trials)
