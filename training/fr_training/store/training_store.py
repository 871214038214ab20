"""Keeps courses, cohorts, trainees, sessions and answers, durable and encrypted, with their audit."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.protocol import Database
from fr_core.storage.store import SharedStore
from fr_training.courses import Course
from fr_training.errors import UnknownCohort, UnknownCourse
from fr_training.store.cohorts import Cohorts
from fr_training.store.courses import Courses
from fr_training.store.schema import GONE, MAKING, READY, SCHEMA
from fr_training.store.sessions import Sessions
from fr_training.store.sittings import Releases, Sittings
from fr_training.store.transaction import Transaction
from fr_training.trials import Session

# How many trials are deleted in one transaction, and how many pictures, of several pages each.
_TRIALS = 500
_PICTURES = 32

# Of a cohort that is gone, then of a course: each statement deletes some rows; the next one follows when none is left.
# They delete by keys that a subquery finds, because neither SQLite nor PostgreSQL has a DELETE with a LIMIT.
_OF_COHORT = (
    f"""DELETE FROM trials WHERE (session_no, ordinal) IN (
        SELECT t.session_no, t.ordinal FROM sessions s JOIN trials t ON t.session_no = s.session_no
        WHERE s.cohort_no = ? LIMIT {_TRIALS})""",
    f"""DELETE FROM sessions WHERE session_no IN (
        SELECT session_no FROM sessions WHERE cohort_no = ? LIMIT {_TRIALS})""",
    f"""DELETE FROM trainees WHERE trainee_no IN (
        SELECT trainee_no FROM trainees WHERE cohort_no = ? LIMIT {_TRIALS})""",
    f"""DELETE FROM releases WHERE release_no IN (
        SELECT release_no FROM releases WHERE cohort_no = ? LIMIT {_TRIALS})""",
    "DELETE FROM cohorts WHERE cohort_no = ?",
)
_OF_COURSE = (
    f"""DELETE FROM pictures WHERE (course_no, number) IN (
        SELECT course_no, number FROM pictures WHERE course_no = ? LIMIT {_PICTURES})""",
    f"""DELETE FROM probe_keys WHERE (course_no, photo_mac) IN (
        SELECT course_no, photo_mac FROM probe_keys WHERE course_no = ? LIMIT {_TRIALS})""",
    f"""DELETE FROM identities WHERE (course_no, identity_mac) IN (
        SELECT course_no, identity_mac FROM identities WHERE course_no = ? LIMIT {_TRIALS})""",
    "DELETE FROM courses WHERE course_no = ?",
)
_ANY_COHORT = "SELECT cohort_no FROM cohorts WHERE state = ? LIMIT 1"
_ANY_COURSE = "SELECT course_no FROM courses WHERE state = ? LIMIT 1"


def clear_some(tx: Transaction) -> bool:
    """Delete some rows of what is gone; returns False where nothing is left."""
    for any_sql, statements in ((_ANY_COHORT, _OF_COHORT), (_ANY_COURSE, _OF_COURSE)):
        row = tx.row(any_sql, GONE)
        if row is not None:
            return any(tx.write(sql, row[0]) for sql in statements)
    return False


R = TypeVar("R")


class TrainingStore(SharedStore[Transaction]):
    """Courses, cohorts, trainees, sessions and answers, durable and encrypted; for several threads and processes.

    Every method blocks, `change` excepted. A change that has returned is durable, and the audit says who asked
    for it, see `fr_core.storage.audit.attribution`. A cohort whose time is over, or whose course was deleted, is there
    for nobody, whether or not `purge` has deleted it.

    Raises of every method:
        ShuttingDown: the store is closed.
        StoreFailed: the disk refuses; nothing of the call was kept, unless the message doubts that.
        StoreCorrupt: what the call needs is damaged.
        StorageLow: of methods that add something: the disk has too little room; nothing of the call was kept.
    """

    SCHEMA = SCHEMA

    def __init__(
        self,
        database: Database,
        clock_ms: Callable[[], int],
        *,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Take over an open database, see `open`; `token_bytes` returns so many random bytes, for codes and ids."""
        super().__init__(database, Transaction, clear_some)
        self._courses = Courses(database, self._writer, self._clearing)
        self._cohorts = Cohorts(database, self._writer, self._clearing, self._courses, clock_ms, token_bytes)
        self._sessions = Sessions(database, self._writer, self._courses, self._cohorts, clock_ms)
        self._sittings = Sittings(self._writer, self._courses, self._cohorts, self._sessions, clock_ms)
        self._releases = Releases(database, self._writer, self._cohorts, clock_ms)
        # These methods are those of the rooms, where each says what it does.
        self.add_course = self._courses.add
        self.course = self._courses.get
        self.courses = self._courses.page
        self.picture = self._courses.picture
        self.remembered_picture = self._courses.remembered_picture
        self.gallery = self._courses.gallery
        self.set_probe_key = self._courses.set_probe_key
        self.probe_truth = self._courses.probe_truth
        self.create_cohort = self._cohorts.create
        self.add_trainees = self._cohorts.add_trainees
        self.join = self._cohorts.join
        self.cohort = self._cohorts.get
        self.cohorts = self._cohorts.page
        self.trainees = self._cohorts.trainees
        self.trainee = self._cohorts.trainee
        self.trainee_of_code = self._cohorts.trainee_of_code
        self.start_session = self._sessions.start
        self.session = self._sessions.get
        self.sessions_of = self._sessions.of_trainee
        self.changes_since = self._sessions.since
        self.set_closed = self._sittings.set_closed
        self.extend = self._sittings.extend
        self.release = self._releases.add
        self.releases = self._releases.of_cohort

    def change(self, session_id: str, change: Callable[[Course, Session], tuple[Session, R]]) -> Future[R]:
        """Change a session; returns at once, see `Sessions.change`."""
        return self._sessions.change(session_id, change)

    def cohort_version(self, cohort_id: str) -> int:
        """A number that grows with each change of a cohort, see `Sessions.cohort_version`."""
        return self._sessions.cohort_version(cohort_id)

    def delete_course(self, course_id: str) -> Course:
        """Delete a course with its pictures, cohorts, sessions and answers, and every trace; raises `UnknownCourse`."""
        course = self._courses.delete(course_id, self._cohorts.keys.delete)
        self._sessions.forget_deleted()
        return course

    def delete_cohort(self, cohort_id: str) -> None:
        """Delete a cohort with its trainees, sessions and answers, and every trace; raises `UnknownCohort`."""
        self._cohorts.delete(cohort_id)
        self._sessions.forget_deleted()

    def delete_trainee(self, trainee_id: str) -> None:
        """Delete a trainee with all sessions and answers, and every trace; raises `UnknownTrainee`."""
        self._cohorts.delete_trainee(trainee_id)
        self._sessions.forget_deleted()

    def purge(self) -> int:
        """Delete cohorts whose time is over, and return their number, and what processes that died have left."""
        expired = self._cohorts.expire()
        self._clear_left()
        self._courses.forget_deleted()
        self._cohorts.forget_deleted()
        self._sessions.forget_deleted()
        return expired

    def _clear_left(self) -> None:
        """Delete what processes that died have left: courses that they were making, and rows they were deleting."""
        with self._database.building(wait=False) as nobody_builds:
            if nobody_builds:
                self._writer.run(lambda tx: tx.write("UPDATE courses SET state = ? WHERE state = ?", GONE, MAKING))
        self._clearing.clear()


def require_sound(database: Database) -> None:
    """Open every course, picture, cohort, trainee, session and answer that was not deleted, in a copy, which is closed.

    Raises `StoreCorrupt` where one was altered, or belongs to none that exists; the audit is not checked.
    """
    # By this clock a cohort whose time is over is checked like the others.
    with TrainingStore(database, lambda: -(2**63)) as store:
        try:
            for course_id in _ids(database, "course_id", "courses"):
                store._courses.require_sound(course_id)
            for cohort_id in _ids(database, "cohort_id", "cohorts"):
                store.changes_since(cohort_id, -1)
                store.releases(cohort_id)
        except (UnknownCohort, UnknownCourse):
            raise StoreCorrupt(message("error.store.course_gone"), check="courses") from None


def _ids(database: Database, column: str, table: str) -> list[str]:
    with database.reading() as now:
        return [found for (found,) in now.rows(f"SELECT {column} FROM {table} WHERE state = {READY}")]
