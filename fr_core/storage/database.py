"""Opens the SQLite database of a store: one connection that writes, several that read, one that copies the log.

The connection that writes goes the shortest way to the disk, because people wait for it. No process copies the log in
any other way than by `log_copier`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from fr_core.errors import ShuttingDown, StoreCorrupt, StoreInUse, message
from fr_core.storage import protocol
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_recent
from fr_core.storage.connection import (
    SqliteHeader,
    Turns,
    columns_of,
    open_new,
    open_to_read,
    open_to_write,
    read_ahead,
    require_whole_file,
    settle,
    use_log,
    writing,
)
from fr_core.storage.data_folder import DataFolder, SharedFolder
from fr_core.storage.driver_errors import driver_errors, not_withdrawn
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.log_copier import LogCopier
from fr_core.storage.migrations import bring_up_to_date, known_version, make, unlocked
from fr_core.storage.schema import Schema
from fr_core.storage.sqlite_log import require_no_lost_commits
from fr_core.storage.statements import Reading, Transaction
from fr_core.storage.vault import Vault

# Of each reading connection; there are as many as reads at once. Each page that is read anew is checked anew: the rows
# of a search's candidates, which lie on as many pages, took three times as long with 256.
_READER_CACHE_KIB = 2_048
# The log is cut to this size when it is begun anew.
_LOG_BYTES = 64 * 2**20
# How long to wait for another process that writes.
_LONGEST_TURN_S = 5.0
# How long to wait for a process that brings an older store up to date, or for the last process of an older version.
_UPGRADE_S = 5.0


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


Q = TypeVar("Q")
T = TypeVar("T", bound=Transaction)


class Database:
    """The SQLite database of a store in its folder.

    Args:
        key: wraps the keys of the store; a new store is made under it.
        reserve_bytes: what must stay free on the disk for deletions to go on; 1/8 of the disk at most.
        vfs: SQLite's layer to the disk, by name; "" = its own.
        clock_ms: gives the audit its times, milliseconds since 1970, UTC.
        check: look at the last records of the audit, and at the whole file of a store that is not shared. Without it a
            copy of a damaged store opens, to be examined.

    Attributes:
        vault: the keys of the store.
        audit: over the connection that writes; for the thread that writes.
        log: copies the log into the database, and empties it.
        was_alone: whether no other process had the store open at first.

    Raises:
        StoreNewer: a later version wrote it; nothing was changed.
        StoreInUse: another process has it open, and it is of an older version or not shared; nothing was changed.
        WrongKey: it is under another key; nothing was changed.
        StoreCorrupt: it is damaged, or no store of this kind; nothing was changed.
        StoreFailed: the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        key: KeyEncryptionKey,
        reserve_bytes: int,
        vfs: str = "",
        *,
        clock_ms: Callable[[], int] = now_ms,
        check: bool = True,
    ) -> None:
        self.schema = schema
        self.folder = (SharedFolder if schema.shared else DataFolder)(path, schema)
        self._clock_ms = clock_ms
        self._check = check
        self._reserve_bytes = reserve_bytes
        self._vfs = vfs
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._idle: list[apsw.Connection] = []
        self._closed = False
        self._commit_failed = False
        with ExitStack() as opened:
            opened.callback(self.folder.close)
            if self.folder.alone and not self.folder.holds(schema.database_name):
                self._create(key)
            self._path = self.folder.private_file(schema.database_name)
            if self._checks_file:
                read_ahead(self._path)
            with driver_errors():
                self.writer = open_to_write(self._path, vfs)
                opened.callback(self.writer.close)
                was_older = self._open(key, opened)
                if not self.folder.alone:
                    self._withdraw()  # a commit of a process that was killed meanwhile
            if was_older:
                self.log.scrub()  # the rows that the steps have replaced
            self.was_alone = self.folder.alone
            self.folder.share()
            opened.pop_all()

    @property
    def _checks_file(self) -> bool:
        return self._check and not self.schema.shared

    def _create(self, key: KeyEncryptionKey) -> None:
        name = self.schema.database_name
        if self.folder.holds(f"{name}-wal"):
            raise StoreCorrupt(message("error.storage.write_ahead_log_without"), check="missing_database")
        with self.folder.whole_file(name) as path, driver_errors():
            connection = open_new(path, self._vfs, self.schema.application_id)
            try:
                make(connection, self.schema, Vault.new(key, self.schema.mac_prefix))
                use_log(connection)
            finally:
                connection.close()

    def _open(self, key: KeyEncryptionKey, opened: ExitStack) -> bool:
        """Make the connection that writes ready; returns whether the store was of an older version."""
        writer = self.writer
        if self._is_older() and not self.folder.alone:
            # Either a process of the older version has it open, or the one who was to change it has died before.
            self.folder.wait_alone(self._is_older, _UPGRADE_S)
        header = SqliteHeader(writer)
        version = known_version(header, self.schema)
        older = version < self.schema.version
        if older and not self.folder.alone:
            raise StoreInUse(message("error.storage.older_version_open_another", schema=self.schema.name))
        keyed = version >= self.schema.first_keyed
        self.vault = unlocked(writer, header, self.schema, key) if keyed else Vault.new(key, self.schema.mac_prefix)
        self.audit = AuditTable(writer, self.vault, self._clock_ms)
        if self._checks_file:
            require_whole_file(writer)
        use_log(writer)
        self.log = LogCopier(self._path, self._vfs, self.schema.name)
        opened.callback(self.log.close)
        if self.folder.alone:  # where nobody else writes, commits that the log leaves out are lost
            frames, _ = writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            if require_no_lost_commits(self._path, frames, int(writer.pragma("page_size"))):
                self.log.begin_anew()
        if self._check and version >= self.schema.first_audited:
            self._require_recent_audit()
        settle(writer)
        writer.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        writer.set_wal_hook(self._note_log_frames)
        writer.set_busy_handler(Turns(_LONGEST_TURN_S))
        if older:
            with writing(writer):
                bring_up_to_date(writer, header, self.schema, self.vault)
        return older

    def _require_recent_audit(self) -> None:
        self.writer.execute("BEGIN")
        try:
            require_recent(self.audit, self.writer)
        finally:
            self.writer.execute("ROLLBACK")

    def _is_older(self) -> bool:
        return known_version(SqliteHeader(self.writer), self.schema) < self.schema.version

    def reading(self) -> AbstractContextManager[Reading]:
        """Read the database within the block; raises `ShuttingDown`, and as `driver_errors`."""
        return self.reading_as(Reading)

    @contextmanager
    def reading_as(self, kind: Callable[[apsw.Connection, Vault], Q]) -> Iterator[Q]:
        """Read as `reading`, with further methods: those of `kind`."""
        with driver_errors():
            connection = self._reader()
            try:
                connection.execute("BEGIN")
                yield kind(connection, self.vault)
            finally:
                self._give_back(connection)

    @contextmanager
    def auditing(self) -> Iterator[AuditTable]:
        """Read the audit as of one moment, within the block; nothing can be appended."""
        with self.reading() as now:
            yield AuditTable(now, self.vault, self._clock_ms)

    @contextmanager
    def transaction(self, make: Callable[[Any], T]) -> Iterator[T]:
        """Write within the block: durable when the block has ended, undone where an exception leaves it.

        Raises:
            StoreCorrupt: as `driver_errors`.
            StoreFailed: likewise; nothing was kept, unless the message says that this is uncertain.
        """
        with self._writing, driver_errors():
            try:
                self._begin()
                transaction = make(self)
                yield transaction
                transaction.finish()
                self._commit()
            except BaseException:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        if self.writer.in_transaction:
            self.writer.execute("ROLLBACK")
        if self._commit_failed:
            self._withdraw()
        self.writer.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        try:
            self.writer.execute("COMMIT")
        except BaseException:
            self._commit_failed = True
            self._withdraw()
            raise

    def _withdraw(self) -> None:
        """Cut a failed commit off the log; raises `StoreFailed` where the disk refuses: a crash may bring it back."""
        writer = self.writer
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            writer.execute("BEGIN IMMEDIATE")  # another process may have written since
            try:
                self.log.withdraw(int(writer.pragma("page_size")))
            finally:
                writer.execute("ROLLBACK")
        except apsw.Error as error:
            raise not_withdrawn(error) from error
        self._commit_failed = False

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each table of the store."""
        with self._writing, driver_errors():
            return columns_of(self.writer)

    def alone_for(self) -> AbstractContextManager[None]:
        """Hold the store alone within the block; raises `StoreInUse` where others have it open."""
        return self.folder.alone_for()

    def building(self, *, wait: bool) -> AbstractContextManager[bool]:
        """Be the only one of all processes that builds something, see `DataFolder.building`."""
        return self.folder.building(wait=wait)

    def keep_numbers(self, last: Mapping[str, int]) -> None:
        """Do nothing: SQLite remembers the greatest number that a row of each table has had."""

    def require_whole(self) -> None:
        """Raise `StoreCorrupt` unless SQLite finds the file sound."""
        with self.reading() as now:
            require_whole_file(now)

    @property
    def is_shared(self) -> bool:
        """Return whether several processes may have the store open at once."""
        return self.schema.shared

    @property
    def is_lost(self) -> bool:
        """Return False: no process can take a store from the one that holds its folder."""
        return False

    def spare_bytes(self) -> int:
        """Return how many bytes may be added: the log must fit into the database, and what is added into both."""
        return (self.folder.spare_bytes(self._reserve_bytes) - self.log.frames * self.schema.page_bytes) // 2

    def close(self) -> None:
        """Close every connection; harmless when done twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        try:
            with self._writing, driver_errors():
                for connection in (*idle, self.writer):
                    connection.close()
                self.log.close()
        finally:
            self.folder.close()

    def _reader(self) -> apsw.Connection:
        with self._lock:
            if self._closed:
                raise ShuttingDown(message("error.storage.closed", schema=self.schema.name))
            if self._idle:
                return self._idle.pop()
        return self.new_reader()

    def new_reader(self) -> apsw.Connection:
        """Return another connection that reads, which the caller closes; raises `apsw.Error`."""
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
        self.log.frames = frames
        return apsw.SQLITE_OK


_IMPLEMENTS: type[protocol.Database] = Database
