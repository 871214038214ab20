"""Reads and writes the mark of a store: the seal of the configuration that last served it, wrapped with its key.

Every kind of store has it, in the table `store`. Without the key it cannot be removed or exchanged. Putting back an
older copy of the whole store also puts back its mark; checkpoints of the audit detect that.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from fr_core.gallery.store.schema import APPLICATION_ID
from fr_core.gallery.store.upgrade import write_store_row
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.connection import open_to_read, open_to_write, settle, use_log
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.sqlite_errors import sqlite_errors
from fr_core.storage.vault import Vault, bears_mark

# Time limit for copying the log, and pause between two tries.
_COPY_S, _AGAIN_S = 10.0, 0.01
_FIND = "SELECT key_id, wrapped_key FROM store"


def is_marked(database: Path) -> bool:
    """Return whether a store has a mark; needs no key. A store whose mark was cut off cannot be opened.

    Raises:
        StoreCorrupt, StoreFailed: the database cannot be read.
    """
    with sqlite_errors(), closing(open_to_read(database, outside=True)) as connection:
        return any(bears_mark(wrapped) for _, wrapped in _found(connection))


def mark_of(database: Path, key: KeyEncryptionKey) -> bytes:
    """Return the mark of a store, 32 bytes; b"" if it has none.

    Raises:
        WrongKey: it is under another key.
        StoreCorrupt, StoreFailed: the database cannot be read, or was changed.
    """
    with sqlite_errors(), closing(open_to_read(database, outside=True)) as connection:
        return next((Vault.unlocked(key, *row).mark for row in _found(connection)), b"")


def set_mark(database: Path, key: KeyEncryptionKey, mark: bytes) -> None:
    """Write a mark into a store that is open here or in another process, and copy it from the log into the database.

    Args:
        database: of the store.
        key: of the store.
        mark: 32 bytes, or b"" for none.

    Raises:
        WrongKey, StoreCorrupt: as `mark_of`; nothing was changed.
        StoreFailed: the disk refuses, or other processes read or write for too long; run it again.
    """
    vfs = CheckpointVfs()
    with sqlite_errors(), closing(open_to_write(database, vfs.vfs_name)) as connection:
        use_log(connection)
        settle(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            for row in _found(connection):
                _write(connection, Vault.unlocked(key, *row).marked(mark))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        _copy_log(connection)


def _copy_log(connection: apsw.Connection) -> None:
    """Copy the log into the database, and wait for other processes that copy it, as SQLite does not."""
    until = time.monotonic() + _COPY_S
    while True:
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def _found(connection: apsw.Connection) -> list[tuple[Any, ...]]:
    """Return the row of the table `store`; nothing for the oldest stores, which have no such table."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'store'").fetchall():
        return []
    rows: list[tuple[Any, ...]] = connection.execute(_FIND).fetchall()
    return rows


def _write(connection: apsw.Connection, vault: Vault) -> None:
    if int(connection.pragma("application_id")) == APPLICATION_ID:
        write_store_row(connection, vault, int(connection.pragma("user_version")))
    else:
        connection.execute("UPDATE store SET wrapped_key = ?", (vault.wrapped(),))
