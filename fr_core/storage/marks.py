"""Reads and writes the mark of a store: the seal of the configuration that last served it, wrapped with its key.

Every kind of store has it, in the table `store`. Nobody can remove or exchange it without the key. Putting back an
older copy of the whole store also puts back its mark; checkpoints of the audit detect that.
"""

from contextlib import closing
from pathlib import Path

import apsw

from fr_core.storage.connection import SqliteHeader, open_to_write, reading_outside, settle, use_log
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.log_copier import LogCopier
from fr_core.storage.migrations import write_store_row
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Vault, bears_mark

# The columns of the row of a store that signs it; others have the middle ones, see `Schema.signs_store`.
_SIGNED_COLUMNS = 5


def is_marked(database: Path) -> bool:
    """Return whether a store has a mark; needs no key. A store whose mark was cut off cannot be opened.

    Raises `StoreCorrupt` or `StoreFailed` if the database cannot be read.
    """
    with reading_outside(database) as connection:
        return any(bears_mark(wrapped) for _, _, wrapped in _found(connection))


def mark_of(database: Path, key: KeyEncryptionKey) -> bytes:
    """Return the mark of a store, 32 bytes; b"" if it has none.

    Raises `WrongKey`: it is under another key; `StoreCorrupt`, `StoreFailed`: the database cannot be read, or was
    changed.
    """
    with reading_outside(database) as connection:
        return next((Vault.unlocked(key, *row).mark for _, *row in _found(connection)), b"")


def set_mark(database: Path, key: KeyEncryptionKey, mark: bytes) -> None:
    """Write a mark (32 bytes, or b"") into a store that may be open anywhere, and copy it from the log into the
    database.

    Raises:
        WrongKey, StoreCorrupt: as `mark_of`; nothing was changed.
        StoreFailed: the disk refuses, or other processes read or write for too long; run it again.
    """
    with driver_errors():
        with closing(open_to_write(database, "")) as connection:
            use_log(connection)
            settle(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                for version, *row in _found(connection):
                    write_store_row(connection, Vault.unlocked(key, *row).marked(mark), version)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        with closing(LogCopier(database, "", "store")) as log:
            log.empty()


def _found(connection: apsw.Connection) -> list[Row]:
    """Return (version, key_id, wrapped_key) of a store; None for a version that is not signed, no row without a key.

    The prefix of its MACs is not known here: only stores without one sign this row.
    """
    if not SqliteHeader(connection).has_table("store"):
        return []
    rows: list[Row] = connection.execute("SELECT * FROM store").fetchall()
    return [row[1:4] if len(row) == _SIGNED_COLUMNS else (None, *row[1:3]) for row in rows]
