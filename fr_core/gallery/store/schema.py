"""Makes the tables of the gallery store, and brings older stores up to date.

Times are microseconds since 1970, UTC.
Text compares by code point (SQLite's BINARY collation of UTF-8), as Python's strings do.
"""

import zlib

from fr_core.errors import StoreCorrupt, message
from fr_core.gallery.store import rows
from fr_core.gallery.store.integrity import require_no_contradictions
from fr_core.gallery.store.template_codec import Binding, unpack_vectors
from fr_core.storage.connection import PAGE_BYTES
from fr_core.storage.dialect import LAST_NUMBERS
from fr_core.storage.protocol import Connection
from fr_core.storage.schema import TAKES_MARK, Schema, begin_audit
from fr_core.storage.vault import Vault
from fr_core.types import ModelId

DATABASE_NAME = "galleries.db"
_BLOCK = 1_000

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

# The rows of version 1 wait under other names until `_seal` has encrypted them into the tables of version 2.
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

_V2_AFTER_MOVE = """
DROP TABLE templates_v1;
DROP TABLE subjects_v1;
DROP TABLE galleries_v1;

CREATE INDEX templates_by_subject ON templates (subject_no, gallery_no);
CREATE INDEX templates_by_age ON templates (gallery_no, created_us);
CREATE UNIQUE INDEX templates_by_image ON templates (gallery_no, image_sha256) WHERE image_sha256 IS NOT NULL;
"""

# The rows of galleries are authenticated anew, with the new column. The text of a calibration is authenticated by its
# hash in the row of its gallery.
_V3 = """
ALTER TABLE galleries ADD COLUMN calibration_sha256 TEXT;

CREATE TABLE calibrations (
    gallery_no INTEGER PRIMARY KEY REFERENCES galleries (gallery_no),
    calibration TEXT NOT NULL
) STRICT;
"""

# The rows of galleries are authenticated anew. Galleries from before are searched as they were.
_V4 = """
ALTER TABLE galleries ADD COLUMN use TEXT NOT NULL DEFAULT 'test';
"""

# The changes that servers on one database must apply, see `change_log`; empty in a store that one process holds.
_V7 = """
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY,
    gallery_no INTEGER NOT NULL,
    since INTEGER NOT NULL,
    version INTEGER NOT NULL,
    first_template INTEGER,
    removed TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;

CREATE INDEX changes_by_gallery ON changes (gallery_no, version);
"""


def _seal(connection: Connection, vault: Vault) -> None:
    """Move the rows of version 1, encrypted or authenticated, into the tables of version 2."""
    connection.execute(_V2)
    galleries = _move_galleries(connection, vault)
    keys = _move_subjects(connection, vault)
    _move_templates(connection, vault, galleries, keys)
    # The numbers of deleted rows are not given again. A new store has given none, and PostgreSQL keeps them elsewhere.
    given = {name for name, _ in connection.execute(LAST_NUMBERS)}
    for table in ("galleries", "templates"):
        if f"{table}_v1" not in given:
            continue
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        sql = "UPDATE sqlite_sequence SET name = ? WHERE name = ?"
        connection.execute(sql, (table, f"{table}_v1"))
    connection.execute(_V2_AFTER_MOVE)
    require_no_contradictions(connection)


def _add_calibrations(connection: Connection, vault: Vault) -> None:
    connection.execute(_V3)
    _sign_galleries(connection, vault, rows.GALLERIES_V2, rows.GALLERIES_V3)


def _add_use(connection: Connection, vault: Vault) -> None:
    connection.execute(_V4)
    _sign_galleries(connection, vault, rows.GALLERIES_V3, rows.GALLERIES)


