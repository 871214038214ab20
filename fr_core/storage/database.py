"""The database of a store: one connection of a process that writes, several that read, one that copies the log.

The one that writes goes the shortest way to the disk, because people wait for it. Only the one that copies the
write-ahead log into the database has `CheckpointVfs` under it. No process copies the log in any other way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from fr_core.errors import FrError, KeyUnavailable, ShuttingDown, StoreCorrupt, StoreFailed, StoreInUse
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.connection import open_new, open_to_read, open_to_write, settle, use_log
from fr_core.storage.folder import SharedFolder
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.migrations import PAGE_BYTES, bring_up_to_date, known_version, make, rewrapped, unlocked
from fr_core.storage.schema import Schema
from fr_core.storage.seals import Seals
from fr_core.storage.sqlite_errors import not_withdrawn, sqlite_errors
from fr_core.storage.sqlite_log import require_no_lost_commits, truncate_log
from fr_core.storage.vault import Value

Row = tuple[Any, ...]

_log = logging.getLogger(__name__)

# Frames of the log after which it is copied into the database: 16 MiB.
_CHECKPOINT_FRAMES = 4_096
_LONG_LOG_FRAMES = 65_536
# How long a copy waits for those who read, each time; nobody writes meanwhile.
_CHECKPOINT_S = 0.1
_SCRUB_S = 10.0
_READER_CACHE_KIB = 1_024
# To which the log is cut when it is written anew.
_LOG_BYTES = 64 * 2**20
# Between two tries to write while another process does. SQLite's own waits grow to 100 ms.
_TURN_S = 0.0005
_LONGEST_TURN_S = 5.0
# How long to wait for those who bring an older store up to date, or for the last process of an older version.
_UPGRADE_S = 5.0


class Reading:
    """A look at the database, all of one moment.

    Args:
        connection: in a transaction.
        seals: the keys of the store.
    """

    def __init__(self, connection: apsw.Connection, seals: Seals) -> None:
        self._connection = connection
        self.seals = seals

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """Return what a statement gives; raises `apsw.Error`."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Value) -> Row | None:
        """Return the first row of it, None where there is none; raises `apsw.Error`."""
        return self._connection.execute(sql, values).fetchone()


