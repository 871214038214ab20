"""Writes and opens the two files of a backup, and has the tables of each.

The backup holds the galleries, and of each subject everything under the key of that subject, its id and name too. The
file of keys holds these keys, wrapped, and what must never be older than the backup: the receipts of erasures, and the
last number that a row of each kind has had. A subject that is erased from the store is missing in every later file of
keys, and then nobody can read the rows of that person in any backup.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from fr_core.errors import BackupUnusable, StoreCorrupt, StoreNewer, message
from fr_core.gallery.backup.staged import Staged
from fr_core.gallery.store.rows import ERASURES, GALLERIES, names
from fr_core.storage.connection import open_finished, open_new
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.protocol import Connection, Row
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

_MAGIC = b"SQLite format 3\0"
_ID_AT, _ID_BYTES = 68, 4
_Formats = tuple[tuple[str, ...], ...]
_NUMBER_COLUMNS = ", ".join(f"{name} INTEGER NOT NULL" for name in NUMBERS)


def _backup_table(*audit: str) -> str:
    columns = (
        "backup_no INTEGER PRIMARY KEY CHECK (backup_no = 1)",
        "store_id BLOB NOT NULL",
        "backup_id BLOB NOT NULL",
        *(f"{name} INTEGER NOT NULL" for name in ("galleries", "subjects", "templates", "photos")),
        _NUMBER_COLUMNS,
        *audit,
        "created_us INTEGER NOT NULL",
        "mac BLOB NOT NULL",
    )
    return _table("backup", columns)


def _galleries_table(*later: str) -> str:
    columns = (
        "gallery_no INTEGER PRIMARY KEY",
        *(f"{name} TEXT NOT NULL" for name in GALLERIES[1:6]),
        *(f"{name} INTEGER NOT NULL" for name in GALLERIES[6:11]),
        "expires_us INTEGER",
        "retention_us INTEGER",
        "keeps_photos INTEGER NOT NULL",
        *later,
        "mac BLOB NOT NULL",
    )
    return _table("galleries", columns)


def _table(name: str, columns: Iterable[str]) -> str:
    """Return the statement that makes a table, byte by byte as it was written first: readers compare it."""
    return f"CREATE TABLE {name} (\n    {f',{chr(10)}    '.join(columns)}\n) STRICT"


_CONTENTS = (
    _table("subjects", ("subject_no INTEGER PRIMARY KEY", "gallery_no INTEGER NOT NULL", "sealed BLOB NOT NULL")),
    # In the order of subjects and templates, in which they are read again.
    _table(
        "templates",
        (
            "row_no INTEGER PRIMARY KEY",
            "subject_no INTEGER NOT NULL",
            "template_id INTEGER NOT NULL",
            "sealed BLOB NOT NULL",
        ),
    ),
    _table("photos", ("template_id INTEGER PRIMARY KEY", "sealed BLOB NOT NULL")),
)
# The text of a calibration is authenticated by its hash in the row of its gallery.
_CALIBRATIONS = _table("calibrations", ("gallery_no INTEGER PRIMARY KEY", "calibration TEXT NOT NULL"))
_CALIBRATION = "calibration_sha256 TEXT"
_AUDIT_COLUMNS = ("audit_chain_id TEXT NOT NULL", "audit_seq INTEGER NOT NULL", "audit_hash BLOB NOT NULL")

_BACKUP_V1 = (_backup_table(), _galleries_table(), *_CONTENTS)
_BACKUP_V2 = (_backup_table(), _galleries_table(_CALIBRATION), *_CONTENTS, _CALIBRATIONS)
# With the use of each gallery, and how far the audit was.
_BACKUP_V3 = (
    _backup_table(*_AUDIT_COLUMNS),
    _galleries_table(_CALIBRATION, "use TEXT NOT NULL"),
    *_CONTENTS,
    _CALIBRATIONS,
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


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of file."""

    application_id: bytes  # as the store's; https://www.sqlite.org/fileformat2.html, "Application ID"
    formats: _Formats  # the tables of format n are the n-th; the last are those that are written


