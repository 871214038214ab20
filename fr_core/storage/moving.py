"""Copies a store from a folder into PostgreSQL or back, every row bit for bit, and proves the copy before it appears.

The copy appears as a whole: a file that gets its name at the end, or a transaction. A process that dies before leaves
nothing of it, and the next one begins this store anew. The source stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fr_core.errors import StoreCorrupt, TargetTaken, message
from fr_core.storage import sqlite_building
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_unbroken
from fr_core.storage.dialect import LAST_NUMBERS
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location, name_of, naming
from fr_core.storage.migrations import unlocked
from fr_core.storage.opening import open_database
from fr_core.storage.outside import exists
from fr_core.storage.protocol import Connection, Header, Row
from fr_core.storage.schema import Schema
from fr_core.storage.statements import Reading
from fr_core.storage.vault import encode

_BITS = 256
_Columns = Mapping[str, tuple[str, ...]]  # of each table


class NewStore(Protocol):
    """An empty store that appears when its block has ended; nothing remains of it if the block raises."""

    @property
    def connection(self) -> Connection:
        """Return a connection to it."""

    @property
    def header(self) -> Header:
        """Return its header."""

    @property
    def columns(self) -> _Columns:
        """Return the columns of each table; a table comes after those that it refers to."""

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add whole rows to a table."""

    def set_numbers(self, last: Mapping[str, int]) -> None:
        """Set the greatest number that a row of each table has ever had."""


@dataclass(slots=True)
class Digest:
    """Stands for the rows of a table in any order: the sum of the SHA-256 of each, of 256 bits, and their number."""

    rows: int = 0
    total: int = field(default=0, repr=False)

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows, and add each to the digest."""
        for row in rows:
            hashed = hashlib.sha256(encode(*row)).digest()
            self.total = (self.total + int.from_bytes(hashed, "big")) % 2**_BITS
            self.rows += 1
            yield row


@dataclass(frozen=True, slots=True)
class Moved:
    """The extent of a store that was copied."""

    rows: int
    records: int  # of the audit
    before: bool  # whether an earlier run had copied it


def move(source: Location, target: Location, schema: Schema, key: KeyEncryptionKey) -> Moved:
    """Copy a store that no process has open.

    Where an earlier run has copied it, compare both again. Errors name the store that they are of.

    Raises:
        StoreInUse: a process has the source or the target open.
        TargetTaken: there is another store at the target.
        StoreCorrupt: the source is damaged or has other tables than this version makes, or the copy is not the same;
            no copy is left.
        WrongKey, StoreNewer, StoreFailed, DatabaseUnreachable, DatabaseUnusable: as `open_database`; likewise.
    """
    with _opened(source, schema, key) as (now, columns):
        with naming(name_of(target, schema)):
            is_there = exists(target, schema)
        if is_there:
            return _compared(now, columns, target, schema, key)
        numbers: dict[str, int] = dict(now.rows(LAST_NUMBERS))
        with naming(name_of(target, schema)), driver_errors(), _new_store(target, schema) as made:
            copied = {}
            for table, names in made.columns.items():
                digest = copied[table] = Digest()
                made.insert(table, digest.counted(_rows(now, _all(table, names), name_of(source, schema))))
            made.set_numbers(numbers)
            vault = unlocked(made.connection, made.header, schema, key)
            same = _names(made.columns) == _names(columns) and _digests(made.connection, made.columns) == copied
            if not same or dict(made.connection.execute(LAST_NUMBERS)) != numbers:
                raise StoreCorrupt(message("error.storage.move_different"), check="copy")
            records = require_unbroken(AuditTable(made.connection, vault, lambda: 0))
    return Moved(sum(digest.rows for digest in copied.values()), records, before=False)


@contextmanager
def _opened(location: Location, schema: Schema, key: KeyEncryptionKey) -> Iterator[tuple[Reading, _Columns]]:
    """Read a store within the block, alone; yields its columns, too."""
    with (
        naming(name_of(location, schema)),
        closing(open_database(location, schema, key)) as database,
        database.alone_for(),
        database.reading() as now,
    ):
        yield now, database.columns()


def _new_store(target: Location, schema: Schema) -> AbstractContextManager[NewStore]:
    if isinstance(target, Path):
        return sqlite_building.new_store(target, schema)
    from fr_core.storage.postgres import building

    return building.new_store(target, schema)


def _compared(now: Reading, columns: _Columns, target: Location, schema: Schema, key: KeyEncryptionKey) -> Moved:
    digests = _digests(now, columns)
    numbers: dict[str, int] = dict(now.rows(LAST_NUMBERS))
    with _opened(target, schema, key) as (there, found):
        same = _names(found) == _names(columns) and _digests(there, columns) == digests
        if not same or dict(there.rows(LAST_NUMBERS)) != numbers:
            raise TargetTaken(message("error.storage.move_target_taken", name=str(name_of(target, schema))))
        records = require_unbroken(AuditTable(there, there.vault, lambda: 0))
    return Moved(sum(digest.rows for digest in digests.values()), records, before=True)


def _names(columns: _Columns) -> dict[str, frozenset[str]]:
    return {table: frozenset(names) for table, names in columns.items()}


def _rows(now: Reading, query: str, source: Path | str) -> Iterator[Row]:
    """Yield the rows of a query of the source, and name it in errors: they arise while the target takes the rows."""
    with naming(source), driver_errors():
        yield from now.execute(query)


def _digests(connection: Connection, columns: _Columns) -> dict[str, Digest]:
    digests = {}
    for table, names in columns.items():
        digest = digests[table] = Digest()
        for _ in digest.counted(connection.execute(_all(table, names))):
            pass
    return digests


def _all(table: str, columns: tuple[str, ...]) -> str:
    return f"SELECT {', '.join(columns)} FROM {table}"
