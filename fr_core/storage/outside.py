"""Examines a store, in a folder or a database, from outside the process that has it open."""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fr_core.errors import StoreCorrupt, message
from fr_core.storage import marks
from fr_core.storage.connection import reading_outside
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location, Postgres
from fr_core.storage.members import Member
from fr_core.storage.protocol import Connection
from fr_core.storage.schema import Schema

_OLDEST = "SELECT body FROM audit WHERE seq > 0 ORDER BY seq LIMIT 1"
_LAST = "SELECT seq FROM audit_head"


def exists(location: Location, schema: Schema) -> bool:
    """Return whether there is a store; raises `OSError`, and as `postgres.outside`."""
    if isinstance(location, Path):
        return (location / schema.database_name).is_file()
    from fr_core.storage.postgres import outside

    return outside.exists(location, schema)


def size_bytes(location: Location, schema: Schema) -> tuple[int, int]:
    """Return the bytes of a database and of its log of changes (0 in PostgreSQL); raises as `exists`."""
    if isinstance(location, Path):
        database = location / schema.database_name
        try:
            log_bytes = database.with_name(f"{database.name}-wal").stat().st_size
        except FileNotFoundError:  # no process has the store open, not even one that has closed it just now
            log_bytes = 0
        return database.stat().st_size, log_bytes
    from fr_core.storage.postgres import outside

    return outside.size_bytes(location, schema), 0


def disk_bytes(location: Location) -> tuple[int, int] | None:
    """Return the free bytes and the size of the disk of a store, None in PostgreSQL; raises `OSError`."""
    if not isinstance(location, Path):
        return None
    disk = os.statvfs(location)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def is_marked(location: Location, schema: Schema) -> bool:
    """Return whether a store has a mark, see `marks.is_marked`."""
    if isinstance(location, Path):
        return marks.is_marked(location / schema.database_name)
    from fr_core.storage.postgres import outside

    return marks.any_marked(outside.store_rows(location, schema))


def mark_of(location: Location, schema: Schema, key: KeyEncryptionKey) -> bytes:
    """Return the mark of a store, see `marks.mark_of`."""
    if isinstance(location, Path):
        return marks.mark_of(location / schema.database_name, key)
    from fr_core.storage.postgres import outside

    return marks.mark_in(outside.store_rows(location, schema), key)


def set_mark(
    location: Location, schema: Schema, key: KeyEncryptionKey, mark: bytes, instead: Collection[bytes] = ()
) -> None:
    """Write a mark into a store, see `marks.set_mark`; in PostgreSQL instead of some, beside those of other servers."""
    if isinstance(location, Path):
        return marks.set_mark(location / schema.database_name, key, mark)
    from fr_core.storage.postgres import outside

    return outside.set_mark(location, schema, key, mark, instead)


def audit_extent(location: Location, schema: Schema) -> tuple[int, float | None]:
    """Return the number of the last record in the audit of a store, and the time of the oldest one.

    Other processes may use the store. The values are not verified: `VerifyAudit` does that. The time is in seconds
    since 1970, UTC; None if there is no record. Raises as `reading`.
    """
    with reading(location, schema) as connection:
        return _extent(connection)


@contextmanager
def reading(location: Location, schema: Schema) -> Iterator[Connection]:
    """Read a store within the block, as of one moment; needs no key, so that nothing is verified or opened.

    Raises `StoreFailed` or `StoreCorrupt` if the store is unreadable, and as `exists`.
    """
    if isinstance(location, Path):
        with reading_outside(location / schema.database_name) as connection:
            yield connection
        return
    from fr_core.storage.postgres.outside import looking

    with looking(location, schema) as link:
        yield link


def servers_of(server: Postgres) -> tuple[tuple[Member, ...], dict[str, str]]:
    """Return the servers that are registered in a database, and for each lease the name of its holder.

    Raises `DatabaseUnreachable`, `DatabaseUnusable`, `StoreNewer`, and `StoreFailed`.
    """
    from fr_core.storage.postgres import leases, members, registry, settings

    settings.require_usable(server)
    with closing(registry.Registry(server, server.connect_timeout_s)) as opened:
        return members.registered(opened), leases.PostgresLeases(opened, "").holders()


def require_ready(server: Postgres, stores: int, shared: int) -> None:
    """Require that a database is safe to use and has room for the connections of a server.

    `stores` and `shared`: as in `settings.require_room`. Raises as it and `settings.require_usable`.
    """
    from fr_core.storage.postgres import settings

    settings.require_usable(server)
    settings.require_room(server, stores, shared)


def _extent(connection: Connection) -> tuple[int, float | None]:
    at_s = None
    for (body,) in connection.execute(_OLDEST):
        try:
            at_s = json.loads(body)["at_ms"] / 1000
        except (ValueError, TypeError, KeyError):
            raise StoreCorrupt(message("error.server.audit_does_not_state"), check="audit") from None
    for (seq,) in connection.execute(_LAST):
        return int(seq), at_s
    raise StoreCorrupt(message("error.server.audit_does_not_state"), check="audit_head")
