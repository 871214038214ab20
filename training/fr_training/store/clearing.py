"""What was deleted goes bit by bit, so that trainees can answer in between, and leaves nothing in the files."""

from __future__ import annotations

import threading

from fr_core.storage.database import Database
from fr_training.store.schema import GONE, MAKING
from fr_training.store.writer import Transaction, Writer

# Rows of a trial that go in one transaction, and pictures, of which each takes several pages.
_TRIALS = 500
_PICTURES = 32

# Of a cohort that is gone, then of a course: each statement takes some rows, and the next has its turn when none is
# left. They delete by keys that a subquery finds, because neither SQLite nor PostgreSQL has a DELETE with a LIMIT.
_OF_COHORT = (
    f"""DELETE FROM trials WHERE (session_no, ordinal) IN (
        SELECT t.session_no, t.ordinal FROM sessions s JOIN trials t ON t.session_no = s.session_no
        WHERE s.cohort_no = ? LIMIT {_TRIALS})""",
    f"""DELETE FROM sessions WHERE session_no IN (
        SELECT session_no FROM sessions WHERE cohort_no = ? LIMIT {_TRIALS})""",
    f"""DELETE FROM trainees WHERE trainee_no IN (
        SELECT trainee_no FROM trainees WHERE cohort_no = ? LIMIT {_TRIALS})""",
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


class Clearing:
    """Takes away what is GONE. Several processes may do so at once.

    Args:
        database: is scrubbed.
        writer: writes it.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._lock = threading.Lock()
        self._unscrubbed = database.was_alone  # a process that died may have had no time for it

    def clear(self) -> None:
        """Take away all that is gone, and every trace of it.

        Raises:
            StoreFailed: the disk refuses; the rest goes with the next call.
        """
        while self._writer.run(_step):
            self._unscrubbed = True
        self.scrub(force=True)

    def clear_left(self) -> None:
        """Take away what processes that died have left: courses that they were making, and what they were deleting."""
        with self._database.folder.building(wait=False) as nobody_builds:
            if nobody_builds:
                self._writer.run(lambda tx: tx.write("UPDATE courses SET state = ? WHERE state = ?", GONE, MAKING))
        while self._writer.run(_step):
            self._unscrubbed = True
        self.scrub()

    def scrub(self, *, force: bool = False) -> None:
        """Leave no trace of what was deleted, where any is left or `force` says so."""
        with self._lock:
            self._unscrubbed = self._unscrubbed or force
            if self._unscrubbed:
                self._unscrubbed = not self._database.scrub()


def _step(tx: Transaction) -> bool:
    """Delete some rows; False where nothing is left that is gone."""
    for any_sql, statements in ((_ANY_COHORT, _OF_COHORT), (_ANY_COURSE, _OF_COURSE)):
        row = tx.row(any_sql, GONE)
        if row is not None:
            return any(tx.write(sql, row[0]) for sql in statements)
    return False
