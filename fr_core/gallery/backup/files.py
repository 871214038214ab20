"""The two files of a backup: the tables of each, and how each is written and opened.

The backup holds the galleries, and of each subject everything under the key of that subject, its id and name too. The
file of keys holds these keys, wrapped, and what must never be older than the backup: the receipts of erasures, and the
last number that a row of each kind has had. Who is erased from the store is missing in every later file of keys, and
then nobody can read what any backup holds of that person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from fr_core.errors import BackupUnusable, StoreCorrupt, StoreNewer
from fr_core.gallery.backup.staged import Staged
from fr_core.gallery.store.sqlite_rows import ERASURES, Row, names
from fr_core.storage.connection import open_finished, open_new
from fr_core.storage.sqlite_errors import sqlite_errors
from fr_core.storage.vault import Vault, encode

# The layout of what is encrypted in a backup.
_SEALED_FORMAT = 1
# Columns in the order in which they are read, written and authenticated. NUMBERS are those by which files of one store
# are told older from newer: each of them only grows.
NUMBERS = ("last_gallery_no", "last_subject_no", "last_template_id", "erasures")
# How far the audit of the store was; its records are in no backup.
AUDIT = ("audit_chain_id", "audit_seq", "audit_hash")
BACKUP = (
    "backup_no",
    "store_id",
    "backup_id",
    "galleries",
    "subjects",
    "templates",
    "photos",
    *NUMBERS,
    *AUDIT,
    "created_us",
    "mac",
)
# As it was before there was an audit: in backups of format 2 and 1.
BACKUP_V2 = tuple(column for column in BACKUP if column not in AUDIT)
KEYS = ("keys_no", "store_id", "key_id", "wrapped_key", "subjects", "digest", *NUMBERS, "created_us", "mac")
SUBJECTS = ("subject_no", "gallery_no", "sealed")
TEMPLATES = ("subject_no", "template_id", "sealed")
PHOTOS = ("template_id", "sealed")
SUBJECT_KEYS = ("subject_no", "gallery_no", "wrapped_key")

# In the order in which they lie: a damaged tree can hide a row from who looks for its number.
ALL_SUBJECT_KEYS = f"SELECT {names(SUBJECT_KEYS)} FROM subject_keys ORDER BY subject_no"
ALL_ERASURES = f"SELECT {names(ERASURES)} FROM erasures ORDER BY receipt_no"

# As the store's; https://www.sqlite.org/fileformat2.html, "Application ID". "FRCN": keys that are not proved yet.
_BACKUP_ID, _KEYS_ID, _NEW_KEYS_ID = b"FRCB", b"FRCK", b"FRCN"
_MAGIC = b"SQLite format 3\0"
_ID_AT = 68
_Formats = tuple[tuple[str, ...], ...]
_NUMBER_COLUMNS = ", ".join(f"{name} INTEGER NOT NULL" for name in NUMBERS)

_BACKUP_V1 = (
    f"""CREATE TABLE backup (
    backup_no INTEGER PRIMARY KEY CHECK (backup_no = 1),
    store_id BLOB NOT NULL,
    backup_id BLOB NOT NULL,
    galleries INTEGER NOT NULL,
    subjects INTEGER NOT NULL,
    templates INTEGER NOT NULL,
    photos INTEGER NOT NULL,
    {_NUMBER_COLUMNS},
    created_us INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT""",
    """CREATE TABLE galleries (
    gallery_no INTEGER PRIMARY KEY,
    gallery_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    model_pack TEXT NOT NULL,
    model_version TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    embedding_size INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    subject_count INTEGER NOT NULL,
    template_count INTEGER NOT NULL,
    version INTEGER NOT NULL,
    expires_us INTEGER,
    retention_us INTEGER,
    keeps_photos INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT""",
    """CREATE TABLE subjects (
    subject_no INTEGER PRIMARY KEY,
    gallery_no INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT""",
    # In the order of subjects and templates, in which they are read again.
    """CREATE TABLE templates (
    row_no INTEGER PRIMARY KEY,
    subject_no INTEGER NOT NULL,
    template_id INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT""",
    """CREATE TABLE photos (
    template_id INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT""",
)

# The text of a calibration is authenticated by its hash in the row of its gallery.
_BACKUP_V2 = (
    _BACKUP_V1[0],
    """CREATE TABLE galleries (
    gallery_no INTEGER PRIMARY KEY,
    gallery_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    model_pack TEXT NOT NULL,
    model_version TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    embedding_size INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    subject_count INTEGER NOT NULL,
    template_count INTEGER NOT NULL,
    version INTEGER NOT NULL,
    expires_us INTEGER,
    retention_us INTEGER,
    keeps_photos INTEGER NOT NULL,
    calibration_sha256 TEXT,
    mac BLOB NOT NULL
) STRICT""",
    *_BACKUP_V1[2:],
    """CREATE TABLE calibrations (
    gallery_no INTEGER PRIMARY KEY,
    calibration TEXT NOT NULL
) STRICT""",
)

# What each gallery is for, and how far the audit was.
_BACKUP_V3 = (
    f"""CREATE TABLE backup (
    backup_no INTEGER PRIMARY KEY CHECK (backup_no = 1),
    store_id BLOB NOT NULL,
    backup_id BLOB NOT NULL,
    galleries INTEGER NOT NULL,
    subjects INTEGER NOT NULL,
    templates INTEGER NOT NULL,
    photos INTEGER NOT NULL,
    {_NUMBER_COLUMNS},
    audit_chain_id TEXT NOT NULL,
    audit_seq INTEGER NOT NULL,
    audit_hash BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT""",
    """CREATE TABLE galleries (
    gallery_no INTEGER PRIMARY KEY,
    gallery_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    model_pack TEXT NOT NULL,
    model_version TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    embedding_size INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    subject_count INTEGER NOT NULL,
    template_count INTEGER NOT NULL,
    version INTEGER NOT NULL,
    expires_us INTEGER,
    retention_us INTEGER,
    keeps_photos INTEGER NOT NULL,
    calibration_sha256 TEXT,
    use TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT""",
    *_BACKUP_V2[2:],
)

_KEYS_V1 = (
    f"""CREATE TABLE keys (
    keys_no INTEGER PRIMARY KEY CHECK (keys_no = 1),
    store_id BLOB NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    subjects INTEGER NOT NULL,
    digest BLOB NOT NULL,
    {_NUMBER_COLUMNS},
    created_us INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT""",
    """CREATE TABLE subject_keys (
    subject_no INTEGER PRIMARY KEY,
    gallery_no INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL
) STRICT""",
    """CREATE TABLE erasures (
    receipt_no INTEGER PRIMARY KEY,
    receipt_id TEXT NOT NULL,
    gallery_no INTEGER NOT NULL,
    templates INTEGER NOT NULL,
    photos INTEGER NOT NULL,
    erased_us INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT""",
)


# The tables of format n of each file are the n-th; the last are those that are written.
_BACKUP_FORMATS = (_BACKUP_V1, _BACKUP_V2, _BACKUP_V3)
_KEYS_FORMATS = (_KEYS_V1,)
FORMAT_WITH_CALIBRATIONS, FORMAT_WITH_AUDIT = 2, 3


def store_id(vault: Vault) -> bytes:
    """Return 16 bytes that are the same for all backups of a store, under whichever key, and reveal nothing of it."""
    return vault.mac("store id", ())


def subject_context(backup_id: bytes, gallery_no: int, subject_no: int) -> bytes:
    """Return what the id, name, metadata and template facts of a subject are bound to in a backup."""
    return encode("fr-core", _SEALED_FORMAT, "backup of a subject", backup_id, gallery_no, subject_no)


def digest(vault: Vault, connection: apsw.Connection) -> bytes:
    """Return 16 bytes that authenticate all rows of a file of keys but the one that says what it is, in their order."""
    hashing = hashlib.blake2b()
    for sql in (ALL_SUBJECT_KEYS, ALL_ERASURES):
        rows = 0
        for row in connection.execute(sql):
            hashing.update(encode(*row))
            rows += 1
        hashing.update(encode(rows))
    return vault.mac("rows of keys", (hashing.digest(),))


def is_backup(head: bytes) -> bool:
    """Whether the first 100 bytes of a file are those of a backup, whole or not."""
    return _application_id(head) == _BACKUP_ID


def are_keys(head: bytes) -> bool:
    """Whether the first 100 bytes of a file are those of a file of keys, proved or not."""
    return _application_id(head) in (_KEYS_ID, _NEW_KEYS_ID)


def _application_id(head: bytes) -> bytes:
    return head[_ID_AT : _ID_AT + len(_KEYS_ID)] if head.startswith(_MAGIC) else b""


def prove_keys(file: Staged) -> None:
    """Make a new file of keys one that is read."""
    file.mark(_KEYS_ID, _ID_AT)


@contextmanager
def writing_backup(path: Path, vfs: str) -> Iterator[apsw.Connection]:
    """Yield a transaction in a new backup, which is committed where the block ends well."""
    with _writing(path, vfs, _BACKUP_ID, _BACKUP_FORMATS) as connection:
        yield connection


@contextmanager
def writing_keys(path: Path, vfs: str) -> Iterator[apsw.Connection]:
    """Yield a transaction in a new file of keys, which is committed where the block ends well; see `prove_keys`."""
    with _writing(path, vfs, _NEW_KEYS_ID, _KEYS_FORMATS) as connection:
        yield connection


@contextmanager
def reading_backup(path: Path) -> Iterator[apsw.Connection]:
    """Yield a backup that has the tables of one; raises `BackupUnusable`, `StoreNewer`, `StoreFailed`."""
    with _reading(path, _BACKUP_ID, _BACKUP_FORMATS) as connection:
        yield connection


@contextmanager
def reading_keys(path: Path, *, new: bool = False) -> Iterator[apsw.Connection]:
    """Yield a file of keys that has the tables of one; raises `BackupUnusable`, `StoreNewer`, `StoreFailed`.

    Args:
        path: the file.
        new: whether it is one that is still to be proved; only such a one is read then.
    """
    with _reading(path, _NEW_KEYS_ID if new else _KEYS_ID, _KEYS_FORMATS) as connection:
        yield connection


@contextmanager
def backup_errors() -> Iterator[None]:
    """Turn what is found damaged, in the block, into the error of a backup.

    Raises:
        BackupUnusable: SQLite, or the ciphers, found something that was not written so.
        StoreFailed: the disk refuses.
    """
    try:
        with sqlite_errors():
            yield
    except StoreCorrupt as error:
        raise unusable(error.metadata.get("check", "unknown")) from error
    except apsw.Error as error:  # SQL that does not fit tables that were altered
        raise unusable(type(error).__name__) from error


def unusable(check: str) -> BackupUnusable:
    """Return the error for damage that `check` has found."""
    return BackupUnusable("The backup, or the file of its keys, is damaged.", check=check)


def only_row(connection: apsw.Connection, table: str, columns: tuple[str, ...]) -> Row:
    """Return the row of a table of one row; raises `BackupUnusable`."""
    rows: list[Row] = connection.execute(f"SELECT {names(columns)} FROM {table}").fetchall()
    if len(rows) != 1:
        raise unusable(table)
    return rows[0]


def format_of(connection: apsw.Connection) -> int:
    """Return the number of the format that a file says it has."""
    return int(connection.pragma("user_version"))


def count(connection: apsw.Connection, table: str) -> int:
    """Return how many rows a table has."""
    return int(connection.execute(f"SELECT count(*) FROM {table}").get)


@contextmanager
def _writing(path: Path, vfs: str, application_id: bytes, formats: _Formats) -> Iterator[apsw.Connection]:
    with sqlite_errors():
        connection = open_new(path, vfs, int.from_bytes(application_id), f"user_version = {len(formats)}")
        try:
            # The tables first, so that whatever dies later leaves a file that says of what kind it is.
            connection.execute("BEGIN")
            for table in formats[-1]:
                connection.execute(table)
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()


@contextmanager
def _reading(path: Path, application_id: bytes, formats: _Formats) -> Iterator[apsw.Connection]:
    if not path.is_file():
        raise BackupUnusable("The backup, or the file of its keys, is not there.", check="file")
    with backup_errors():
        connection = open_finished(path)
        try:
            _require_layout(connection, application_id, formats)
            yield connection
        finally:
            connection.close()


def _require_layout(connection: apsw.Connection, application_id: bytes, formats: _Formats) -> None:
    if int(connection.pragma("application_id")) != int.from_bytes(application_id):
        raise BackupUnusable(
            "The file is damaged, or no backup of FR Core, or no file of keys.", check="application_id"
        )
    layout, known = format_of(connection), len(formats)
    if layout > known:
        raise StoreNewer(
            f"The backup has format {layout}; this version knows {known}.", found=str(layout), known=str(known)
        )
    found = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema ORDER BY rowid")]
    if layout < 1 or found != list(formats[layout - 1]):
        raise unusable("schema")
