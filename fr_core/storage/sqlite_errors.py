"""Turns the errors of SQLite, and of its driver, into those of a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from fr_core.errors import StoreCorrupt, StoreFailed

DriverError = apsw.Error
"""The error of a statement, before `sqlite_errors` turns it into an error of the store."""


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Turn SQLite's errors into those of a store; neither carries data of a person.

    Raises:
        StoreCorrupt: SQLite found the file damaged, or a row holds what no row can.
        StoreFailed: the disk is full, failing or forbidden, or another program holds the database.
    """
    try:
        yield
    # The statements are always the same: if SQLite does not understand one, the tables are not those that were made.
    # The stores look for a row before they add one: if a constraint fails, a damaged tree has hidden a row.
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.ConstraintError, UnicodeDecodeError) as error:
        raise StoreCorrupt("The database file is damaged.", check=type(error).__name__) from error
    except (
        apsw.FullError,
        apsw.IOError,
        apsw.CantOpenError,
        apsw.PermissionsError,
        apsw.ReadOnlyError,
        apsw.BusyError,
        apsw.LockedError,
        apsw.NoMemError,
        apsw.NoLFSError,
        apsw.ProtocolError,
    ) as error:
        # Errors that a layer under SQLite raises have no such number.
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHORT_READ:
            raise StoreCorrupt("The database file is shorter than it says.", check="short_read") from error
        raise StoreFailed("The database could not be read or written.", cause=type(error).__name__) from error


def not_withdrawn(error: apsw.Error) -> StoreFailed:
    """Return the error for a failed commit that could not be taken off the log."""
    return StoreFailed(
        "The disk refused a commit, and to take it back: nothing more is written until it can be. If the server ends "
        "before that, the refused change may be there afterwards.",
        cause=type(error).__name__,
    )
