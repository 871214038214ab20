"""Opens the database of a store, wherever it lies."""

from collections.abc import Callable
from pathlib import Path

from fr_core.storage import protocol
from fr_core.storage.database import Database, now_ms
from fr_core.storage.grants import Grants
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.leases import FolderLeases, Leases
from fr_core.storage.location import Location, Postgres
from fr_core.storage.members import LASTS_S, Itself, Members, SoleMember
from fr_core.storage.schema import Schema
from fr_core.storage.shelf import Shelf, Values


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


def open_members(location: Location, itself: Itself, lasts_s: float = LASTS_S, folder: Path | None = None) -> Members:
    """Register a server with those that share its stores; `lasts_s` and `folder` as for `PostgresMembers`.

    Raises `StoreNewer`, `StoreFailed`.
    """
    if isinstance(location, Path):
        return SoleMember(itself, FolderLeases(location))
    from fr_core.storage.postgres.members import PostgresMembers
    from fr_core.storage.postgres.registry import Registry

    return PostgresMembers(Registry(location), itself, lasts_s, folder=folder)


def open_shared(location: Location, folder: Path, holder: str = "") -> tuple[Leases, Grants | None]:
    """Return the leases and the accounts of the servers that share the stores of a location, over one connection.

    In a folder, the processes of the machine share leases there, in `folder`, and no accounts. `holder` is the name of
    this server, and `folder` as for `PostgresLeases`. Raises as `open_members`.
    """
    if isinstance(location, Path):
        return FolderLeases(folder), None
    from fr_core.storage.postgres.grants import PostgresGrants
    from fr_core.storage.postgres.leases import PostgresLeases
    from fr_core.storage.postgres.registry import Registry

    registry = Registry(location)
    return PostgresLeases(registry, holder, folder=folder), PostgresGrants(registry)


def open_shelf(server: Postgres, key: KeyEncryptionKey) -> Shelf:
    """Return the shelf of a database; raises as `open_members`."""
    from fr_core.storage.postgres.registry import Registry
    from fr_core.storage.postgres.shelf import PostgresShelf

    return PostgresShelf(Registry(server), key)


def open_values(server: Postgres) -> Values:
    """Return the values that the servers of a database share; raises as `open_members`."""
    from fr_core.storage.postgres.registry import Registry
    from fr_core.storage.postgres.shelf import PostgresValues

    return PostgresValues(Registry(server))
