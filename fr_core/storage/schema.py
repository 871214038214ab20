"""What a store is: its name, its file, the steps that make and change its tables, and where it keeps wrapped keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import apsw

from fr_core.storage.seals import Seals
from fr_core.storage.vault import Value, encode

Step = str | Callable[[apsw.Connection, Seals], None]
"""SQL of one statement or several, or a function that runs statements, for what has to be encrypted anew.

A function gets a connection, which it does not keep and on which it neither begins nor ends a transaction, and the
seals of the store. It raises `StoreCorrupt` where what it finds is damaged; an older store is then as it was.
"""

STORE_TABLE = """
CREATE TABLE store (
    store_no INTEGER PRIMARY KEY CHECK (store_no = 1),
    key_id TEXT NOT NULL,
    wrapped_key BLOB NOT NULL
) STRICT;
"""
"""The table that every store has before its first step."""


TAKES_MARK: Step = ""
"""No table changes: the wrapped key of the store may hold the mark of a seal, which earlier versions cannot read."""


@dataclass(frozen=True, slots=True)
class WrappedKeys:
    """A table with a column `wrapped_key`, of keys that `Seals.new_key` made.

    Attributes:
        owner: below 0, so that no key of a gallery is taken for one of these; another for each table of a store.
        table: its name.
        number_column: has the number that the key was made for.
    """

    owner: int
    table: str
    number_column: str


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of store.

    Attributes:
        name: in sentences, such as "training store".
        database_name: of its file, such as "training.sqlite"; the names of its lock files follow from it.
        application_id: in the header of its file, so that another program's database is not taken for it.
        migrations: step n brings a store of version n to version n + 1. Other rooms may add theirs at the end. Steps
            are never edited once released, only added.
        wrapped: where keys are kept beside that of the store; what is not named here is lost when the key is rotated.
        binding: what `bound` begins with; another for each kind of store.
        hiding: what `Seals.hidden` begins with; another for each kind of store.
        layout: part of all that is bound: what a later layout writes is never taken for this one.
    """

    name: str
    database_name: str
    application_id: int
    migrations: tuple[Step, ...]
    wrapped: tuple[WrappedKeys, ...]
    binding: str
    hiding: str
    layout: int = 1

    @property
    def version(self) -> int:
        """The version of a store that is up to date."""
        return len(self.migrations)

    @property
    def stem(self) -> str:
        """The name of the file without what follows the dot."""
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
        """Return the bytes that something sealed is bound to: its table, and what tells its row."""
        return encode(self.binding, self.layout, table, *values)
