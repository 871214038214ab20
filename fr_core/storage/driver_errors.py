"""Turns the errors of the databases, and of their drivers, into those of a store."""

from contextlib import AbstractContextManager

import apsw

from fr_core.errors import FrError, StoreCorrupt, StoreFailed, message

_READ_ONLY = "ReadOnlySqlTransaction"  # the error of psycopg


class StatementFailed(Exception):
    """A statement that PostgreSQL refused, or that did not reach it; `error` is what the store raises for it."""

    def __init__(self, error: FrError) -> None:
        super().__init__(error.reason)
        self.error = error

    @property
    def is_read_only(self) -> bool:
        """Return whether the transactions of the connection may only read."""
        return self.error.metadata.get("cause") == _READ_ONLY


DriverError = (apsw.Error, StatementFailed)
"""The errors of a statement, before `driver_errors` turns them into errors of the store."""


def driver_errors() -> AbstractContextManager[None]:
    """Turn the errors of a database into those of a store; neither carries data of a person.

    Raises `StoreCorrupt`: the database found itself damaged, or a row holds what no row can; `StoreFailed`: the disk is
    full, failing or forbidden, another program holds the database, or it cannot be reached.
    """
    return _TURNING


class _Turning:
    """Has no state, so that one will do for all: every check of a key passes it."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StatementFailed):
            raise error.error from error.__cause__
        if isinstance(error, _DAMAGED):
            raise StoreCorrupt(message("error.storage.database_file_damaged"), check=type(error).__name__) from error
        if isinstance(error, _REFUSED):
            # Errors that a layer under SQLite raises have no such number.
            if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHORT_READ:
                raise StoreCorrupt(message("error.storage.database_file_shorter_says"), check="short_read") from error
            raise StoreFailed(message("error.storage.database_could_not_read"), cause=type(error).__name__) from error


_TURNING = _Turning()
# The statements are always the same: if SQLite does not understand one, the tables are not those that were made.
# The stores look for a row before they add one: if a constraint fails, a damaged tree has hidden a row.
_DAMAGED = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.ConstraintError, UnicodeDecodeError)
_REFUSED = (
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
)


def not_withdrawn(error: apsw.Error) -> StoreFailed:
    """Return the error for a failed commit that could not be taken off the log."""
    return StoreFailed(message("error.storage.disk_refused_commit_take"), cause=type(error).__name__)
