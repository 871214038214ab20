"""The front door of the store of training."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit_table import audit_keys, auditing, require_recent_audit
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_training.courses import Course
from fr_training.store.clearing import Clearing
from fr_training.store.cohorts import Cohorts
from fr_training.store.courses import Courses
from fr_training.store.schema import SCHEMA
from fr_training.store.sessions import Sessions
from fr_training.store.values import Changes, Cohort, NewTrainee, ProbeTruth, Trainee
from fr_training.store.writer import Writer
from fr_training.trials import Session

R = TypeVar("R")


class TrainingStore:
    """Courses, cohorts, trainees, sessions and answers, durable and encrypted; for several threads and processes.

    Every method blocks, `change` excepted. Whatever has returned is durable, and the audit says who asked for it, see
    `fr_core.storage.audit.attribution`. A cohort whose time is over, or whose
    course was deleted, is there for nobody, whether or not `purge` has deleted it.

    Raises of every method:
        ShuttingDown: the store is closed.
        StoreFailed: the disk refuses; nothing of the call was kept, unless the message doubts that.
        StoreCorrupt: what the call needs is damaged.
        StorageLow: of methods that add something: the disk has too little room; nothing of the call was kept.
    """

    def __init__(
        self,
        database: Database,
        clock_ms: Callable[[], int],
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.broken: Future[None] = Future()
        self._database = database
        self._clock_ms = clock_ms
        require_recent_audit(database)
        self._audit_keys = audit_keys(database.seals)
        self._writer = Writer(database, self.broken, AuditTable(database.writer, self._audit_keys, clock_ms))
        self._clearing = Clearing(database, self._writer)
        self._courses = Courses(database, self._writer, self._clearing)
        self._cohorts = Cohorts(database, self._writer, self._clearing, self._courses, clock_ms, token_bytes)
        self._sessions = Sessions(database, self._writer, self._courses, self._cohorts, clock_ms)

    @classmethod
    def open(
        cls,
        folder: Path,
        key: KeyEncryptionKey,
        clock_ms: Callable[[], int],
        reserve_bytes: int = 0,
        *,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        vfs: str = "",
    ) -> TrainingStore:
        """Open the store of a folder, made where it is not there, and clear away what processes that died have left.

        `broken` ends with an `InternalError` where the thread that writes dies; the process must then be ended.

        Args:
            folder: for the store alone; made with mode 0700, files get 0600.
            key: wraps the keys of the store; a new store is made under it.
            clock_ms: milliseconds since 1970, UTC.
            reserve_bytes: what must stay free on the disk for deletions to go on; 1/8 of the disk at most.
            token_bytes: returns so many random bytes, for codes and pseudonyms.
            vfs: SQLite's layer to the disk, by name; "" = its own.

        Raises:
            StoreNewer: a later version wrote it; nothing was changed.
            StoreInUse: it is of an older version, and another process has it open; nothing was changed.
            WrongKey: it is under another key; nothing was changed.
            StoreCorrupt: it is damaged, or no training store; nothing was changed.
            StoreFailed: the disk refuses.
        """
        database = Database(folder, SCHEMA, key, reserve_bytes, vfs)
        try:
            store = cls(database, clock_ms, token_bytes)
        except BaseException:
            database.close()
            raise
        try:
            store._clearing.clear_left()
        except BaseException:
            store.close()
            raise
        return store

    def put_under(self, new_key: KeyEncryptionKey) -> None:
        """Put the store under another key; what the keys of courses and cohorts encrypt stays.

        Raises:
            StoreInUse: another process has the store open; nothing was changed.
            KeyUnavailable: it is the key that the store is under; nothing was changed.
        """
        self._database.rotate(new_key, self._writer.run)
        self._clearing.scrub(force=True)  # the keys as they were wrapped before

    @contextmanager
    def auditing(self) -> Iterator[AuditTable]:
        """Read the audit "training" as of one moment, within the block; nothing can be appended."""
        with auditing(self._database, self._audit_keys, self._clock_ms) as audit:
            yield audit

    def prune_audit(self, after: int, upto: int, last: bool) -> bool:
        """Delete the oldest records of the audit, see `AuditTable.prune`; `last` also removes them from the log."""
        pruned = self._writer.run(lambda tx: tx.audit.prune(after, upto))
        if last:
            self._database.scrub()
        return pruned

    def close(self) -> None:
        """Finish the changes that wait, and let the store go; harmless when done twice."""
        self._writer.close()
        self._database.close()

    def __enter__(self) -> TrainingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_course(
        self,
        course: Course,
        pictures: Sequence[bytes],
        gallery: Mapping[int, int],
        probe_keys: Mapping[str, int | None],
        identities: Mapping[str, int],
    ) -> None:
        """Keep a course. It is there as a whole or not at all, and others write while it is added.

        Args:
            course: is new.
            pictures: by the numbers that its items have.
            gallery: person number -> picture number.
            probe_keys: sha256 of a photo's file, 64 hexadecimal digits -> number of the person whom it shows; None for
                nobody of the gallery.
            identities: name or number in the data set -> person number; kept as a keyed hash alone.

        Raises:
            ValueError: there is a course of that id, or it holds what cannot be kept.
        """
        self._courses.add(course, pictures, gallery, probe_keys, identities)

    def course(self, course_id: str) -> Course:
        """The course of an id; raises `UnknownCourse`."""
        return self._courses.get(course_id)

    def courses(self, before: tuple[int, str] | None = None, size: int = 100) -> tuple[Course, ...]:
        """A page of courses, the newest first.

        Args:
            before: `created_ms` and id of the last of the page before; None for the first page.
            size: at most.
        """
        return self._courses.page(before, size)

    def delete_course(self, course_id: str) -> Course:
        """Delete a course with its pictures, cohorts, sessions and answers, and every trace; returns what it was.

        Raises:
            UnknownCourse: there is none of that id.
        """
        course = self._courses.delete(course_id, self._cohorts.forget)
        self._sessions.forget_deleted()
        return course

    def picture(self, course_id: str, number: int) -> bytes:
        """A picture of a course. One that is remembered is served also just after another process deleted the course.

        Raises:
            UnknownCourse: there is none of that id.
            IndexError: it has no picture of that number.
        """
        return self._courses.picture(course_id, number)

    def remembered_picture(self, course_id: str, number: int) -> bytes | None:
        """A picture that was read before and is still in memory, None where it is not; never waits for the disk."""
        return self._courses.remembered_picture(course_id, number)

    def gallery(self, course_id: str) -> Mapping[int, int]:
        """Person number -> picture number, as they were given; raises `UnknownCourse`."""
        return self._courses.gallery(course_id)

    def set_probe_key(self, course_id: str, sha256: str, identity: str | None) -> None:
        """Say whom a photo shows; replaces what was said before.

        Args:
            course_id: of the course.
            sha256: of the photo's file, 64 hexadecimal digits.
            identity: name or number in the data set; None for nobody of the gallery.

        Raises:
            UnknownCourse: there is none of that id.
            InvalidField: the course knows nobody of that identity.
        """
        self._courses.set_probe_key(course_id, sha256, identity)

    def probe_truth(self, course_id: str, sha256: str) -> ProbeTruth:
        """Whom a photo shows, by the sha256 of its file; raises `UnknownCourse`."""
        return self._courses.probe_truth(course_id, sha256)

    def create_cohort(
        self, course_id: str, display_name: str, trainees: int, retention_ms: int
    ) -> tuple[Cohort, tuple[NewTrainee, ...]]:
        """Make a cohort.

        Args:
            course_id: of the course that it takes.
            display_name: for people.
            trainees: from 1 to `cohorts.MAX_TRAINEES`.
            retention_ms: after which it is there for nobody.

        Returns:
            The cohort, and its trainees with their codes, in the order of their numbers.

        Raises:
            UnknownCourse: there is none of that id.
            InvalidField: of the number of trainees.
        """
        return self._cohorts.create(course_id, display_name, trainees, retention_ms)

    def add_trainees(self, cohort_id: str, trainees: int) -> tuple[NewTrainee, ...]:
        """Enrol so many more; raises `UnknownCohort`, and `InvalidField` as `create_cohort`."""
        return self._cohorts.add_trainees(cohort_id, trainees)

    def cohort(self, cohort_id: str) -> Cohort:
        """The cohort of an id; raises `UnknownCohort`."""
        return self._cohorts.get(cohort_id)

    def cohorts(
        self, course_id: str | None = None, before: tuple[int, str] | None = None, size: int = 100
    ) -> tuple[Cohort, ...]:
        """A page of cohorts, the newest first.

        Args:
            course_id: of this course alone; None for all.
            before: `created_ms` and id of the last of the page before; None for the first page.
            size: at most.

        Raises:
            UnknownCourse: there is none of that id.
        """
        return self._cohorts.page(course_id, before, size)

    def trainees(self, cohort_id: str) -> tuple[Trainee, ...]:
        """All trainees of a cohort, in the order of their numbers; raises `UnknownCohort`."""
        return self._cohorts.trainees(cohort_id)

    def trainee(self, trainee_id: str) -> Trainee:
        """The trainee of a pseudonym; raises `UnknownTrainee`."""
        return self._cohorts.trainee(trainee_id)

    def trainee_of_code(self, code: str) -> Trainee:
        """The trainee of a code, however it was typed, see `codes`; raises `UnknownTrainee`."""
        return self._cohorts.trainee_of_code(code)

    def delete_cohort(self, cohort_id: str) -> None:
        """Delete a cohort with its trainees, sessions and answers, and every trace; raises `UnknownCohort`."""
        self._cohorts.delete(cohort_id)
        self._sessions.forget_deleted()

    def delete_trainee(self, trainee_id: str) -> None:
        """Delete a trainee with all sessions and answers, and every trace; raises `UnknownTrainee`."""
        self._cohorts.delete_trainee(trainee_id)
        self._sessions.forget_deleted()

    def purge(self) -> int:
        """Delete cohorts whose time is over, and what was left by processes that died; also where that failed before.

        Returns:
            How many cohorts of those were deleted.
        """
        expired = self._cohorts.expire()
        self._clearing.clear_left()
        self._courses.forget_deleted()
        self._cohorts.forget_deleted()
        self._sessions.forget_deleted()
        return expired

    def start_session(self, trainee: Trainee, sitting: str, make: Callable[[], Session]) -> Session:
        """Return the session of a trainee in a sitting, which is made where there is none; never two.

        Args:
            trainee: whose.
            sitting: its name.
            make: called at most once, on the thread that writes: it must be quick.

        Raises:
            UnknownTrainee: there is none of that id any more.
            ValueError: what was made is of another trainee, sitting or course.
            FrError: what `make` raises.
        """
        return self._sessions.start(trainee, sitting, make)

    def change(self, session_id: str, change: Callable[[Course, Session], tuple[Session, R]]) -> Future[R]:
        """Change a session; returns at once.

        Args:
            session_id: of the session.
            change: is given the course and the session as it is, and returns it as it is to be, with a result. Called
                on the thread that writes, so that it must be quick. Where it returns the very same session, nothing
                is written; of the trials, only those that differ are.

        Returns:
            The result, once the change is durable. Or:
                UnknownSession: there is none of that id.
                ValueError: the change makes another session, or takes back a trial.
                FrError: what `change` raises; nothing of it was kept.
        """
        return self._sessions.change(session_id, change)

    def session(self, session_id: str) -> Session:
        """The session of an id; raises `UnknownSession`."""
        return self._sessions.get(session_id)

    def sessions_of(self, trainee_id: str) -> tuple[Session, ...]:
        """All sessions of a trainee, in the order in which they were begun; raises `UnknownTrainee`."""
        return self._sessions.of_trainee(trainee_id)

    def changes_since(self, cohort_id: str, mark: int) -> Changes:
        """A cohort, with its sessions that are new or have changed and its trainees who are new: all as of one moment.

        Who was deleted is in no changes, and nothing else tells of it: the version of the cohort grows, that is all.

        Args:
            cohort_id: of the cohort.
            mark: of the changes that were told last; -1 for all trainees and sessions.

        Raises:
            UnknownCohort: there is none of that id.
        """
        return self._sessions.since(cohort_id, mark)

    def cohort_version(self, cohort_id: str) -> int:
        """A number that grows with each change of a session of a cohort, and with who is in it; it never falls; quick.

        Raises:
            UnknownCohort: there is none of that id.
        """
        return self._sessions.cohort_version(cohort_id)
