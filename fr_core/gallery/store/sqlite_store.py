"""The durable truth: SQLite with a write-ahead log, synced at each commit, one connection that writes.

Templates and photos are encrypted, everything else is authenticated; see `vault`. What is deleted leaves nothing
behind: `secure_delete` and `clean_pages` overwrite it with zeros in the database file, `scrub` empties the write-ahead
log, and temporary data stay in memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from fr_core.errors import FrError, KeyUnavailable, ShuttingDown, StoreCorrupt, StoreFailed
from fr_core.gallery.store.auditing import now_ms
from fr_core.gallery.store.protocol import StoredVectors
from fr_core.gallery.store.schema import APPLICATION_ID
from fr_core.gallery.store.sqlite_check import read_vectors, require_consistent, require_whole_file
from fr_core.gallery.store.sqlite_snapshot import SqliteSnapshot
from fr_core.gallery.store.sqlite_transaction import Numbers, SqliteTransaction
from fr_core.gallery.store.upgrade import bring_up_to_date, known_version, last_numbers, rewrap, unlocked
from fr_core.storage.audit.keys import MacKeys
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_recent
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.clean_pages import DATABASE_HEADER
from fr_core.storage.connection import (
    BUSY_MS,
    PAGE_BYTES,
    keep_log,
    open_new_store,
    open_to_read,
    open_to_write,
    settle,
    use_log,
)
from fr_core.storage.data_folder import DataFolder
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.sqlite_errors import not_withdrawn, sqlite_errors
from fr_core.storage.sqlite_log import require_no_lost_commits, truncate_log
from fr_core.storage.vault import Vault

DATABASE_NAME = "galleries.db"
RESERVE_BYTES = 64 * 2**20

_log = logging.getLogger(__name__)

# Frames of the write-ahead log after which it is copied into the database (8 MiB), and after which this is done even if
# it must wait for the searches that run (64 MiB).
_CHECKPOINT_FRAMES = 1_024
_TRUNCATE_FRAMES = 8_192
_SCRUB_S = 10.0
# Pages that each reading connection keeps; there are as many connections as searches at once, and the system has the
# pages too.
_READER_CACHE_KIB = 256
# How long a checkpoint waits, each time, for snapshots that were taken before; nobody writes meanwhile. Searches give
# theirs back sooner; a backup does not, and writers have the same time between two attempts.
_CHECKPOINT_MS = 100
# The schema of stores whose templates were not encrypted, and the first of those with an audit.
_PLAIN_VERSION = 1
_AUDITED_VERSION = 5


class SqliteStore:
    """A `Store` in one file of a data folder, which it holds for itself until closed.

    Args:
        folder: the data folder, made where it is not there.
        key: wraps the keys of the store; a new store is made under it, and so is one of version 1, which had none.
        reserve_bytes: what must stay free on the disk for deletions and searches to go on; 1/8 of the disk at most.
        vfs: SQLite's layer to the disk, by name; "" = its own.
        clock_ms: gives the audit its times, milliseconds since 1970, UTC.

    Raises:
        StoreInUse: the folder is open already.
        StoreNewer: a later version wrote it; nothing was changed.
        WrongKey: it is under another key; nothing was changed.
        StoreCorrupt: it is damaged, contradicts itself, or is no store of FR Core; nothing was changed.
        StoreFailed: the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        key: KeyEncryptionKey,
        *,
        reserve_bytes: int = RESERVE_BYTES,
        vfs: str = "",
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._folder = DataFolder(folder)
        self._reserve_bytes = reserve_bytes
        self._vfs = vfs
        self._clock_ms = clock_ms
        self._checkpoints = CheckpointVfs(vfs)
        self._idle: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        self._log_frames = 0
        self._scrubbed = False
        self._commit_failed = False
        try:
            if not self._folder.holds(DATABASE_NAME):
                self._create(key)
            self._path = self._folder.private_file(DATABASE_NAME)
            with sqlite_errors():
                self._writer = open_to_write(self._path, self._checkpoints.vfs_name)
                try:
                    self._open(key)
                except BaseException:
                    self._writer.close()
                    raise
        except BaseException:
            self._folder.close()
            raise

    def _create(self, key: KeyEncryptionKey) -> None:
        """Make a database under another name, and give it its own when it is whole.

        So a database that is empty, or has no tables, is never one that is about to get them: it has lost them.
        """
        if self._folder.holds(f"{DATABASE_NAME}-wal"):
            raise StoreCorrupt("There is a write-ahead log without its database.", check="missing_database")
        with self._folder.whole_file(DATABASE_NAME) as path, sqlite_errors():
            connection = open_new_store(path, self._checkpoints.vfs_name, APPLICATION_ID)
            try:
                bring_up_to_date(connection, Vault.new(key))
                connection.execute("VACUUM")  # the pages of the older versions of its tables
                use_log(connection)
            finally:
                connection.close()

    def _open(self, key: KeyEncryptionKey) -> None:
        writer = self._writer
        version = known_version(writer)
        vault = Vault.new(key) if version == 1 else unlocked(writer, key)
        require_whole_file(writer)
        use_log(writer)
        self._require_whole_log()
        self._audit_keys = MacKeys(vault.mac)
        self._audit = AuditTable(writer, self._audit_keys, self._clock_ms)
        if version >= _AUDITED_VERSION:
            require_recent(self._audit, writer)
        settle(writer)
        moved = bring_up_to_date(writer, vault)
        self._vault = vault
        self._numbers = Numbers(last_numbers(writer))
        writer.set_wal_hook(self._note_log_frames)
        if moved:
            self.scrub()  # what was not encrypted must not stay in the log

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        """See `Store`."""
        with sqlite_errors():
            connection = self._reader()
        try:
            with sqlite_errors():
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM galleries LIMIT 1").fetchall()  # the snapshot is taken by reading
            yield SqliteSnapshot(connection, self._vault)
        finally:
            with sqlite_errors():
                self._give_back(connection)

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """See `Store`."""
        with self._writing:
            with sqlite_errors():
                self._undo()
                if self._commit_failed:
                    self._withdraw()
                self._writer.execute("BEGIN IMMEDIATE")
            try:
                transaction = SqliteTransaction(
                    self._writer, self._vault, self._numbers, self._spare_bytes, self._audit
                )
                yield transaction
                with sqlite_errors():
                    transaction.finish()
                    self._scrubbed = False
                    self._commit()
            except BaseException:
                with sqlite_errors():
                    self._undo()
                raise

    @contextmanager
    def auditing(self) -> Iterator[AuditTable]:
        """See `Store`."""
        with self.snapshot() as snapshot, sqlite_errors():
            yield AuditTable(snapshot.connection, self._audit_keys, self._clock_ms)

    def vectors(self, rows: int) -> Iterator[StoredVectors]:
        """See `Store`; authenticates every other row first, photos excepted."""
        with self.snapshot() as snapshot, sqlite_errors():
            require_consistent(snapshot.connection, self._vault)
            yield from read_vectors(snapshot.connection, self._vault, rows)
        with self._writing:
            keep_log(self._writer, False)  # the store is sound
        if not self._scrubbed:
            self._try_checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)  # what was erased before the process died

    def rotate(self, new_key: KeyEncryptionKey) -> bool:
        """Put the store under another key; while it is done, and until it is durable, the key before stays valid.

        The keys of the subjects are wrapped anew; what they encrypt stays.

        Returns:
            Whether the keys as they were wrapped before are overwritten. Else the store is under the new key all the
            same, and they are overwritten by the next start.

        Raises:
            KeyUnavailable: it is the key that the store is under; nothing was changed.
            StoreCorrupt: a row was altered; nothing was changed.
            StoreFailed: the disk refuses; nothing was changed.
        """
        if new_key.key_id == self._vault.key_id:
            raise KeyUnavailable("The store already uses the new key.", key_id=new_key.key_id)
        vault = self._vault.under(new_key)
        with self.transaction() as transaction, sqlite_errors():
            rewrap(transaction.connection, self._vault, vault)
        self._vault = vault
        try:
            self.scrub()
        except FrError as error:  # the store is under the new key, whatever it is
            _log.warning("the keys as they were wrapped before are not overwritten yet: %s", error.what)
            return False
        return True

    def scrub(self) -> None:
        """See `Store`."""
        until = time.monotonic() + _SCRUB_S
        while not self._scrubbed:
            try:
                with self._writing, sqlite_errors():
                    if self._closed:
                        raise ShuttingDown("The galleries are closed.")
                    self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except StoreFailed as error:
                if not isinstance(error.__cause__, apsw.BusyError) or time.monotonic() > until:
                    raise
                time.sleep(_CHECKPOINT_MS / 1000)

    def tidy(self) -> None:
        """Copy the write-ahead log into the database when it has grown long; see `Store`."""
        if self._log_frames >= _TRUNCATE_FRAMES:
            self._try_checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        elif self._log_frames >= _CHECKPOINT_FRAMES:
            self._try_checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        """See `Store`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        try:
            with self._writing, sqlite_errors():
                for connection in (*idle, self._writer):
                    connection.close()
        finally:
            self._folder.close()

    def _try_checkpoint(self, mode: int) -> None:
        try:
            with self._writing, sqlite_errors():
                self._checkpoint(mode)
        except StoreCorrupt as error:
            _log.error("the write-ahead log could not be copied into a store that is damaged: %s", error.what)
        except FrError as error:
            # Nothing is lost: the log keeps everything until a later attempt succeeds.
            _log.warning("the write-ahead log of %d pages could not be copied: %s", self._log_frames, error.reason)

    def _checkpoint(self, mode: int) -> None:
        self._writer.set_busy_timeout(_CHECKPOINT_MS)
        try:
            self._writer.wal_checkpoint(mode=mode)
        finally:
            self._writer.set_busy_timeout(BUSY_MS)
        if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
            self._log_frames = 0
            self._scrubbed = True

    def _require_whole_log(self) -> None:
        frames, _ = self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        if require_no_lost_commits(self._path, frames, int(self._writer.pragma("page_size"))):
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _spare_bytes(self) -> int:
        # What is in the log must fit into the database too, and so must what is about to be added to it: nothing can be
        # erased where the log cannot be copied.
        return (self._folder.spare_bytes(self._reserve_bytes) - self._log_frames * PAGE_BYTES) // 2

    def _reader(self) -> apsw.Connection:
        with self._lock:
            if self._closed:
                raise ShuttingDown("The galleries are closed.")
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

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except BaseException:
            self._commit_failed = True
            self._withdraw()
            raise

    def _withdraw(self) -> None:
        """Take off the log what a commit that failed has left there; raises `StoreFailed` where the disk refuses."""
        try:
            self._undo()
            frames, _ = self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            truncate_log(self._path, frames, int(self._writer.pragma("page_size")), self._vfs)
        except apsw.Error as error:
            raise not_withdrawn(error) from error
        self._commit_failed = False

    def _undo(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _note_log_frames(self, connection: apsw.Connection, database: str, frames: int) -> int:
        self._log_frames = frames
        return apsw.SQLITE_OK


def is_under_key(folder: Path) -> bool:
    """Whether a data folder holds a store whose templates are encrypted; a damaged one counts as such."""
    try:
        with (folder / DATABASE_NAME).open("rb") as file:
            header = file.read(DATABASE_HEADER)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # opening the store will tell what it is
    # https://www.sqlite.org/fileformat2.html: the user version, four bytes, the first of them the highest.
    return int.from_bytes(header[60:64], "big") != _PLAIN_VERSION
