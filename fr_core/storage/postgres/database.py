"""Keeps a store in a PostgreSQL database: one connection that writes and holds the store, several that read.

Several servers may have a store open. Each transaction that writes takes a lock, so that they write in turns; the lock
that each of them shares says to commands that need the store alone that it is open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any, TypeVar

from fr_core.errors import ShuttingDown, StoreInUse, message
from fr_core.storage import protocol
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_recent
from fr_core.storage.driver_errors import StatementFailed, driver_errors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Postgres, schema_name
from fr_core.storage.migrations import bring_up_to_date, known_version, make_tables, unlocked
from fr_core.storage.postgres.header import PostgresHeader
from fr_core.storage.postgres.link import Link
from fr_core.storage.postgres.locks import Lock, Locks
from fr_core.storage.postgres.readers import Readers
from fr_core.storage.postgres.settings import require_usable
from fr_core.storage.postgres.upkeep import Upkeep
from fr_core.storage.postgres.writing import WritingLink
from fr_core.storage.schema import Schema
from fr_core.storage.statements import Reading, Transaction
from fr_core.storage.vault import Vault

Q = TypeVar("Q")
T = TypeVar("T", bound=Transaction)

# What PostgreSQL has free is not known here; a full disk fails the change, and nothing of it is kept.
_ROOM_BYTES = 2**62


class PostgresDatabase:
    """The schema of a PostgreSQL database that holds a store.

    Args:
        key: wraps the keys of the store; a new store is made under it.
        clock_ms: gives the audit its times, milliseconds since 1970, UTC.
        check: look at the last records of the audit, and hold the store. Without it the store is only read, beside a
            server that may have it open.

    Attributes:
        vault: the keys of the store.
        audit: over the connection that writes; for the thread that writes.
        was_alone: whether no other process had the store open at first.

    Raises:
        ConfigInvalid, DatabaseUnreachable, DatabaseUnusable: as `require_usable`; nothing was changed.
        StoreNewer: a later version wrote it; nothing was changed.
        StoreInUse: another server has it open, and it is of an older version; nothing was changed.
        WrongKey: it is under another key; nothing was changed.
        StoreCorrupt: it is damaged, or no store of this kind; nothing was changed.
        StoreFailed: the database fails.
    """

    def __init__(
        self,
        server: Postgres,
        schema: Schema,
        key: KeyEncryptionKey,
        *,
        clock_ms: Callable[[], int],
        check: bool = True,
    ) -> None:
        require_usable(server)
        self.schema = schema
        self._clock_ms = clock_ms
        self._server = server
        self._name = schema_name(schema)
        self._writing = threading.Lock()
        self._closed = False
        with driver_errors(), ExitStack() as opened:
            self.writer = WritingLink(server, self._name, schema, lambda: self.vault.key_id)
            opened.callback(self.writer.close)
            self._header = PostgresHeader(self.writer)
            self.was_alone = False
            if check:
                self.was_alone = self._take_up(key)
            self.vault = self._unlocked(key)
            self.audit = AuditTable(self.writer, self.vault, clock_ms)
            if check:
                with self.writer.changing():
                    require_recent(self.audit, self.writer)
                self.writer.begin_holding()
                self.writer.locks.release(Lock.OPENING)
            self._readers = Readers(server, self._name, schema.name)
            self.log = Upkeep(server, self._name, schema)
            opened.pop_all()

    def _take_up(self, key: KeyEncryptionKey) -> bool:
        """Hold the store, made or brought up to date; returns whether nobody else held it."""
        locks, schema = self.writer.locks, self.schema
        locks.take(Lock.OPENING)
        alone = locks.try_take(Lock.HELD)
        locks.share(Lock.HELD)
        if not self._header.exists(schema):
            with self.writer.changing():
                self._header.create(schema, self._name)
                make_tables(self.writer, self._header, schema, Vault.new(key, schema.mac_prefix))
        elif known_version(self._header, schema) < schema.version:
            # PostgreSQL needs a moment to notice that a process has ended which held the store.
            alone = alone or locks.try_take(Lock.HELD, self._server.lock_timeout_s)
            if not alone:
                raise StoreInUse(message("error.storage.older_version_open_another", schema=schema.name))
            vault = self._unlocked(key)
            with self.writer.changing():
                bring_up_to_date(self.writer, self._header, schema, vault)
        if alone:
            locks.release(Lock.HELD)
        return alone

    def _unlocked(self, key: KeyEncryptionKey) -> Vault:
        known_version(self._header, self.schema)
        return unlocked(self.writer, self._header, self.schema, key)

    def reading(self) -> AbstractContextManager[Reading]:
        """Read the database within the block; raises `ShuttingDown`, and as `driver_errors`."""
        return self.reading_as(Reading)

    @contextmanager
    def reading_as(self, kind: Callable[[Link, Vault], Q]) -> Iterator[Q]:
        """Read as `reading`, with what `kind` makes of a connection and the keys."""
        with driver_errors(), self._readers.reading() as link:
            yield kind(link, self.vault)

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
            if self._closed:
                raise ShuttingDown(message("error.storage.closed", schema=self.schema.name))
            try:
                self.writer.begin()
                transaction = make(self)
                yield transaction
                transaction.finish()
                self.writer.commit()
            except BaseException as error:
                self.writer.roll_back()
                if isinstance(error, StatementFailed) and error.is_read_only:
                    self.writer.disconnect()
                raise

    def keep_numbers(self, last: Mapping[str, int]) -> None:
        """Remember the greatest number that was given to a row of each table, even if the row is deleted again."""
        self.writer.keep_numbers(last)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each table of the store."""
        with self._writing, driver_errors():
            return self._header.columns()

    @contextmanager
    def alone_for(self) -> Iterator[None]:
        """Hold the store alone within the block; raises `StoreInUse` where others have it open."""
        locks = self.writer.locks
        with self._writing, driver_errors():
            if not locks.try_take(Lock.HELD):
                raise StoreInUse(message("error.storage.open_another_process", schema=self.schema.name))
        try:
            yield
        finally:
            with self._writing, driver_errors():
                locks.release(Lock.HELD)

    @contextmanager
    def building(self, *, wait: bool) -> Iterator[bool]:
        """Let no other process build within the block; for work that takes several transactions."""
        with driver_errors():
            link = Link(self._server, self._name)
        with closing(link):
            with driver_errors():
                locks = Locks(link, self.schema)
                if wait:  # for as long as another builds
                    link.wait_for_ever()
                    locks.take(Lock.BUILDING)
                mine = wait or locks.try_take(Lock.BUILDING)
            yield mine

    @property
    def is_shared(self) -> bool:
        """Return True: any number of servers may have the store open."""
        return True

    @property
    def is_lost(self) -> bool:
        """Return whether the store was put under another key, in which case this process must end."""
        return self.writer.is_lost

    def spare_bytes(self) -> int:
        """Return how many bytes may be added, which PostgreSQL does not say."""
        return _ROOM_BYTES

    def require_whole(self) -> None:
        """Do nothing: PostgreSQL checks the sums of its pages as it reads them, and `pg_amcheck` its indexes."""

    def new_reader(self) -> Link:
        """Return another connection that reads, which the caller closes; raises `StatementFailed`."""
        return Link(self._server, self._name, reads=True)

    def close(self) -> None:
        """Close every connection; harmless when done twice."""
        self._closed = True
        self._readers.close()
        with self._writing:
            self.writer.close()


_IMPLEMENTS: type[protocol.Database] = PostgresDatabase
