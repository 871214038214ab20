"""Keeps sessions; a change reads and writes only the trials that it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import starmap
from operator import is_
from typing import TypeVar

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.protocol import Database, Row, Statements
from fr_core.storage.vault import DataKey
from fr_core.storage.writer import Writer
from fr_training.courses import Course
from fr_training.errors import SittingClosed, UnknownSession, UnknownTrainee
from fr_training.store.caches import Remembered
from fr_training.store.caches import Sessions as Cache
from fr_training.store.codec import IDENTITY, head_of, pack_session, pack_trial, unpack_session, unpack_trial
from fr_training.store.cohorts import Cohorts
from fr_training.store.courses import Courses
from fr_training.store.schema import READY, SCHEMA, bound_trial
from fr_training.store.transaction import Transaction, of_session
from fr_training.store.values import Changes, Trainee
from fr_training.trials import Session, Trial

R = TypeVar("R")

# What a change takes of the disk at most, in the database and in the log.
_CHANGE_BYTES = 32 * 1024

_SESSIONS = """
SELECT s.session_no, s.cohort_no, c.course_no, s.trainee_no, s.sitting, s.session_mac, s.version, s.trials
FROM sessions s JOIN cohorts c ON c.cohort_no = s.cohort_no
"""
_BY_MAC = f"{_SESSIONS} WHERE s.session_mac = ? AND c.state = {READY} AND c.expires_ms > ?"
_OF_SITTING = f"{_SESSIONS} WHERE s.trainee_no = ? AND s.sitting = ?"
_OF_TRAINEE = f"{_SESSIONS} WHERE s.trainee_no = ? ORDER BY s.session_no"
_OF_COHORT = f"{_SESSIONS} WHERE s.cohort_no = ? AND s.version > ? ORDER BY s.session_no"
_TRAINEE = f"""
SELECT t.trainee_no, t.cohort_no, c.course_no FROM trainees t JOIN cohorts c ON c.cohort_no = t.cohort_no
WHERE t.trainee_id = ? AND c.state = {READY} AND c.expires_ms > ?
"""
_INSERT = """
INSERT INTO sessions (cohort_no, trainee_no, sitting, session_mac, version, trials, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING session_no
"""
_UPDATE = "UPDATE sessions SET version = ?, trials = ? WHERE session_no = ?"
_UPDATE_HEAD = "UPDATE sessions SET sealed = ? WHERE session_no = ?"
_PUT_TRIAL = """
INSERT INTO trials (session_no, ordinal, version, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (session_no, ordinal) DO UPDATE SET version = excluded.version, sealed = excluded.sealed
"""
_VERSIONS = """
SELECT c.version, (SELECT coalesce(max(s.version), 0) FROM sessions s WHERE s.cohort_no = c.cohort_no)
FROM cohorts c WHERE c.cohort_no = ?
"""
_TRIALS = "SELECT ordinal, sealed FROM trials WHERE session_no = ? AND version > ? ORDER BY ordinal"


@dataclass(eq=False)
class Sessions:
    """Sessions and answers, as a room of `TrainingStore`; the keys of cohorts encrypt them."""

    _database: Database
    _writer: Writer[Transaction]
    _courses: Courses
    _cohorts: Cohorts
    _clock_ms: Callable[[], int]
    _cache: Cache = field(default_factory=Cache)

    def start(self, trainee: Trainee, sitting: str, make: Callable[[], Session]) -> Session:
        """Return the session of a trainee in a sitting, which is made where there is none; never two.

        `make` is called at most once, on the thread that writes: it must be quick. Raises what it raises,
        `UnknownTrainee`, `SittingClosed` where there is none yet, and ValueError where it makes a session of another
        trainee, sitting or course.
        """
        by = current_attribution()

        def start(tx: Transaction) -> Session:
            trainee_no, cohort_no, course_no = self.numbers_of(tx, trainee.trainee_id)
            there = tx.row(_OF_SITTING, trainee_no, sitting)
            if there is not None:
                return self._current(tx, there)
            if sitting in self._cohorts.closed(tx, cohort_no):
                raise _closed()
            session = make()
            course = self._courses.of_number(tx, course_no).course
            made = (session.trainee_id, session.sitting, session.course_id)
            if made != (trainee.trainee_id, sitting, course.course_id):
                raise ValueError("the session is of another trainee, sitting or course")
            tx.require_room(_CHANGE_BYTES)
            mac, version = tx.vault.mac("session", (session.session_id,)), tx.version()
            session_no = tx.number(_INSERT, cohort_no, trainee_no, sitting, mac, version, 0, b"")
            key = self._cohorts.key(tx, cohort_no)
            bound_to = _bound(session_no, cohort_no, trainee_no, sitting, mac)
            tx.write(_UPDATE_HEAD, key.seal(pack_session(session), bound_to), session_no)
            self._put_trials(tx, key, session_no, session.trials)
            tx.write(_UPDATE, version, len(session.trials), session_no)
            self._remember(tx, session_no, session)
            tx.record(by, "training.start_session", course=session.course_id, trainee=session.trainee_id)
            return session

        return self._writer.run(start)

    def change(self, session_id: str, change: Callable[[Course, Session], tuple[Session, R]]) -> Future[R]:
        """Change a session; returns at once.

        Args:
            change: is given the course and the session as it is, and returns it as it is to be, with a result. Called
                on the thread that writes, so that it must be quick. Where it returns the very same session, nothing is
                written; of the trials, only those that differ are.

        Returns:
            The result, once the change is durable. Or:
                UnknownSession: there is none of that id.
                SittingClosed: the sitting is closed, so that a session in it can only end.
                ValueError: the change makes another session, or takes back a trial.
                FrError: what `change` raises; nothing of it was kept.
        """
        by = current_attribution()

        def run(tx: Transaction) -> R:
            row = self._found(tx, session_id)
            session = self._current(tx, row)
            course = self._courses.of_number(tx, row[2]).course
            if session.course_id != course.course_id:
                raise StoreCorrupt(message("error.store.other_course"), check="course")
            changed, result = change(course, session)
            if changed is not session:
                if changed.finished_ms is None and session.sitting in self._cohorts.closed(tx, row[1]):
                    raise _closed()
                self._write(tx, row, session, changed)
                if told := tuple(of_session(by, tx.pseudonyms(), session, changed)):
                    tx.audit.append(told)
            return result

        return self._writer.submit(run)

    def change_each(
        self, tx: Transaction, cohort_no: int, change: Callable[[Course, Session], Session]
    ) -> list[Session]:
        """Change the sessions of a cohort, and return those for which `change` did not return the very same one."""
        found = []
        for row in tx.rows(_OF_COHORT, cohort_no, -1):
            session = self._current(tx, row)
            changed = change(self._courses.of_number(tx, row[2]).course, session)
            if changed is not session:
                self._write(tx, row, session, changed)
                found.append(changed)
        return found

    def get(self, session_id: str) -> Session:
        """The session of an id; raises `UnknownSession`."""
        with self._database.reading() as now:
            return self._current(now, self._found(now, session_id))

    def of_trainee(self, trainee_id: str) -> tuple[Session, ...]:
        """All sessions of a trainee, in the order in which they were begun; raises `UnknownTrainee`."""
        with self._database.reading() as now:
            trainee_no, _, _ = self.numbers_of(now, trainee_id)
            return tuple(self._current(now, row) for row in now.rows(_OF_TRAINEE, trainee_no))

    def since(self, cohort_id: str, mark: int) -> Changes:
        """A cohort, with its sessions that are new or have changed and its trainees who are new: all as of one moment.

        Who was deleted is in no changes, and nothing else tells of it: the version of the cohort grows, that is all.
        `mark` is of the changes that were told last; -1 for all trainees and sessions. Raises `UnknownCohort`.
        """
        with self._database.reading() as now:
            cohort_no, cohort, course_no = self._cohorts.found(now, cohort_id)
            return Changes(
                _version(now, cohort_no),
                cohort,
                self._courses.of_number(now, course_no).course,
                self._cohorts.enrolled_since(now, cohort_no, mark),
                tuple(self._current(now, row) for row in now.rows(_OF_COHORT, cohort_no, mark)),
            )

    def cohort_version(self, cohort_id: str) -> int:
        """A number that grows with each change of a session of a cohort and of who is in it, and never falls; quick."""
        with self._database.reading() as now:
            return _version(now, self._cohorts.number(now, cohort_id))

    def forget_deleted(self) -> None:
        """Forget sessions that are not there any more."""
        with self._database.reading() as now:
            self._cache.keep_only(session_no for (session_no,) in now.rows("SELECT session_no FROM sessions"))

    def _found(self, now: Statements, session_id: str) -> Row:
        row = now.row(_BY_MAC, now.vault.mac("session", (session_id,)), self._clock_ms())
        if row is None:
            raise UnknownSession(message("error.store.no_session"))
        return row

    def numbers_of(self, now: Statements, trainee_id: str) -> Row:
        """The numbers of a trainee, of the cohort and of the course; raises `UnknownTrainee`."""
        row = now.row(_TRAINEE, trainee_id, self._clock_ms())
        if row is None:
            raise UnknownTrainee(message("error.store.no_trainee"))
        return row

    def _current(self, now: Statements, row: Row) -> Session:
        """The session of a row of _SESSIONS: as it is remembered where nothing has changed since, else what is new."""
        session_no, cohort_no, _, trainee_no, sitting, mac, version, trials = row
        pending = now.changed.get(session_no) if isinstance(now, Transaction) else None
        if pending is not None:
            return pending
        remembered = self._cache.get(session_no)
        if remembered is not None and remembered.version >= version:
            return remembered.session
        key = self._cohorts.key(now, cohort_no)
        head = now.row("SELECT sealed FROM sessions WHERE session_no = ?", session_no)
        assert head is not None
        known = () if remembered is None else remembered.session.trials
        new = now.rows(_TRIALS, session_no, 0 if remembered is None else remembered.version)
        session = unpack_session(
            key.open(head[0], _bound(session_no, cohort_no, trainee_no, sitting, mac), "session"),
            _merged(session_no, key, known, new, trials),
        )
        self._cache.put(session_no, Remembered(version, session))  # not changed by this transaction, thus durable
        return session

    def _write(self, tx: Transaction, row: Row, before: Session, after: Session) -> None:
        session_no, cohort_no, _, trainee_no, sitting, mac, _, _ = row
        head, new_head = head_of(before), head_of(after)
        if head[:IDENTITY] != new_head[:IDENTITY] or len(after.trials) < len(before.trials):
            raise ValueError("a change makes another session, or takes back a trial")
        key = self._cohorts.key(tx, cohort_no)
        changed = _changed(before.trials, after.trials)
        if head == new_head and not changed:
            return
        tx.require_room(_CHANGE_BYTES)
        if head != new_head:
            bound_to = _bound(session_no, cohort_no, trainee_no, sitting, mac)
            tx.write(_UPDATE_HEAD, key.seal(pack_session(after), bound_to), session_no)
        self._put_trials(tx, key, session_no, changed)
        tx.write(_UPDATE, tx.version(), len(after.trials), session_no)
        self._remember(tx, session_no, after)

    def _put_trials(self, tx: Transaction, key: DataKey, session_no: int, trials: Sequence[Trial]) -> None:
        for trial in trials:
            sealed = key.seal(pack_trial(trial), bound_trial(session_no, trial.ordinal))
            tx.write(_PUT_TRIAL, session_no, trial.ordinal, tx.version(), sealed)

    def _remember(self, tx: Transaction, session_no: int, session: Session) -> None:
        remembered = Remembered(tx.version(), session)
        tx.changed[session_no] = session
        tx.when_kept(lambda: self._cache.put(session_no, remembered))


def _version(now: Statements, cohort_no: int) -> int:
    """The number of the last transaction that changed a session of a cohort, or enrolled or deleted a trainee of it."""
    row = now.row(_VERSIONS, cohort_no)
    assert row is not None
    return int(max(row))


def _changed(before: Sequence[Trial], after: Sequence[Trial]) -> list[Trial]:
    """The trials that are new or differ."""
    same = list(starmap(is_, zip(before, after, strict=False)))
    changed = [n for n, unchanged in enumerate(same) if not unchanged and before[n] != after[n]]
    changed += range(len(before), len(after))
    if any(after[n].ordinal != n for n in changed):
        raise ValueError("a trial does not have the ordinal of its place")
    return [after[n] for n in changed]


def _merged(session_no: int, key: DataKey, known: tuple[Trial, ...], new: list[Row], count: int) -> tuple[Trial, ...]:
    trials: list[Trial | None] = [*known, *[None] * (count - len(known))]
    for ordinal, sealed in new:
        if not 0 <= ordinal < len(trials):
            raise _incomplete()
        trial = unpack_trial(key.open(sealed, bound_trial(session_no, ordinal), "trial"))
        trials[ordinal] = trial
    whole = tuple(trial for trial in trials if trial is not None)
    if len(whole) != count or len(trials) != count:
        raise _incomplete()
    return whole


def _bound(session_no: int, cohort_no: int, trainee_no: int, sitting: str, mac: bytes) -> bytes:
    return SCHEMA.bound("sessions", session_no, cohort_no, trainee_no, sitting, mac)


def _closed() -> SittingClosed:
    return SittingClosed(message("error.store.sitting_closed"))


def _incomplete() -> StoreCorrupt:
    return StoreCorrupt(message("error.store.trials_amiss"), check="trials")
