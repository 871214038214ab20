"""Builds the schema of a store from the rows of another store, in one transaction, see `moving`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

from fr_core.errors import StoreInUse, TargetTaken, message
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.keys import KEY_BYTES, KeyEncryptionKey
from fr_core.storage.location import Postgres, name_of, schema_name
from fr_core.storage.migrations import make_tables
from fr_core.storage.postgres.header import PostgresHeader
from fr_core.storage.postgres.link import Link
from fr_core.storage.postgres.locks import Lock, Locks
from fr_core.storage.postgres.settings import require_usable
from fr_core.storage.protocol import Row
from fr_core.storage.schema import Schema
from fr_core.storage.vault import Vault


class _NewStore:
    def __init__(self, link: Link, header: PostgresHeader) -> None:
        self.connection = link
        self.header = header
        self.columns = header.columns()

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add whole rows to a table."""
        self.connection.copy_in(table, self.columns[table], self.header.types(table), rows)

    def set_numbers(self, last: Mapping[str, int]) -> None:
        """Set the greatest number that a row of each table has ever had."""
        for table, number in last.items():
            self.header.raise_number(table, number)


@contextmanager
def new_store(server: Postgres, schema: Schema) -> Iterator[_NewStore]:
    """Yield an empty store, which is there for others when the block has ended.

    Raises `TargetTaken`: another process has made the store meanwhile; and as `PostgresDatabase`.
    """
    require_usable(server)
    name = schema_name(schema)
    # Closing the connection undoes what is not committed.
    with driver_errors(), closing(Link(server, name)) as link:
        locks, header = Locks(link, schema), PostgresHeader(link)
        locks.take(Lock.OPENING)
        if not locks.try_take(Lock.HELD, server.lock_timeout_s):
            raise StoreInUse(message("error.storage.postgres_held", schema=schema.name))
        link.wait_for_ever()
        if header.exists(schema):  # since the caller looked
            raise TargetTaken(message("error.storage.move_target_taken", name=str(name_of(server, schema))))
        link.run("BEGIN")
        header.create(schema, name)
        vault = Vault.new(KeyEncryptionKey(os.urandom(KEY_BYTES)), schema.mac_prefix)
        make_tables(link, header, schema, vault)  # the rows of the source bring their own keys
        made = _NewStore(link, header)
        for table in reversed(made.columns):
            link.run(f"DELETE FROM {table}")
        yield made
        link.run("COMMIT")
