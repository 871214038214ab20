"""Deletes the rows of deleted courses and cohorts bit by bit, so that trainees can answer in between."""

from __future__ import annotations

from fr_training.store.schema import GONE
from fr_training.store.transaction import Transaction

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
