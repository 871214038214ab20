"""The tables of the training store.

Times are milliseconds since 1970, UTC. A `sealed` value is encrypted and bound to its row, a `mac` authenticates the
columns before it, and `..._mac` stands in for a value that the store must not show; see `fr_core.storage.vault`. The
statements of this room keep to what PostgreSQL speaks too; the tables say STRICT and AUTOINCREMENT, which are SQLite's.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from fr_core.storage.schema import TAKES_MARK, Schema, Step, WrappedKeys, begin_audit

DATABASE_NAME = "training.sqlite"

MAKING, READY, GONE = 0, 1, 2
"""States of courses and cohorts: a course is there from its last transaction on, and whatever is deleted is gone with
the first; what is MAKING in a process that died, and what is GONE, is cleared away in small transactions."""


class Owner(IntEnum):
    """The owner of a data key.

    A course's key encrypts the course and its pictures, a cohort's key the sessions and answers of its trainees, so
    that without the cohort's row nobody can open them, ever.
    """

    COURSE = -1
    COHORT = -2


_V1 = """
-- The number of the last transaction that changed a session or who is in a cohort, never given twice. The `version` of
-- a session or trial is that of the transaction that changed it last; of a trainee, of the one that enrolled it; of a
-- cohort, of the last one that enrolled or deleted a trainee of it.
CREATE TABLE versions (
    store_no INTEGER PRIMARY KEY CHECK (store_no = 1),
    last_version INTEGER NOT NULL
) STRICT;
INSERT INTO versions (store_no, last_version) VALUES (1, 0);

CREATE TABLE courses (
    course_no INTEGER PRIMARY KEY AUTOINCREMENT,
    course_id TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    state INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    sealed BLOB NOT NULL,
    gallery BLOB NOT NULL
) STRICT;
CREATE INDEX courses_by_age ON courses (created_ms, course_id);
CREATE INDEX courses_by_state ON courses (state);

CREATE TABLE pictures (
    course_no INTEGER NOT NULL REFERENCES courses (course_no),
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (course_no, number)
) STRICT;

CREATE TABLE identities (
    course_no INTEGER NOT NULL REFERENCES courses (course_no),
    identity_mac BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (course_no, identity_mac)
) STRICT, WITHOUT ROWID;

CREATE TABLE probe_keys (
    course_no INTEGER NOT NULL REFERENCES courses (course_no),
    photo_mac BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (course_no, photo_mac)
) STRICT, WITHOUT ROWID;

CREATE TABLE cohorts (
    cohort_no INTEGER PRIMARY KEY AUTOINCREMENT,
    cohort_id TEXT NOT NULL UNIQUE,
    course_no INTEGER NOT NULL REFERENCES courses (course_no),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    state INTEGER NOT NULL,
    enrolled INTEGER NOT NULL,
    version INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX cohorts_by_age ON cohorts (created_ms, cohort_id);
CREATE INDEX cohorts_by_course ON cohorts (course_no, created_ms, cohort_id);
CREATE INDEX cohorts_by_state ON cohorts (state, expires_ms);

CREATE TABLE trainees (
    trainee_no INTEGER PRIMARY KEY AUTOINCREMENT,
    trainee_id TEXT NOT NULL UNIQUE,
    cohort_no INTEGER NOT NULL REFERENCES cohorts (cohort_no),
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    code_mac BLOB NOT NULL UNIQUE,
    mac BLOB NOT NULL,
    UNIQUE (cohort_no, number)
) STRICT;

CREATE TABLE sessions (
    session_no INTEGER PRIMARY KEY AUTOINCREMENT,
    cohort_no INTEGER NOT NULL REFERENCES cohorts (cohort_no),
    trainee_no INTEGER NOT NULL REFERENCES trainees (trainee_no),
    sitting TEXT NOT NULL,
    session_mac BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    trials INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (trainee_no, sitting)
) STRICT;
CREATE INDEX sessions_by_change ON sessions (cohort_no, version);

CREATE TABLE trials (
    session_no INTEGER NOT NULL REFERENCES sessions (session_no),
    ordinal INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (session_no, ordinal)
) STRICT, WITHOUT ROWID;
"""

_V4 = """
-- Items whose right answers the trainees of a cohort may see, as each release named them.
CREATE TABLE releases (
    release_no INTEGER PRIMARY KEY AUTOINCREMENT,
    cohort_no INTEGER NOT NULL REFERENCES cohorts (cohort_no),
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX releases_by_cohort ON releases (cohort_no);
"""

_V5 = """
-- The names of the sittings that are closed to a cohort; NULL while there is none.
ALTER TABLE cohorts ADD COLUMN closed BLOB;
"""

MIGRATIONS: tuple[Step, ...] = (_V1, begin_audit, TAKES_MARK, _V4, _V5)

SCHEMA = Schema(
    name="training store",
    database_name=DATABASE_NAME,
    application_id=0x46524354,  # "FRCT"
    migrations=MIGRATIONS,
    wrapped=(WrappedKeys(Owner.COURSE, "courses", "course_no"), WrappedKeys(Owner.COHORT, "cohorts", "cohort_no")),
    binding="fr-core training",
    mac_prefix="training ",
)
"""Of codes, ids of sessions, identities and sha256 of photos it keeps MACs alone."""


def bound_trial(session_no: int, ordinal: int) -> bytes:
    """The bytes that bind a trial to its row; as `Schema.bound`, but faster, since there are many trials."""
    return _TRIALS + _TRIAL.pack(session_no, ordinal)


_TRIALS, _TRIAL = SCHEMA.bound("trials"), struct.Struct("<qq")
