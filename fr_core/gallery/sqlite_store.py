"""The durable truth: SQLite with a write-ahead log, synced at each commit, one connection that writes.

Biometric data leave as little behind as SQLite allows: `secure_delete` overwrites deleted rows with zeros, and
temporary data stay in memory. Until a checkpoint the write-ahead log can still hold what was deleted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from fr_core.errors import FrError, ShuttingDown, StoreCorrupt, StoreFailed, StoreNewer
from fr_core.gallery.folder import DataFolder
from fr_core.gallery.packing import PackedVector, unpack_vectors
from fr_core.gallery.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from fr_core.gallery.sqlite_rows import Row, SqliteSnapshot, SqliteTransaction, sqlite_errors
from fr_core.gallery.store import StoredVectors

DATABASE_NAME = "galleries.db"

_log = logging.getLogger(__name__)

# How long a connection waits for another's lock: only checkpoints and the recovery after a crash hold one.
_BUSY_MS = 5_000
# Two rows of 512 float32 values and more fit a page; SQLite's default of 4,096 would hold one and waste the rest.
_PAGE_BYTES = 8_192
# Frames of the write-ahead log after which it is copied into the database (8 MiB), and after which this is done even if
# it must wait for the searches that run (64 MiB).
_CHECKPOINT_FRAMES = 1_024
_TRUNCATE_FRAMES = 8_192

# Each finds a contradiction between the counts of a gallery and what it holds, or between tables.
_CONTRADICTIONS = {
    "subject_count": "SELECT 1 FROM galleries g WHERE subject_count <> "
    "(SELECT count(*) FROM subjects s WHERE s.gallery_no = g.gallery_no) LIMIT 1",
    "template_count": "SELECT 1 FROM galleries g WHERE template_count <> (SELECT count(*) FROM subjects s "
    "JOIN templates t ON t.subject_no = s.subject_no WHERE s.gallery_no = g.gallery_no) LIMIT 1",
    "template_subject": "SELECT 1 FROM templates t LEFT JOIN subjects s ON s.subject_no = t.subject_no "
    "WHERE s.gallery_no IS NULL OR s.gallery_no <> t.gallery_no LIMIT 1",
    "subject_gallery": "SELECT 1 FROM subjects s LEFT JOIN galleries g ON g.gallery_no = s.gallery_no "
    "WHERE g.gallery_no IS NULL LIMIT 1",
}


class SqliteStore:
    """A `Store` in one file of a data folder, which it holds for itself until closed.

    Raises:
        StoreInUse: the folder is open already.
        StoreNewer: a later version wrote it; nothing was changed.
        StoreCorrupt: it is damaged, contradicts itself, or is no store of FR Core; nothing was changed.
        StoreFailed: the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = DataFolder(folder)
        self._idle: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._log_frames = 0
        try:
            if not self._folder.holds(DATABASE_NAME):
                self._create()
            self._path = str(self._folder.private_file(DATABASE_NAME))
            with sqlite_errors():
                self._writer = apsw.Connection(self._path)
                try:
                    self._open()
                except BaseException:
                    self._writer.close()
                    raise
        except BaseException:
            self._folder.close()
            raise

    def _create(self) -> None:
        """Make a database under another name, and give it its own when it is whole.

        So a database that is empty, or has no tables, is never one that is about to get them: it has lost them.
        """
        if self._folder.holds(f"{DATABASE_NAME}-wal"):
            raise StoreCorrupt("There is a write-ahead log without its database.", check="missing_database")
        with self._folder.whole_file(DATABASE_NAME) as path, sqlite_errors():
            connection = apsw.Connection(str(path))
            try:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                _use_log(connection)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                _migrate(connection)
            finally:
                connection.close()

    def _open(self) -> None:
        writer = self._writer
        # Whatever is refused until all vectors are read stays as it was found, with the log of a process that died.
        writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        writer.set_busy_timeout(_BUSY_MS)
        for pragma in ("cell_size_check = ON", "trusted_schema = OFF", "temp_store = MEMORY", "foreign_keys = ON"):
            writer.execute(f"PRAGMA {pragma}")
        self._refuse_unless_ours()
        _use_log(writer)
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA secure_delete = ON")
        _migrate(writer)
        writer.set_wal_hook(self._note_log_frames)

    def _refuse_unless_ours(self) -> None:
        writer = self._writer
        if int(writer.pragma("application_id")) != APPLICATION_ID:
            raise StoreCorrupt("The database is damaged, or no store of FR Core.", check="application_id")
        version = int(writer.pragma("user_version"))
        if version < 1:
            raise StoreCorrupt("The database has no schema.", check="user_version")
        if version > SCHEMA_VERSION:
            raise StoreNewer(
                f"The store has schema {version}; this version knows {SCHEMA_VERSION}.",
                found=str(version),
                known=str(SCHEMA_VERSION),
            )
        # The text of SQLite's finding is left out: it may quote what is stored.
        if writer.execute("PRAGMA integrity_check(1)").get != "ok":
            raise StoreCorrupt("The database file is damaged.", check="integrity_check")

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        """See `Store`."""
        with sqlite_errors():
            connection = self._reader()
            try:
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM galleries LIMIT 1").fetchall()  # the snapshot is taken by reading
                yield SqliteSnapshot(connection)
            finally:
                self._give_back(connection)

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """See `Store`."""
        with sqlite_errors():
            self._undo()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteTransaction(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                self._undo()
                raise

    def vectors(self, rows: int) -> Iterator[StoredVectors]:
        """See `Store`; finds the contradictions between the tables first."""
        with self.snapshot() as snapshot, sqlite_errors():
            connection = snapshot.connection
            for check, sql in _CONTRADICTIONS.items():
                if connection.execute(sql).fetchall():
                    raise StoreCorrupt("What the store holds contradicts itself.", check=check)
            sizes: dict[Any, Any] = dict(connection.execute("SELECT gallery_no, embedding_size FROM galleries"))
            cursor = connection.execute(
                "SELECT gallery_no, template_id, subject_no, vector, vector_crc32 FROM templates ORDER BY template_id"
            )
            while block := list(islice(cursor, rows)):
                block.sort(key=itemgetter(0, 1))
                for gallery_no, group in groupby(block, key=itemgetter(0)):
                    yield _unpacked(gallery_no, list(group), sizes[gallery_no])
            self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)  # the store is sound

    def tidy(self) -> None:
        """Copy the write-ahead log into the database when it has grown long; see `Store`."""
        if self._log_frames < _CHECKPOINT_FRAMES:
            return
        mode = apsw.SQLITE_CHECKPOINT_PASSIVE
        if self._log_frames >= _TRUNCATE_FRAMES:
            mode = apsw.SQLITE_CHECKPOINT_TRUNCATE
        try:
            with sqlite_errors():
                self._writer.wal_checkpoint(mode=mode)
        except FrError as error:
            # Nothing is lost: the log keeps everything until a later attempt succeeds.
            _log.warning("the write-ahead log of %d pages could not be copied: %s", self._log_frames, error.reason)

    def close(self) -> None:
        """See `Store`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        try:
            with sqlite_errors():
                for connection in (*idle, self._writer):
                    connection.close()
        finally:
            self._folder.close()

    def _reader(self) -> apsw.Connection:
        with self._lock:
            if self._closed:
                raise ShuttingDown("The galleries are closed.")
            if self._idle:
                return self._idle.pop()
        connection = apsw.Connection(self._path)
        connection.set_busy_timeout(_BUSY_MS)
        for pragma in ("query_only = ON", "cell_size_check = ON", "trusted_schema = OFF", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _give_back(self, connection: apsw.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            connection.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _undo(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _note_log_frames(self, connection: apsw.Connection, database: str, frames: int) -> int:
        self._log_frames = frames
        return apsw.SQLITE_OK


def _use_log(connection: apsw.Connection) -> None:
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreFailed("The file system of the data folder cannot hold a write-ahead log.")


def _migrate(connection: apsw.Connection) -> None:
    for step in range(int(connection.pragma("user_version")), SCHEMA_VERSION):
        connection.execute(f"BEGIN IMMEDIATE; {MIGRATIONS[step]}; PRAGMA user_version = {step + 1}; COMMIT")


def _unpacked(gallery_no: int, rows: list[Row], size: int) -> StoredVectors:
    return StoredVectors(
        gallery_no,
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.int64),
        unpack_vectors([PackedVector(row[3], row[4]) for row in rows], size),
    )
