"""The tables of the store, and the steps that bring an older store up to date.

Times are microseconds since 1970, UTC.
Text compares by code point (SQLite's BINARY collation of UTF-8), as Python's strings do.
"""

from __future__ import annotations

from fr_core.storage.audit.table import SCHEMA as _AUDIT

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

# The rows of version 1 wait under other names until `upgrade` has encrypted them into the tables of version 2.
_V2 = """
ALTER TABLE templates RENAME TO templates_v1;
ALTER TABLE subjects RENAME TO subjects_v1;
ALTER TABLE galleries RENAME TO galleries_v1;

CREATE TABLE store (
    store_no INTEGER PRIMARY KEY CHECK (store_no = 1),
    schema_version INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    mac BLOB NOT NULL
) STRICT;

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
    version INTEGER NOT NULL,
    expires_us INTEGER,
    retention_us INTEGER CHECK (retention_us > 0),
    keeps_photos INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;

CREATE TABLE subjects (
    subject_no INTEGER PRIMARY KEY AUTOINCREMENT,
    gallery_no INTEGER NOT NULL REFERENCES galleries (gallery_no),
    subject_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    mac BLOB NOT NULL,
    UNIQUE (gallery_no, subject_id)
) STRICT;

CREATE TABLE subject_metadata (
    gallery_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    subject_no INTEGER NOT NULL REFERENCES subjects (subject_no),
    mac BLOB NOT NULL,
    PRIMARY KEY (gallery_no, key, value, subject_no)
) STRICT, WITHOUT ROWID;

CREATE INDEX metadata_by_subject ON subject_metadata (subject_no);

CREATE TABLE templates (
    template_id INTEGER PRIMARY KEY AUTOINCREMENT,
    gallery_no INTEGER NOT NULL,
    subject_no INTEGER NOT NULL REFERENCES subjects (subject_no),
    image_sha256 TEXT,
    quality REAL,
    created_us INTEGER NOT NULL,
    has_photo INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE photos (
    template_id INTEGER PRIMARY KEY REFERENCES templates (template_id),
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE erasures (
    receipt_id TEXT PRIMARY KEY,
    gallery_no INTEGER NOT NULL,
    templates INTEGER NOT NULL,
    photos INTEGER NOT NULL,
    erased_us INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
"""

V2_AFTER_MOVE = """
DROP TABLE templates_v1;
DROP TABLE subjects_v1;
DROP TABLE galleries_v1;

CREATE INDEX templates_by_subject ON templates (subject_no, gallery_no);
CREATE INDEX templates_by_age ON templates (gallery_no, created_us);
CREATE UNIQUE INDEX templates_by_image ON templates (gallery_no, image_sha256) WHERE image_sha256 IS NOT NULL;
"""

# `upgrade` authenticates the rows of galleries anew, with the column that came. The text of a calibration is
# authenticated by its hash in the row of its gallery.
_V3 = """
ALTER TABLE galleries ADD COLUMN calibration_sha256 TEXT;

CREATE TABLE calibrations (
    gallery_no INTEGER PRIMARY KEY REFERENCES galleries (gallery_no),
    calibration TEXT NOT NULL
) STRICT;
"""

# `upgrade` authenticates the rows of galleries anew. Galleries that there were before are searched as they were.
_V4 = """
ALTER TABLE galleries ADD COLUMN use TEXT NOT NULL DEFAULT 'test';
"""

# `upgrade` begins the chain: what was done before is in no record.
_V5 = _AUDIT

# No table changes: the wrapped key of the store may hold the mark of a seal, which earlier versions cannot read.
_V6 = ""

# Step n brings a store of version n to version n + 1. Steps are never edited once released, only added.
MIGRATIONS = (_V1, _V2, _V3, _V4, _V5, _V6)
SCHEMA_VERSION = len(MIGRATIONS)
