"""Reads and writes the mark of a store: the seal of the configuration that last served it, wrapped with its key.

A store in PostgreSQL has the marks of all servers that share it, one after another: each has a seal of its own.
Every kind of store has it, in the table `store`. Nobody can remove or exchange it without the key. Putting back an
older copy of the whole store also puts back its mark; checkpoints of the audit detect that.
"""

from contextlib import closing
from pathlib import Path

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.connection import SqliteHeader, open_to_write, reading_outside, settle, use_log, writing
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.log_copier import LogCopier
from fr_core.storage.migrations import SIGNED_COLUMNS, UNSIGNED_COLUMNS, write_store_row
from fr_core.storage.protocol import Connection, Header, Row
from fr_core.storage.vault import MARK_BYTES, Vault, bears_mark


def is_marked(database: Path) -> bool:
    """Return whether a store has a mark; needs no key. A store whose mark was cut off cannot be opened.

    Raises `StoreCorrupt` or `StoreFailed` if the database cannot be read.
    """
    with reading_outside(database) as connection:
        return any_marked(found_rows(connection, SqliteHeader(connection)))


def mark_of(database: Path, key: KeyEncryptionKey) -> bytes:
    """Return the mark of a store, 32 bytes for each seal; b"" if it has none.

    Raises `WrongKey`: it is under another key; `StoreCorrupt`, `StoreFailed`: the database cannot be read, or was
    changed.
    """
    with reading_outside(database) as connection:
        return mark_in(found_rows(connection, SqliteHeader(connection)), key)


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
            with writing(connection):
                write_mark(connection, SqliteHeader(connection), key, mark)
        with closing(LogCopier(database, "", "store")) as log:
            log.empty()


def each_of(mark: bytes) -> list[bytes]:
    """Return the mark of each seal, 32 bytes."""
    return [mark[at : at + MARK_BYTES] for at in range(0, len(mark), MARK_BYTES)]


def write_mark(connection: Connection, header: Header, key: KeyEncryptionKey, mark: bytes) -> None:
    """Write a mark within a transaction; raises as `mark_of`."""
    for version, *row in found_rows(connection, header):
        write_store_row(connection, Vault.unlocked(key, *row).marked(mark), version)


def any_marked(rows: list[Row]) -> bool:
    """Return whether rows of `found_rows` have a mark."""
    return any(bears_mark(wrapped) for _, _, wrapped in rows)


def mark_in(rows: list[Row], key: KeyEncryptionKey) -> bytes:
    """Return the mark in rows of `found_rows`; raises as `mark_of`."""
    return next((Vault.unlocked(key, *row).mark for _, *row in rows), b"")


def found_rows(connection: Connection, header: Header) -> list[Row]:
    """Return (version, key_id, wrapped_key) of a store; None for a version that is not signed, no row without a key.

    The prefix of its MACs is not known here: only stores without one sign this row. Raises `StoreCorrupt`: the row
    lacks columns, or has others.
    """
    if not header.has_table("store"):
        return []
    rows: list[Row] = list(connection.execute("SELECT * FROM store"))
    if any(len(row) not in (SIGNED_COLUMNS, UNSIGNED_COLUMNS) for row in rows):
        raise StoreCorrupt(message("error.storage.database_damaged"), check="store")
    return [row[1:4] if len(row) == SIGNED_COLUMNS else (None, *row[1:3]) for row in rows]
