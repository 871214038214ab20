"""Makes and opens stores: checks version and key, brings older stores up to date, and puts them under other keys."""

import apsw

from fr_core.errors import KeyUnavailable, StoreCorrupt, StoreNewer, message
from fr_core.storage.connection import SqliteHeader
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.protocol import Connection, Database, Header, Row
from fr_core.storage.schema import STORE_TABLE, Schema
from fr_core.storage.statements import Transaction
from fr_core.storage.vault import Vault

SIGNED_COLUMNS, UNSIGNED_COLUMNS = 5, 3
"""The columns of the table `store` where a store signs its row, see `Schema.signs_store`, and of others."""


def make(connection: apsw.Connection, schema: Schema, vault: Vault) -> None:
    """Make the tables of a new store in an empty SQLite database, opened with `open_new`."""
    make_tables(connection, SqliteHeader(connection), schema, vault)
    connection.execute(f"PRAGMA page_size = {schema.page_bytes}")
    connection.execute("VACUUM")  # gives the pages that size, and drops those of older versions of the tables


def make_tables(connection: Connection, header: Header, schema: Schema, vault: Vault) -> None:
    """Make the tables of a new store in an empty database."""
    if schema.first_keyed == 1:
        connection.execute(STORE_TABLE)
    _take_steps(connection, header, schema, vault, 0)
    write_store_row(connection, vault, schema.version if schema.signs_store else None)


def known_version(header: Header, schema: Schema) -> int:
    """Return the version of a store, from 1 to `schema.version`.

    Raises `StoreNewer` if this version of FR Core does not know it, and `StoreCorrupt` if the file is not a store of
    this kind, or of a version that does not exist.
    """
    if header.application_id() != schema.application_id:
        raise StoreCorrupt(message("error.storage.database_damaged_no", schema=schema.name), check="application_id")
    version = header.version()
    if version > schema.version:
        raise StoreNewer(
            message("error.storage.schema_version_knows", schema=schema.name, version=version, known=schema.version),
            found=str(version),
            known=str(schema.version),
        )
    if version < 1 or (schema.first_keyed > 1 and header.has_table("store") != (version >= schema.first_keyed)):
        raise _wrong_version(schema)
    return version


def unlocked(connection: Connection, header: Header, schema: Schema, key: KeyEncryptionKey) -> Vault:
    """Return the keys of a store; raises `WrongKey`, `StoreCorrupt`."""
    rows: list[Row] = list(connection.execute("SELECT * FROM store"))
    if [len(row) for row in rows] != [SIGNED_COLUMNS if schema.signs_store else UNSIGNED_COLUMNS]:
        raise StoreCorrupt(message("error.storage.does_not_say_under", schema=schema.name), check="store")
    (row,) = rows
    if not schema.signs_store:
        _, key_id, wrapped = row
        return Vault.unlocked(key, key_id, wrapped, schema.mac_prefix)
    *columns, mac = row
    _, version, key_id, wrapped = columns
    vault = Vault.unlocked(key, key_id, wrapped, schema.mac_prefix)
    vault.require_mac("store", columns, mac)
    if version != header.version():
        raise _wrong_version(schema)
    return vault


def write_store_row(connection: Connection, vault: Vault, version: int | None) -> None:
    """Write the row that says under which key a store is, and its version where `Schema.signs_store`; else None."""
    row: Row = (1, vault.key_id, vault.wrapped())
    if version is not None:
        row = (1, version, *row[1:])
        row = (*row, vault.mac("store", row))
    connection.execute("DELETE FROM store")
    connection.execute(f"INSERT INTO store VALUES ({', '.join('?' * len(row))})", row)


def bring_up_to_date(connection: Connection, header: Header, schema: Schema, vault: Vault) -> None:
    """Take all the steps that an older store lacks, within a transaction.

    `vault` is new for a store from before it had keys. Raises `StoreCorrupt` if rows that have to be changed are
    damaged, and the errors of the driver.
    """
    _take_steps(connection, header, schema, vault, known_version(header, schema))
    if schema.signs_store:
        write_store_row(connection, vault, schema.version)


def rewrapped(connection: Connection, schema: Schema, before: Vault, key: KeyEncryptionKey) -> Vault:
    """Wrap every key of a store by another, within a transaction; returns the keys under it.

    Raises `StoreCorrupt` if a key was altered, and the errors of the driver.
    """
    after = before.under(key)
    write_store_row(connection, after, schema.version if schema.signs_store else None)
    for keys in schema.wrapped:
        found = f"SELECT {keys.number_column}, wrapped_key FROM {keys.table}"
        for number, wrapped in list(connection.execute(found)):
            sql = f"UPDATE {keys.table} SET wrapped_key = ? WHERE {keys.number_column} = ?"
            connection.execute(sql, (after.rewrapped(before, keys.owner, number, wrapped), number))
    if schema.rewrap is not None:
        schema.rewrap(connection, before, after)
    return after


def rotate(database: Database, key: KeyEncryptionKey) -> None:
    """Wrap every key of a store by another; until that is durable, the key before stays valid.

    Raises, when nothing was changed:
        StoreInUse: another process has the store open.
        KeyUnavailable: the store is under that key already.
        StoreCorrupt: a key or a row was altered.
        StoreFailed: the database cannot be written.
    """
    if key.key_id == database.vault.key_id:
        raise KeyUnavailable(message("error.storage.store_already_uses_new"), key_id=key.key_id)
    before = database.vault
    with database.alone_for():
        try:
            with database.transaction(Transaction) as transaction:
                # Before the commit: no transaction may come between that wraps a new key by the former one.
                database.vault = rewrapped(transaction, database.schema, before, key)
        except BaseException:
            database.vault = before
            raise


def _take_steps(connection: Connection, header: Header, schema: Schema, vault: Vault, version: int) -> None:
    for step in schema.migrations[version:]:
        if isinstance(step, str):
            list(connection.execute(step))
        else:
            step(connection, vault)
    header.set_version(schema.version)


def _wrong_version(schema: Schema) -> StoreCorrupt:
    return StoreCorrupt(message("error.storage.does_not_schema_claims", schema=schema.name), check="user_version")
