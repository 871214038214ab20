"""Examines a store in PostgreSQL from outside the server that has it open; only `set_mark` needs the key."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager

from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Postgres, schema_name
from fr_core.storage.marks import each_of, found_rows, mark_in, write_mark
from fr_core.storage.postgres.header import PostgresHeader
from fr_core.storage.postgres.link import Link
from fr_core.storage.postgres.locks import Locks
from fr_core.storage.protocol import Row
from fr_core.storage.schema import Schema

_BYTES = (
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
    "WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'r'"
)


@contextmanager
def looking(server: Postgres, schema: Schema) -> Iterator[Link]:
    """Yield a connection that reads, in a transaction.

    Raises `DatabaseUnreachable`, `ConfigInvalid` for an address that is not safe, `StoreFailed` and `StoreCorrupt`.
    """
    with driver_errors(), closing(Link(server, schema_name(schema), reads=True, first=True)) as link:
        link.begin_reading()
        yield link


def exists(server: Postgres, schema: Schema) -> bool:
    """Return whether there is a store; raises as `looking`."""
    with looking(server, schema) as link:
        return PostgresHeader(link).has_table("store_header")


def size_bytes(server: Postgres, schema: Schema) -> int:
    """Return the bytes of the tables of a store; raises as `looking`."""
    with looking(server, schema) as link:
        ((size,),) = link.run(_BYTES)
        return int(size)


def store_rows(server: Postgres, schema: Schema) -> list[Row]:
    """Return the version, id of the key and wrapped key of a store, as `marks.found_rows`; raises as `looking`."""
    with looking(server, schema) as link:
        return found_rows(link, PostgresHeader(link))


# Servers that shared a store once, and do not any more, leave their marks; the oldest give way.
_MOST_MARKS = 64


def set_mark(
    server: Postgres, schema: Schema, key: KeyEncryptionKey, mark: bytes, instead: Collection[bytes] = ()
) -> None:
    """Write a mark, 32 bytes, into a store that a server may have open, and remove those `instead`; b"" removes all.

    Raises `WrongKey`, `StoreCorrupt`, `StoreFailed`; nothing was changed.
    """
    # Closing the connection undoes what is not committed.
    with driver_errors(), closing(Link(server, schema_name(schema), first=True)) as link:
        Locks(link, schema).begin_writing()
        header = PostgresHeader(link)
        others = [one for one in each_of(mark_in(found_rows(link, header), key)) if one not in (mark, *instead)]
        write_mark(link, header, key, b"".join([*others, mark][-_MOST_MARKS:]) if mark else b"")
        link.run("COMMIT")
