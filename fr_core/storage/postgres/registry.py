"""Keeps short-lived data that servers share in the PostgreSQL schema `fr_servers`, which is not a store.

The schema needs no backup, and may be dropped while no server runs. It holds no name of a person, and nothing in clear
that a table of a store has encrypted.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from fr_core.errors import ShuttingDown, StoreCorrupt, StoreNewer, message
from fr_core.storage.driver_errors import StatementFailed, driver_errors
from fr_core.storage.location import Postgres
from fr_core.storage.members import LASTS_S
from fr_core.storage.postgres.link import Link, driver_failures
from fr_core.storage.postgres.sql import translated
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value

SCHEMA_NAME = "fr_servers"
VERSION = 1
_NUMBER = 0x46525356  # "FRSV", of the lock under which the tables are made
_TABLES = """
CREATE TABLE layout (version BIGINT NOT NULL);
INSERT INTO layout VALUES (1);

-- `heard` is by the clock of the database, for people; who is gone is known by `beat`, see `members`.
CREATE TABLE servers (
    server_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    processes BIGINT NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    beat BIGINT NOT NULL,
    heard TIMESTAMPTZ NOT NULL
);

CREATE TABLE applied (
    server_id TEXT NOT NULL REFERENCES servers ON DELETE CASCADE,
    scope TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (server_id, scope)
);

-- A row stays when its lease is over, so that no number is given twice.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    holder TEXT NOT NULL,
    expires TIMESTAMPTZ NOT NULL
);

CREATE TABLE buckets (
    account BYTEA PRIMARY KEY,
    rate DOUBLE PRECISION NOT NULL,
    burst BIGINT NOT NULL,
    tokens DOUBLE PRECISION NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    granted BIGINT NOT NULL
);

CREATE TABLE uses (
    account BYTEA PRIMARY KEY,
    day DATE NOT NULL,
    used BIGINT NOT NULL,
    granted BIGINT NOT NULL
);

CREATE TABLE secret (
    secret_no BIGINT PRIMARY KEY CHECK (secret_no = 1),
    key_id TEXT NOT NULL,
    wrapped BYTEA NOT NULL
);

CREATE TABLE shelf (
    name BYTEA PRIMARY KEY,
    value BYTEA NOT NULL,
    version BIGINT NOT NULL,
    made TIMESTAMPTZ NOT NULL,
    expires TIMESTAMPTZ NOT NULL,
    ends TIMESTAMPTZ NOT NULL
);
CREATE INDEX shelf_by_expiry ON shelf (expires);
"""


class Registry:
    """A connection to `fr_servers`, for several threads, one statement at a time; connects anew where it was lost.

    Args:
        longest_s: how long a connection or a statement may take; by default, five tries fit into a term.

    Raises:
        StoreNewer: a later version of FR Core made the tables.
        StoreCorrupt: the tables do not state their version.
        StoreFailed: the database fails.
    """

    def __init__(self, server: Postgres, longest_s: float = LASTS_S / 5) -> None:
        self._server = replace(
            server, connect_timeout_s=longest_s, statement_timeout_s=longest_s, lock_timeout_s=longest_s
        )
        self._lock = threading.Lock()
        self._closed = False
        with driver_errors():
            make_tables(server)
            self._link = Link(self._server, SCHEMA_NAME)

    def run(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement of PostgreSQL, with `?` for each value, durable when this returns; return its rows.

        A connection that was lost, as by a restart of the database, costs one more try: the statement may run twice.
        Raises `StoreFailed`: it was not done, or the connection was lost again before the answer came; `ShuttingDown`.
        """
        with self._lock, driver_errors():
            if self._closed:
                raise ShuttingDown(message("error.storage.closed", schema="registry of servers"))
            try:
                return self._tried(translated(sql), values)
            except StatementFailed as error:
                if error.is_read_only:
                    self._link.disconnect()
                raise

    def _tried(self, sql: str, values: Sequence[Value]) -> list[Row]:
        try:
            return self._link.run(sql, values)
        except StatementFailed:
            if not self._link.is_broken:
                raise
        with driver_failures():
            self._link.connect()
        return self._link.run(sql, values)

    def close(self) -> None:
        """Close the connection; harmless when done twice."""
        with self._lock:
            self._closed = True
            self._link.close()


def make_tables(server: Postgres) -> None:
    """Make the tables where they are not there; raises as `Registry`, and `StatementFailed`."""
    with closing(Link(server, SCHEMA_NAME)) as link:
        link.run(f"BEGIN; SELECT pg_advisory_xact_lock({_NUMBER}, 1)")
        if not link.run("SELECT 1 FROM pg_namespace WHERE nspname = $1", (SCHEMA_NAME,)):
            link.run(f"CREATE SCHEMA {SCHEMA_NAME}")
        if not link.run("SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'layout'"):
            link.run(_TABLES)
        rows = link.run("SELECT version FROM layout")
        if len(rows) != 1:
            raise StoreCorrupt(message("error.storage.registry_damaged"), check="layout")
        ((version,),) = rows
        if version > VERSION:
            raise StoreNewer(
                message("error.storage.schema_version_knows", schema="registry", version=version, known=VERSION),
                found=str(version),
                known=str(VERSION),
            )
        link.run("COMMIT")
