"""The tables of the store, and the steps that bring an older store up to date.

Times are microseconds since 1970, UTC.
Text compares by code point (SQLite's BINARY collation of UTF-8), as Python's strings do.
"""

from __future__ import annotations

# Written to the header of the file, so that another program's database is not taken for a store: "FRCG".
APPLICATION_ID = 0x46524347

_V1 = """
CREATE TABLE galleries (
    gallery_no INTEGER PRIMARY KEY AUTOINCREMENT,
    gallery_id TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    model_pack TEXT NOT NULL,
    model_version TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    embedding_size INTEGER NOT NULL CHECK (embedding_size > 0),
    created_us INTEGER NOT NULL,
    subject_count INTEGER NOT NULL CHECK (subject_count >= 0),
    template_count INTEGER NOT NULL CHECK (template_count >= 0),
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE subjects (
    subject_no INTEGER PRIMARY KEY,
    gallery_no INTEGER NOT NULL REFERENCES galleries (gallery_no),
    subject_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (gallery_no, subject_id)
) STRICT;

CREATE TABLE templates (
    template_id INTEGER PRIMARY KEY AUTOINCREMENT,
    gallery_no INTEGER NOT NULL,
    subject_no INTEGER NOT NULL REFERENCES subjects (subject_no),
    image_sha256 TEXT,
    quality REAL,
    created_us INTEGER NOT NULL,
    vector_crc32 INTEGER NOT NULL,
    vector BLOB NOT NULL
) STRICT;

CREATE INDEX templates_by_subject ON templates (subject_no);

CREATE UNIQUE INDEX templates_by_image ON templates (gallery_no, image_sha256) WHERE image_sha256 IS NOT NULL;
"""

# Step n brings a store of version n to version n + 1. Steps are never edited once released, only added.
MIGRATIONS = (_V1,)
SCHEMA_VERSION = len(MIGRATIONS)
