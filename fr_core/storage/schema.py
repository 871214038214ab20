"""Describes a kind of store: its name, its file, the migrations of its tables, and where it keeps wrapped keys."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from fr_core.errors import FrError, StoreCorrupt, message
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.protocol import Connection
from fr_core.storage.vault import Value, Vault, encode

R = TypeVar("R")

Step = str | Callable[[Connection, Vault], None]
"""SQL of one statement or several, or a function that runs statements, for rows that have to be encrypted anew.

A function gets a connection and the keys of the store. It keeps neither, and begins and ends no transaction. It raises
`StoreCorrupt` where it finds damage; an older store then stays as it was.
"""

STORE_TABLE = """
CREATE TABLE store (
    store_no INTEGER PRIMARY KEY CHECK (store_no = 1),
    key_id TEXT NOT NULL,
    wrapped_key BLOB NOT NULL
) STRICT;
"""
"""The first table of a store, which says under which key it is."""

TAKES_MARK: Step = ""
"""Changes no table: the wrapped key of the store may hold the mark of a seal, which earlier versions cannot read."""


def begin_audit(connection: Connection, vault: Vault) -> None:
    """Make the tables of the audit, a step of the migrations; no record tells of earlier changes."""
    AuditTable(connection, vault, lambda: 0).create()


@dataclass(frozen=True, slots=True)
class WrappedKeys:
    """A table with a column `wrapped_key`, of data keys that `Vault.new_key` made."""

    owner: int  # below 0, so that no key of a gallery is taken for one of these; another for each table of a store
    table: str
    number_column: str  # has the number that the key was made for


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of store."""

    name: str  # in sentences, such as "training store"
    database_name: str  # of its file, such as "training.sqlite"; the names of its lock files follow from it
    application_id: int  # in the header of its file, so that another program's database is not taken for it
    # Step n brings a store of version n to version n + 1. Other rooms may add theirs at the end. Steps are never edited
    # once released, only added.
    migrations: tuple[Step, ...]
    # Tables that keep data keys; a rotation loses the keys of tables that are not named here.
    wrapped: tuple[WrappedKeys, ...]
    binding: str  # what `bound` begins with; another for each kind of store
    mac_prefix: str  # what the purposes of MACs begin with; another for each kind of store
    layout: int = 1  # part of every bound value, so that no value of a later layout is taken for one of this layout
    # Of a store in a folder, True if several processes may have it open at once; else one alone, which also checks the
    # whole file and the end of the audit before it changes anything.
    shared: bool = True
    # Of its file.
    page_bytes: int = 4_096  # a change touches a few rows of some hundred bytes on pages far apart
    first_keyed: int = 1  # the first version with keys and the table `store`; the migration to it makes that table
    signs_store: bool = False  # whether the row of `store` also has the version, and a MAC of all its columns
    # Wraps further data keys anew when the key of the store is rotated; given the keys before and after.
    rewrap: Callable[[Connection, Vault, Vault], None] | None = None

    @property
    def version(self) -> int:
        """The version of a store that is up to date."""
        return len(self.migrations)

    @property
    def first_audited(self) -> int:
        """The first version with an audit; beyond all versions if the store has none."""
        return next((n for n, step in enumerate(self.migrations, 1) if step is begin_audit), self.version + 1)

    @property
    def stem(self) -> str:
        """The name of the file without its suffix."""
        return PurePath(self.database_name).stem

    @property
    def lock_name(self) -> str:
        """Of the file that each process locks which has the store open."""
        return f"{self.stem}.lock"

    @property
    def building_name(self) -> str:
        """Of the file that the one process locks which builds something."""
        return f"{self.stem}.building"

    def bound(self, table: str, *values: Value) -> bytes:
        """Return the bytes that bind encrypted data to its table and to the values that identify its row.

        Raises `StoreCorrupt` for values that no row has: a column that was altered may hold them.
        """
        return self.readable(lambda: encode(self.binding, self.layout, table, *values))

    def readable(self, read: Callable[[], R]) -> R:
        """Return the result of `read`, which takes values out of a row that was opened, or binds it to its columns.

        Raises `StoreCorrupt`: the row holds values that no row can have, or `read` found it altered.
        """
        try:
            return read()
        except StoreCorrupt:
            raise
        # This version, or a later one, wrote the encrypted part of the row; a column beside it may have been altered.
        # The text of an error may quote the row, so that no error is chained.
        except (FrError, ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, OverflowError):
            raise StoreCorrupt(message("error.storage.row_cannot_read", name=self.name), check="row") from None


def next_of(table: str, column: str) -> str:
    """Return the SQL for the smallest value of a column that is at least a parameter, or else the smallest of all.

    A lookup of an id reads and decrypts the row of that value, then compares the id. So the time is the same for an id
    that exists and one that does not, and does not reveal ids of others. The column needs an index.
    """
    return f"coalesce((SELECT min({column}) FROM {table} WHERE {column} >= ?), (SELECT min({column}) FROM {table}))"
