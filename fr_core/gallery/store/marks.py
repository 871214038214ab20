"""The mark of a store: the seal of the configuration that it was last served under, wrapped together with its key.

Every kind of store has it, in the table `store`. Nobody without the key can take it off or exchange it. Putting back an
older copy of the whole store also puts back its mark; checkpoints of the audit detect that.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from fr_core.gallery.store.checkpoint_vfs import CheckpointVfs
from fr_core.gallery.store.connection import open_to_read, open_to_write, settle, use_log
from fr_core.gallery.store.keys import KeyEncryptionKey
from fr_core.gallery.store.schema import APPLICATION_ID
from fr_core.gallery.store.sqlite_rows import sqlite_errors
from fr_core.gallery.store.upgrade import write_store_row
from fr_core.gallery.store.vault import Vault, bears_mark

# How long to try to copy the log, and between two tries.
_COPY_S, _AGAIN_S = 10.0, 0.01
_FIND = "SELECT key_id, wrapped_key FROM store"


def is_marked(database: Path) -> bool:
    """Return whether a store bears a mark; needs no key. One whose mark was cut off cannot be opened.

    Raises:
        StoreCorrupt, StoreFailed: the database cannot be read.
    """
    with sqlite_errors(), closing(open_to_read(database, outside=True)) as connection:
        return any(bears_mark(wrapped) for _, wrapped in _found(connection))


def mark_of(database: Path, key: KeyEncryptionKey) -> bytes:
    """Return the mark of a store, 32 bytes; b"" where it has none.

    Raises:
        WrongKey: it is under another key.
        StoreCorrupt, StoreFailed: the database cannot be read, or what it holds was changed.
    """
    with sqlite_errors(), closing(open_to_read(database, outside=True)) as connection:
        return next((Vault.unlocked(key, *row).mark for row in _found(connection)), b"")


def set_mark(database: Path, key: KeyEncryptionKey, mark: bytes) -> None:
    """Give a store that is open, here or in another process, a mark; it is then in the database, not in its log alone.

    Args:
        database: of the store.
        key: of the store.
        mark: 32 bytes, or b"" for none.

    Raises:
        WrongKey, StoreCorrupt: as `mark_of`; nothing was changed.
        StoreFailed: the disk refuses, or others write or read for too long; run it again.
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
    """Copy the log into the database; where another process copies it, SQLite does not wait by itself."""
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
