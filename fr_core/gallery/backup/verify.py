"""Reads a data folder from outside of the process that holds it: for its verification, and for backups.

The lock of a data folder keeps a second writer away. A reader needs no lock: SQLite's write-ahead log gives a reader in
another process one moment of the store, whatever is written meanwhile. Only the emptying of the log, and so the end of
an erasure, has to wait for such a reader.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from fr_core.errors import NoStore, StoreCorrupt, StoreFailed, message
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.store.integrity import Verified, require_sound, require_sound_rows
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_unbroken
from fr_core.storage.connection import SqliteHeader, reading_outside
from fr_core.storage.data_folder import require_sole
from fr_core.storage.durable import cause
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_core.storage.migrations import known_version, unlocked
from fr_core.storage.opening import open_database
from fr_core.storage.sqlite_log import require_no_lost_commits


def verify(location: Location, key: KeyEncryptionKey) -> Verified:
    """Check everything that a data folder or a database holds, and return how much that is; a server may run on it.

    The file is checked in full, every row is authenticated, every template and photo opened, tables and counts are
    compared, and the log is searched for commits that were lost. Nothing is changed. PostgreSQL checks its own files.

    Raises:
        NoStore: there is nothing that could be checked.
        StoreNewer: a later version wrote it.
        WrongKey: it is under another key.
        StoreCorrupt: something is not as it was written; `check` says what.
        StoreFailed: the disk refuses, or another program holds the database.
    """
    if isinstance(location, Path):
        with reading(location, key) as snapshot:
            return require_sound(snapshot, snapshot.vault)
    with closing(open_database(location, SCHEMA, key, check=False)) as database, database.reading() as now:
        counts = require_sound_rows(now, now.vault)
        return Verified(*counts, require_unbroken(AuditTable(now, now.vault, lambda: 0)))


def require_store(folder: Path) -> Path:
    """Return the path of the database in a data folder; raises `NoStore`, and `StoreExposed` as `require_sole`."""
    path = folder / DATABASE_NAME
    if not path.is_file():
        raise NoStore(message("error.gallery.folder_holds_no_galleries", folder=folder))
    try:
        require_sole(path)
    except OSError as error:
        raise StoreFailed(message("error.gallery.cannot_read_properties_file"), errno=cause(error)) from error
    return path


@contextmanager
def reading(folder: Path, key: KeyEncryptionKey) -> Iterator[Snapshot]:
    """Yield one moment of the store of a data folder, through a connection of its own that cannot write.

    Raises `NoStore`, `StoreNewer`, `WrongKey`, `StoreCorrupt`, `StoreFailed`: as `verify` does.
    """
    path = require_store(folder)
    with reading_outside(path) as connection, _schema_errors():
        connection.execute("BEGIN")
        header = SqliteHeader(connection)
        if known_version(header, SCHEMA) < SCHEMA.version:
            raise NoStore(message("error.gallery.galleries_earlier_version"))
        _require_whole_log(path, int(connection.pragma("page_size")))
        yield Snapshot(connection, unlocked(connection, header, SCHEMA, key))


def _require_whole_log(path: Path, page_bytes: int) -> None:
    frames = _log_frames(path)
    try:
        require_no_lost_commits(path, frames, page_bytes)
    except StoreCorrupt:
        # A server has written more in the meantime; it looked at the log when it started, and what it adds is its own.
        if _log_frames(path) == frames:
            raise


def _log_frames(path: Path) -> int:
    """Return how many frames of the log SQLite takes for valid at this moment; beside a snapshot it does not say."""
    with reading_outside(path) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # before it has read, it counts nothing
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]


@contextmanager
def _schema_errors() -> Iterator[None]:
    try:
        yield
    except apsw.SQLError as error:
        raise StoreCorrupt(message("error.gallery.database_does_not_tables"), check="schema") from error
