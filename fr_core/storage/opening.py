"""Opens the database of a store, wherever it lies."""

from collections.abc import Callable
from pathlib import Path

from fr_core.storage import protocol
from fr_core.storage.database import Database, now_ms
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_core.storage.schema import Schema


def open_database(
    location: Location,
    schema: Schema,
    key: KeyEncryptionKey,
    reserve_bytes: int = 0,
    vfs: str = "",
    *,
    clock_ms: Callable[[], int] = now_ms,
    check: bool = True,
) -> protocol.Database:
    """Open the database of a store in a folder or in PostgreSQL; a new one is made under the key.

    Arguments and errors are those of `Database` and `PostgresDatabase`; `vfs` and `reserve_bytes` are of SQLite alone.
    """
    if isinstance(location, Path):
        return Database(location, schema, key, reserve_bytes, vfs, clock_ms=clock_ms, check=check)
    # The default store needs no driver of PostgreSQL, which may not be installed.
    from fr_core.storage.postgres.database import PostgresDatabase

    return PostgresDatabase(location, schema, key, clock_ms=clock_ms, check=check)
