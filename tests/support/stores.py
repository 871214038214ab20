"""Stores in each of the databases: places for them, and ways to look at them and to alter them from outside."""

import re
from contextlib import closing
from pathlib import Path

import apsw
import psycopg
import pytest

from fr_core import __version__
from fr_core.storage.location import Location, Postgres, schema_name
from fr_core.storage.members import Heartbeat, Itself, Members
from fr_core.storage.opening import open_members
from fr_core.storage.protocol import Row
from fr_core.storage.schema import Schema

DATABASES = ("sqlite", "postgresql")
SQLITE_ALONE = pytest.mark.parametrize("location", ["sqlite"], indirect=True)
"""For tests of what only SQLite has, such as its files."""


def located(text: str) -> Location:
    """Return the place of a store from an argument of a script, see `as_argument`."""
    return Postgres(text) if "://" in text else Path(text)


def as_argument(location: Location) -> str:
    """Return the argument that names a place to a script."""
    return str(location) if isinstance(location, Path) else location.url


def mortal_members(location: Location, lasts_s: float = 1.5) -> Members | None:
    """Register a server whose death the others notice after `lasts_s`; return None for a folder."""
    if isinstance(location, Path):
        return None
    members = open_members(location, Itself("", "", __version__), lasts_s)
    Heartbeat(members, lasts_s)
    return members


def outside(location: Location, schema: Schema, sql: str) -> list[Row]:
    """Run statements as somebody with rights on the database, who has no key; return the rows of the last."""
    if isinstance(location, Postgres):
        with _connected(location, schema) as connection:
            sql = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", sql)
            cursor = connection.execute(re.sub(r"x'([0-9a-f]*)'", r"'\\x\1'::bytea", sql).encode())
            return cursor.fetchall() if cursor.description else []
    with closing(apsw.Connection(str(location / schema.database_name))) as connection:
        connection.set_busy_timeout(5_000)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # which would change the file
        return connection.execute(sql).fetchall()


def content(location: Location, schema: Schema) -> bytes:
    """Return all bytes that the store keeps where somebody without a key could read them."""
    if isinstance(location, Postgres):
        tables = outside(
            location, schema, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema_name(schema)}'"
        )
        with _connected(location, schema) as connection:
            cursor = connection.cursor(binary=True)
            rows = [row for (table,) in tables for row in cursor.execute(f"SELECT * FROM {table}".encode())]
        return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
    files = (location / schema.database_name, location / f"{schema.database_name}-wal")
    return b"".join(path.read_bytes() for path in files if path.exists())


def _connected(location: Postgres, schema: Schema) -> psycopg.Connection[Row]:
    return psycopg.connect(location.url, autocommit=True, options=f"-c search_path={schema_name(schema)}")
