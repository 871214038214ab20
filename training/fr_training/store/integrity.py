"""Whether a training store is sound, for whoever looks at a copy of one that no server has open."""

from __future__ import annotations

import secrets
from concurrent.futures import Future

from fr_core.errors import StoreCorrupt
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit_table import audit_keys
from fr_core.storage.database import Database
from fr_training.errors import UnknownCohort, UnknownCourse
from fr_training.store.clearing import Clearing
from fr_training.store.cohorts import Cohorts
from fr_training.store.courses import Courses
from fr_training.store.schema import READY
from fr_training.store.sessions import Sessions
from fr_training.store.writer import Writer


def require_sound(database: Database) -> None:
    """Open every course, picture, cohort, trainee, session and answer that was not deleted.

    Raises:
        StoreCorrupt: one was altered, or belongs to none that there is; of its audit nothing is looked at.
    """
    table = AuditTable(database.writer, audit_keys(database.seals), _before_all)
    writer = Writer(database, Future(), table)
    try:
        clearing = Clearing(database, writer)
        courses = Courses(database, writer, clearing)
        cohorts = Cohorts(database, writer, clearing, courses, _before_all, secrets.token_bytes)
        sessions = Sessions(database, writer, courses, cohorts, _before_all)
        for course_id in _ids(database, "course_id", "courses"):
            courses.require_sound(course_id)
        for cohort_id in _ids(database, "cohort_id", "cohorts"):
            sessions.since(cohort_id, -1)
    except (UnknownCohort, UnknownCourse):
        raise StoreCorrupt("A course was taken out of the training store.", check="courses") from None
    finally:
        writer.close()


def _ids(database: Database, column: str, table: str) -> list[str]:
    with database.reading() as now:
        return [found for (found,) in now.rows(f"SELECT {column} FROM {table} WHERE state = {READY}")]


def _before_all() -> int:
    return -(2**63)  # a cohort whose time is over is looked at like the others