def _sign_galleries(connection: Connection, vault: Vault, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Authenticate the rows of one version with the columns that the next has added."""
    for row in list(connection.execute(f"SELECT {rows.names(before)} FROM galleries")):
        gallery_no, *_ = columns = rows.as_newer(rows.checked(vault, "galleries", row), before, after)
        *_, mac = rows.signed(vault, "galleries", *columns[:-1])
        connection.execute("UPDATE galleries SET mac = ? WHERE gallery_no = ?", (mac, gallery_no))


def _move_galleries(connection: Connection, vault: Vault) -> dict[int, tuple[Binding, int]]:
    bindings: dict[int, tuple[Binding, int]] = {}
    insert = rows.insertion("galleries", rows.GALLERIES_V2)
    for row in list(connection.execute("SELECT * FROM galleries_v1")):
        connection.execute(insert, rows.signed(vault, "galleries", *row, None, None, 0))
        gallery_no, _, _, *model, size, _, _, _, _ = row
        bindings[gallery_no] = (Binding("template", gallery_no, ModelId(*model)), size)
    return bindings


def _move_subjects(connection: Connection, vault: Vault) -> dict[int, tuple[int, bytes]]:
    keys: dict[int, tuple[int, bytes]] = {}
    insert, insert_metadata = (
        rows.insertion("subjects", rows.SUBJECTS),
        rows.insertion("subject_metadata", rows.METADATA),
    )
    for row in connection.execute("SELECT * FROM subjects_v1 ORDER BY subject_no"):
        subject_no, gallery_no, _, _, metadata, _ = row
        _, wrapped = vault.new_key(gallery_no, subject_no)
        keys[subject_no] = (gallery_no, wrapped)
        connection.execute(insert, rows.signed(vault, "subjects", *row, wrapped))
        for key, value in rows.unpacked_metadata(metadata).items():
            pair = rows.signed(vault, "subject_metadata", gallery_no, key, value, subject_no)
            connection.execute(insert_metadata, pair)
    return keys


def _move_templates(
    connection: Connection, vault: Vault, galleries: dict[int, tuple[Binding, int]], keys: dict[int, tuple[int, bytes]]
) -> None:
    insert = rows.insertion("templates", rows.TEMPLATES)
    for row in connection.execute("SELECT * FROM templates_v1 ORDER BY template_id"):
        template_id, gallery_no, subject_no, image_sha256, quality, created_us, crc32, vector = row
        if gallery_no not in galleries or subject_no not in keys:
            raise rows.contradiction("template_subject")
        if zlib.crc32(vector) != crc32:
            raise StoreCorrupt(message("error.gallery.checksum_stored_vector_differs"), check="vector_checksum")
        binding, size = galleries[gallery_no]
        unpack_vectors([vector], size)
        facts = (template_id, subject_no, image_sha256, quality, created_us, 0)
        of_gallery, wrapped = keys[subject_no]
        sealed = vault.key(of_gallery, subject_no, wrapped).seal(vector, binding.of(*facts))
        connection.execute(insert, (*facts, gallery_no, sealed))


def _rewrap(connection: Connection, before: Vault, after: Vault) -> None:
    """Wrap the key of every subject anew; raises `StoreCorrupt` for an altered row, which it would authenticate."""
    last = 0
    select = f"SELECT {rows.names(rows.SUBJECTS)} FROM subjects WHERE subject_no > ? ORDER BY subject_no LIMIT {_BLOCK}"
    while block := list(connection.execute(select, (last,))):
        for row in map(rows.SubjectRow._make, block):
            subject = rows.checked(before, "subjects", row)
            last = subject.subject_no
            rewrapped = after.rewrapped(before, subject.gallery_no, last, subject.wrapped_key)
            *_, mac = rows.signed(after, "subjects", *subject._replace(wrapped_key=rewrapped)[:-1])
            sql = "UPDATE subjects SET wrapped_key = ?, mac = ? WHERE subject_no = ?"
            connection.execute(sql, (rewrapped, mac, last))


SCHEMA = Schema(
    name="gallery store",
    database_name=DATABASE_NAME,
    application_id=0x46524347,  # "FRCG"
    migrations=(_V1, _seal, _add_calibrations, _add_use, begin_audit, TAKES_MARK, _V7),
    wrapped=(),
    binding="fr-core",
    mac_prefix="",
    shared=False,
    page_bytes=PAGE_BYTES,
    first_keyed=2,
    signs_store=True,
    rewrap=_rewrap,
)
"""Held by one process where it lies in a folder; see `rows` for what authenticates and encrypts each row."""
