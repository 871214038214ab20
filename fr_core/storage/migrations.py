"""A store that is made or opened: which version it has, under which key it is, and what brings it up to date."""

from __future__ import annotations

from typing import Any

import apsw

from fr_core.errors import StoreCorrupt, StoreNewer
from fr_core.storage.connection import use_log
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.schema import STORE_TABLE, Schema, Step
from fr_core.storage.seals import Seals

# A change touches a few rows of some hundred bytes, on pages far apart: smaller pages make a smaller log.
PAGE_BYTES = 4_096


def make(connection: apsw.Connection, schema: Schema, key: KeyEncryptionKey) -> None:
    """Make the tables of a new store in an empty database.

    Args:
        connection: as `open_new` returns it.
        schema: of the store.
        key: that it is to be under.
    """
    seals = Seals.new(key, schema.name, schema.hiding)
    connection.execute(STORE_TABLE)
    for step in schema.migrations:
        _run(connection, seals, step)
    sql = "INSERT INTO store (store_no, key_id, wrapped_key) VALUES (1, ?, ?)"
    connection.execute(sql, (seals.key_id, seals.wrapped()))
    connection.execute(f"PRAGMA user_version = {schema.version}")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("VACUUM")  # which gives the pages that size
    use_log(connection)


def known_version(connection: apsw.Connection, schema: Schema) -> int:
    """Return the version of a store, from 1 to `schema.version`.

    Raises:
        StoreNewer: this version of FR Core does not know it.
        StoreCorrupt: it is no store of this kind, or of no version that there was.
    """
    if int(connection.pragma("application_id")) != schema.application_id:
        raise StoreCorrupt(f"The database is damaged, or no {schema.name}.", check="application_id")
    version = int(connection.pragma("user_version"))
    if version > schema.version:
        raise StoreNewer(
            f"The {schema.name} has schema {version}; this version knows {schema.version}.",
            found=str(version),
            known=str(schema.version),
        )
    if version < 1:
        raise StoreCorrupt(f"The {schema.name} does not have a schema that there was.", check="user_version")
    return version


def unlocked(connection: apsw.Connection, schema: Schema, key: KeyEncryptionKey) -> Seals:
    """Return the seals of a store; raises `WrongKey`, `StoreCorrupt`."""
    rows: list[tuple[Any, ...]] = connection.execute("SELECT key_id, wrapped_key FROM store").fetchall()
    if len(rows) != 1:
        raise StoreCorrupt(f"The {schema.name} does not say under which key it is.", check="store")
    key_id, wrapped = rows[0]
    return Seals.unlocked(key, key_id, wrapped, schema.name, schema.hiding)


def bring_up_to_date(connection: apsw.Connection, schema: Schema, seals: Seals) -> None:
    """Take all the steps that an older store lacks, in one transaction.

    Args:
        connection: settled, see `fr_core.storage.connection.settle`.
        schema: of the store.
        seals: of the store.

    Raises:
        StoreCorrupt: what is to be changed is damaged; the store is as it was.
        apsw.Error: of SQLite; the store is as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in schema.migrations[known_version(connection, schema) :]:
            _run(connection, seals, step)
        connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def rewrapped(connection: apsw.Connection, schema: Schema, before: Seals, key: KeyEncryptionKey) -> Seals:
    """Wrap every key of a store by another, within a transaction; returns the seals under it.

    Raises:
        StoreCorrupt: a key was altered.
        apsw.Error: of SQLite.
    """
    after = before.under(key)
    connection.execute("UPDATE store SET key_id = ?, wrapped_key = ?", (after.key_id, after.wrapped()))
    for keys in schema.wrapped:
        found = f"SELECT {keys.number_column}, wrapped_key FROM {keys.table}"
        rows: list[tuple[Any, ...]] = connection.execute(found).fetchall()
        for number, wrapped in rows:
            sql = f"UPDATE {keys.table} SET wrapped_key = ? WHERE {keys.number_column} = ?"
            connection.execute(sql, (after.rewrapped(before, keys.owner, number, wrapped), number))
    return after


def _run(connection: apsw.Connection, seals: Seals, step: Step) -> None:
    if isinstance(step, str):
        connection.execute(step).fetchall()
    else:
        step(connection, seals)