BACKUP_FILE = Layout(b"FRCB", (_BACKUP_V1, _BACKUP_V2, _BACKUP_V3))
KEYS_FILE = Layout(b"FRCK", (_KEYS_V1,))
NEW_KEYS_FILE = Layout(b"FRCN", (_KEYS_V1,))  # keys that are not proved yet

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
    """Return whether the first 100 bytes of a file are those of a backup, whole or not."""
    return _application_id(head) == BACKUP_FILE.application_id


def are_keys(head: bytes) -> bool:
    """Return whether the first 100 bytes of a file are those of a file of keys, proved or not."""
    return _application_id(head) in (KEYS_FILE.application_id, NEW_KEYS_FILE.application_id)


def _application_id(head: bytes) -> bytes:
    return head[_ID_AT : _ID_AT + _ID_BYTES] if head.startswith(_MAGIC) else b""


def prove_keys(file: Staged) -> None:
    """Make a new file of keys one that is read."""
    file.mark(KEYS_FILE.application_id, _ID_AT)


@contextmanager
def writing(layout: Layout, path: Path, vfs: str) -> Iterator[apsw.Connection]:
    """Yield a transaction in a new file, which is committed where the block ends well; see `prove_keys`."""
    with driver_errors():
        version = f"user_version = {len(layout.formats)}"
        connection = open_new(path, vfs, int.from_bytes(layout.application_id), version)
        try:
            # The tables first, so that a file which a dying process leaves says of what kind it is.
            connection.execute("BEGIN")
            for table in layout.formats[-1]:
                connection.execute(table)
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()


@contextmanager
def reading(layout: Layout, path: Path) -> Iterator[apsw.Connection]:
    """Yield a file that has the tables of its kind; raises `BackupUnusable`, `StoreNewer`, `StoreFailed`."""
    if not path.is_file():
        raise BackupUnusable(message("error.gallery.backup_file_keys_not"), check="file")
    with backup_errors():
        connection = open_finished(path)
        try:
            _require_layout(connection, layout)
            yield connection
        finally:
            connection.close()


@contextmanager
def backup_errors() -> Iterator[None]:
    """Turn the errors of damage, in the block, into the error of a backup.

    Raises `BackupUnusable`: SQLite, or the ciphers, found something that was not written so; `StoreFailed`: the disk
    refuses.
    """
    try:
        with driver_errors():
            yield
    except StoreCorrupt as error:
        raise unusable(error.metadata.get("check", "unknown")) from error
    except apsw.Error as error:  # SQL that does not fit tables that were altered
        raise unusable(type(error).__name__) from error


def unusable(check: str) -> BackupUnusable:
    """Return the error for damage; `check` says which check found it."""
    return BackupUnusable(message("error.gallery.backup_file_keys_damaged"), check=check)


def only_row(connection: apsw.Connection, table: str, columns: tuple[str, ...]) -> Row:
    """Return the row of a table of one row; raises `BackupUnusable`."""
    rows: list[Row] = connection.execute(f"SELECT {names(columns)} FROM {table}").fetchall()
    if len(rows) != 1:
        raise unusable(table)
    return rows[0]


def format_of(connection: apsw.Connection) -> int:
    """Return the number of the format that a file says it has."""
    return int(connection.pragma("user_version"))


def count(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}")
    return int(rows)


def _require_layout(connection: apsw.Connection, layout: Layout) -> None:
    if int(connection.pragma("application_id")) != int.from_bytes(layout.application_id):
        raise BackupUnusable(message("error.gallery.file_damaged_no_backup"), check="application_id")
    found_format, known = format_of(connection), len(layout.formats)
    if found_format > known:
        raise StoreNewer(
            message("error.gallery.backup_format_version_knows", found_format=found_format, known=known),
            found=str(found_format),
            known=str(known),
        )
    found = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema ORDER BY rowid")]
    if found_format < 1 or found != list(layout.formats[found_format - 1]):
        raise unusable("schema")
