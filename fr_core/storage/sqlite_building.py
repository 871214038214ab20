"""Builds the SQLite file of a store from the rows of another store, see `moving`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from fr_core.storage.connection import SqliteHeader, columns_of, open_new, use_log
from fr_core.storage.data_folder import DataFolder, SharedFolder
from fr_core.storage.keys import KEY_BYTES, KeyEncryptionKey
from fr_core.storage.migrations import make
from fr_core.storage.protocol import Row
from fr_core.storage.schema import Schema
from fr_core.storage.vault import Vault


class _NewStore:
    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.header = SqliteHeader(connection)
        self.columns = columns_of(connection)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add whole rows to a table."""
        names = self.columns[table]
        marks = ", ".join("?" * len(names))
        self.connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)

    def set_numbers(self, last: Mapping[str, int]) -> None:
        """Set the greatest number that a row of each table has ever had."""
        self.connection.execute("DELETE FROM sqlite_sequence")
        self.connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", last.items())


@contextmanager
def new_store(path: Path, schema: Schema) -> Iterator[_NewStore]:
    """Yield an empty store, whose file gets its name, whole and durable, when the block has ended.

    Raises `StoreInUse` or `StoreFailed` if the folder cannot be held, and `apsw.Error`.
    """
    folder = (SharedFolder if schema.shared else DataFolder)(path, schema)
    with closing(folder), folder.whole_file(schema.database_name) as file:
        connection = open_new(file, "", schema.application_id)
        try:
            # The rows of the source bring their own keys.
            make(connection, schema, Vault.new(KeyEncryptionKey(os.urandom(KEY_BYTES)), schema.mac_prefix))
            made = _NewStore(connection)
            connection.execute("BEGIN")
            for table in reversed(made.columns):
                connection.execute(f"DELETE FROM {table}")
            yield made
            connection.execute("COMMIT")
            use_log(connection)
        finally:
            connection.close()