class Database:
    """The database in a shared folder.

    Args:
        path: the folder.
        schema: of the store; one of an older version is brought up to date.
        key: wraps the keys of the store; a new store is made under it.
        reserve_bytes: what must stay free on the disk for deletions to go on; 1/8 of the disk at most.
        vfs: SQLite's layer to the disk, by name; "" = its own.

    Raises:
        StoreNewer: a later version wrote it; nothing was changed.
        StoreInUse: it is of an older version, and another process has it open; nothing was changed.
        WrongKey: it is under another key; nothing was changed.
        StoreCorrupt: it is damaged, or no store of this kind; nothing was changed.
        StoreFailed: the disk refuses.
    """

    def __init__(self, path: Path, schema: Schema, key: KeyEncryptionKey, reserve_bytes: int, vfs: str = "") -> None:
        self.schema = schema
        self.folder = SharedFolder(path, schema)
        self._reserve_bytes = reserve_bytes
        self._vfs = vfs
        self._checkpoints = CheckpointVfs(vfs)
        self._lock = threading.Lock()
        self._copying = threading.Lock()
        self._idle: list[apsw.Connection] = []
        self._closed = False
        self._log_frames = 0
        self._commit_failed = False
        try:
            if self.folder.alone and not self.folder.holds(schema.database_name):
                self._create(key)
            self._path = self.folder.private_file(schema.database_name)
            with sqlite_errors():
                self.writer = open_to_write(self._path, vfs)
                try:
                    was_older = self._open(key)
                    self._copier = open_to_write(self._path, self._checkpoints.vfs_name)
                    use_log(self._copier)  # without which it knows of no log that could be copied
                    self._copier.set_busy_handler(_Turns(_CHECKPOINT_S))
                    if not self.folder.alone:
                        self._withdraw()  # what a process has left that was killed while it committed
                except BaseException:
                    self.writer.close()
                    raise
            if was_older:
                self.scrub()  # what the steps have replaced
            self.was_alone = self.folder.alone
            self.folder.share()
        except BaseException:
            self.folder.close()
            raise

    def _create(self, key: KeyEncryptionKey) -> None:
        name = self.schema.database_name
        if self.folder.holds(f"{name}-wal"):
            raise StoreCorrupt("There is a write-ahead log without its database.", check="missing_database")
        with self.folder.whole_file(name) as path, sqlite_errors():
            connection = open_new(path, self._vfs, self.schema.application_id)
            try:
                make(connection, self.schema, key)
            finally:
                connection.close()

    def _open(self, key: KeyEncryptionKey) -> bool:
        """Make the connection that writes ready; returns whether the store was of an older version."""
        writer = self.writer
        if self._is_older() and not self.folder.alone:
            # Either a process of the older version has it open, or the one who was to change it has died before.
            self.folder.wait_alone(self._is_older, _UPGRADE_S)
        older = self._is_older()
        if older and not self.folder.alone:
            raise StoreInUse(f"The {self.schema.name} is of an older version, and open in another process.")
        self.seals = unlocked(writer, self.schema, key)
        use_log(writer)
        if self.folder.alone:  # where nobody else writes, what the log leaves out is lost
            frames, _ = writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            if require_no_lost_commits(self._path, frames, int(writer.pragma("page_size"))):
                self._begin_log_anew()
        settle(writer)
        writer.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        writer.set_wal_hook(self._note_log_frames)
        writer.set_busy_handler(_Turns(_LONGEST_TURN_S))
        if older:
            bring_up_to_date(writer, self.schema, self.seals)
        return older

    def _begin_log_anew(self) -> None:
        with closing(open_to_write(self._path, self._checkpoints.vfs_name)) as copier:
            use_log(copier)
            copier.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _is_older(self) -> bool:
        return known_version(self.writer, self.schema) < self.schema.version

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Look at the database; raises `ShuttingDown`, and as `sqlite_errors`."""
        with sqlite_errors():
            connection = self._reader()
            try:
                connection.execute("BEGIN")
                yield Reading(connection, self.seals)
            finally:
                self._give_back(connection)

    def begin(self) -> None:
        """Begin a transaction on the connection that writes.

        Raises:
            apsw.Error: of SQLite.
            StoreFailed: as `commit`.
        """
        if self._commit_failed:
            self._withdraw()
        self.writer.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what the connection that writes has done durable.

        Raises:
            apsw.Error: of SQLite; nothing of it was kept.
            StoreFailed: nor can what SQLite has written of it be taken off the log: after a crash it may be there.
        """
        try:
            self.writer.execute("COMMIT")
        except BaseException:
            self._commit_failed = True
            self._withdraw()
            raise

    def _withdraw(self) -> None:
        """Take off the log what a commit that failed has left there."""
        writer = self.writer
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            writer.execute("BEGIN IMMEDIATE")  # another process may have written since
            try:
                with self._copying:
                    frames, _ = self._copier.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
                truncate_log(self._path, frames, int(writer.pragma("page_size")), self._vfs)
            finally:
                writer.execute("ROLLBACK")
        except apsw.Error as error:
            raise not_withdrawn(error) from error
        self._commit_failed = False

    def rotate(self, key: KeyEncryptionKey, run: Callable[[Callable[[Reading], Seals]], Seals]) -> None:
        """Wrap every key of the store by another.

        Args:
            key: the new one.
            run: runs a job on the thread that writes, and waits until it is durable.

        Raises:
            StoreInUse: another process has the store open; nothing was changed.
            KeyUnavailable: it is the key that the store is under; nothing was changed.
        """
        if key.key_id == self.seals.key_id:
            raise KeyUnavailable("The store already uses the new key.", key_id=key.key_id)
        with self.folder.alone_for():
            self.seals = run(lambda _: rewrapped(self.writer, self.schema, self.seals, key))

    def spare_bytes(self) -> int:
        """Return how many bytes may be added: the log must fit into the database, and what is added into both."""
        return (self.folder.spare_bytes(self._reserve_bytes) - self._log_frames * PAGE_BYTES) // 2

    @property
    def log_is_long(self) -> bool:
        """Whether the log is to be copied."""
        return self._log_frames >= _CHECKPOINT_FRAMES

    def tidy(self) -> None:
        """Copy the log into the database where it has grown long: most of it while others write, the rest alone."""
        for mode in (apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_RESTART):
            if not self.log_is_long:
                return
            try:
                self._copy(mode)
            except StoreCorrupt as error:
                _log.error(
                    "the log of the %s could not be copied into a damaged file: %s", self.schema.name, error.what
                )
            except FrError as error:
                # Nothing is lost: the log keeps everything until a later attempt succeeds. Others who read, write or
                # copy at this moment are no trouble, unless they always do.
                if not isinstance(error.__cause__, apsw.BusyError) or self._log_frames >= _LONG_LOG_FRAMES:
                    _log.warning("the log of the %s could not be copied yet: %s", self.schema.name, error.reason)

    def scrub(self) -> bool:
        """Leave nothing of what was deleted in the log.

        Returns:
            Whether that was done; else the disk refuses, or somebody reads for ever, and it must be done later.
        """
        until = time.monotonic() + _SCRUB_S
        while True:
            try:
                self._copy(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except FrError as error:
                if isinstance(error.__cause__, apsw.BusyError) and time.monotonic() < until:
                    time.sleep(_CHECKPOINT_S)
                    continue
                _log.warning("what was deleted is not overwritten in the log yet: %s", error.reason)
                return False
            return True

    def close(self) -> None:
        """Close every connection; harmless when done twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        try:
            with self._copying, sqlite_errors():
                for connection in (*idle, self.writer, self._copier):
                    connection.close()
        finally:
            self.folder.close()

    def _copy(self, mode: int) -> None:
        with self._copying, sqlite_errors():
            if self._closed:
                raise ShuttingDown(f"The {self.schema.name} is closed.")
            frames, copied = self._copier.wal_checkpoint(mode=mode)
            if frames < 0:
                raise StoreFailed("The database has no write-ahead log any more.")
            if frames == copied and mode != apsw.SQLITE_CHECKPOINT_PASSIVE:
                self._log_frames = 0

    def _reader(self) -> apsw.Connection:
        with self._lock:
            if self._closed:
                raise ShuttingDown(f"The {self.schema.name} is closed.")
            if self._idle:
                return self._idle.pop()
        return open_to_read(self._path, self._vfs, cache_kib=_READER_CACHE_KIB)

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

    def _note_log_frames(self, connection: apsw.Connection, database: str, frames: int) -> int:
        self._log_frames = frames
        return apsw.SQLITE_OK


class _Turns:
    """SQLite asks it, again and again, whether to wait for another process that writes."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._until = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if tries == 0:
            self._until = now + self._longest_s
        if now > self._until:
            return False
        time.sleep(_TURN_S)
        return True
