"""Names the places where a store can lie: a folder, or a PostgreSQL database with a schema for each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fr_core.errors import (
    FrError,
    KeyUnavailable,
    StoreCorrupt,
    StoreExposed,
    StoreFailed,
    StoreInUse,
    StoreNewer,
    WrongKey,
    message,
)
from fr_core.storage.pool import PoolListener
from fr_core.storage.schema import Schema

# Errors of a store or its key. Their messages contain no path, because callers must not learn paths.
_OF_A_FILE = (StoreCorrupt, StoreExposed, StoreFailed, StoreInUse, StoreNewer, WrongKey, KeyUnavailable)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL database, and the limits within which a server uses it."""

    url: str  # "postgresql://...", without a password
    password: str | None = field(default=None, repr=False)
    connections: int = 8  # of each store at most, that read at once
    connect_timeout_s: float = 10.0  # also how long to wait for a free connection
    statement_timeout_s: float = 60.0
    lock_timeout_s: float = 5.0
    follow_interval_s: float = 0.2  # how often a server looks for the changes of the others
    follow_timeout_s: float = 5.0  # how long a search waits for them
    pool: PoolListener = field(default_factory=PoolListener, repr=False, compare=False)

    def __str__(self) -> str:
        return self.url.partition("?")[0]


Location = Path | Postgres
"""The folder of a SQLite database, or a PostgreSQL database."""


def schema_name(schema: Schema) -> str:
    """Return the name of the PostgreSQL schema that holds a kind of store, such as `fr_galleries`."""
    return f"fr_{schema.stem}"


def name_of(location: Location, schema: Schema) -> Path | str:
    """Return what names a store in sentences: the path of its file, or its database and schema."""
    if isinstance(location, Path):
        return location / schema.database_name
    return f"{location} ({schema_name(schema)})"


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Add the name of the file, or of its folder, to errors of a store or its key within the block."""
    try:
        yield
    except _OF_A_FILE as error:
        if "file" in error.metadata:
            raise
        raise named(error, path) from error


def named(error: FrError, path: Path | str) -> FrError:
    """Return the same error with the path in its sentence and its metadata (`file`)."""
    return type(error)(
        message("error.config.of_file", path=path, what=error.finding), **{**error.metadata, "file": str(path)}
    )
