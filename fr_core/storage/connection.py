"""Opens SQLite databases: the one module that knows SQLite's settings, and the reason for each.

The caller closes the connection that a function returns. All of them raise `apsw.Error`, see `driver_errors`.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from fr_core.errors import StoreCorrupt, StoreFailed, message
from fr_core.storage.clean_pages import MAX_PAGES
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.durable import cause
from fr_core.storage.protocol import Connection

# The read-ahead that Linux gives a file unless told otherwise: of a longer piece it may read only so much.
_AHEAD_BYTES = 128 * 2**10

# Two rows of 512 float32 values and more fit a page; SQLite's default of 4,096 would hold one and waste the rest.
PAGE_BYTES = 8_192
# How long to wait for another's lock: only checkpoints, and the recovery of a log after a crash, hold one.
BUSY_MS = 5_000

# Between two tries to write while another connection does. SQLite's own waits grow to 100 ms.
_TURN_S = 0.0005

# A damaged page is noticed before it is read by; the schema runs nothing; nothing is written beside the database.
_CAREFUL = ("cell_size_check = ON", "trusted_schema = OFF", "temp_store = MEMORY")
_READS = ("query_only = ON", *_CAREFUL)
_MOST_PAGES = f"max_page_count = {MAX_PAGES}"  # beyond, `clean_pages` could take a page for what it is not


def read_ahead(path: Path) -> None:
    """Ask the system to read a database into its cache from end to end, and do not wait for it.

    A check of the whole file follows its trees, page by page: a disk reads the file several times as fast in its order.
    Call it before this process opens the database: closing the file here gives up the locks of other connections. Does
    nothing where the file would take half of the memory of the machine. Raises `StoreFailed`.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if 2 * size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") or not hasattr(os, "posix_fadvise"):
                return
            for start in range(0, size, _AHEAD_BYTES):
                os.posix_fadvise(file.fileno(), start, _AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
    except OSError as error:
        raise StoreFailed(message("error.storage.file_data_folder_cannot"), errno=cause(error)) from error


def open_to_write(path: Path, vfs: str) -> apsw.Connection:
    """Open a database that is there, for a first look; see `settle`, which comes before anything is written."""
    connection = _opened(str(path), apsw.SQLITE_OPEN_READWRITE, vfs, (*_CAREFUL, "foreign_keys = ON"))
    keep_log(connection, True)
    return connection


def settle(connection: apsw.Connection) -> None:
    """Make a connection to a database with a log durable at each commit, and leave nothing of what it deletes."""
    for pragma in ("synchronous = FULL", "secure_delete = ON", _MOST_PAGES):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def writing(connection: apsw.Connection) -> Iterator[None]:
    """Write within the block, all or nothing; raises `apsw.Error`."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_to_read(path: Path, vfs: str = "", *, outside: bool = False, cache_kib: int | None = None) -> apsw.Connection:
    """Open a database with a log, which another connection may write, to read it.

    Args:
        outside: whether the file is another process's, and not even opened for writing.
        cache_kib: memory for its pages; None = SQLite's default.
    """
    flags = apsw.SQLITE_OPEN_READONLY if outside else apsw.SQLITE_OPEN_READWRITE
    cache = () if cache_kib is None else (_cache(cache_kib),)
    connection = _opened(str(path), flags, vfs, (*_READS, *cache))
    keep_log(connection, True)
    return connection


@contextmanager
def reading_outside(path: Path) -> Iterator[apsw.Connection]:
    """Yield a read-only connection to the database of another process; raises as `driver_errors`."""
    with driver_errors(), closing(open_to_read(path, outside=True)) as connection:
        yield connection


def open_finished(path: Path) -> apsw.Connection:
    """Open a database that nobody changes any more, without looking for a log or leaving anything beside it."""
    uri = f"{path.absolute().as_uri()}?immutable=1"
    return _opened(uri, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, "", _READS)


def open_new_store(path: Path, vfs: str, application_id: int, *, cache_kib: int | None = None) -> apsw.Connection:
    """Open an empty file that becomes a store of galleries; see `open_new`, and `open_to_read` for `cache_kib`."""
    more = (_MOST_PAGES,) if cache_kib is None else (_MOST_PAGES, _cache(cache_kib))
    return open_new(path, vfs, application_id, *more)


def open_new(path: Path, vfs: str, application_id: int, *more: str) -> apsw.Connection:
    """Open an empty file that becomes a database, is synced when it is whole, and thrown away where that fails.

    Its header says that it is an `application_id`; `more` are pragmas.
    """
    pragmas = (
        f"page_size = {PAGE_BYTES}",
        "journal_mode = OFF",
        "synchronous = OFF",
        "temp_store = MEMORY",
        f"application_id = {application_id}",
        *more,
    )
    return _opened(str(path), apsw.SQLITE_OPEN_READWRITE, vfs, pragmas)


def use_log(connection: apsw.Connection) -> None:
    """Give a database a write-ahead log, where it has none yet; raises `StoreFailed` where its disk cannot hold one."""
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreFailed(message("error.storage.file_system_data_folder"))


def keep_log(connection: apsw.Connection, keep: bool) -> None:
    """Say whether the log is left as it is when the last connection closes, rather than copied into the database.

    Readers leave it to the connection that writes, which has `CheckpointVfs`. That one leaves it until all vectors are
    read: whatever is refused before stays as it was found, with the log of a process that died, unless a power cut has
    torn its last transaction.
    """
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(keep))


def require_whole_file(connection: Connection) -> None:
    """Raise `StoreCorrupt` unless SQLite finds its file sound, the indexes of its tables included."""
    # The text of its finding is left out: it may quote what is stored.
    if list(connection.execute("PRAGMA integrity_check(1)")) != [("ok",)]:
        raise StoreCorrupt(message("error.storage.database_file_damaged"), check="integrity_check")


class SqliteHeader:
    """The header of a database file, and its schema."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def application_id(self) -> int:
        """Return the number of the kind of store."""
        return int(self._connection.pragma("application_id"))

    def version(self) -> int:
        """Return the version of the tables."""
        return int(self._connection.pragma("user_version"))

    def set_version(self, version: int) -> None:
        """Write the version of the tables."""
        self._connection.execute(f"PRAGMA user_version = {version}")

    def has_table(self, name: str) -> bool:
        """Return whether the database has a table."""
        return bool(list(self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,))))


def columns_of(connection: apsw.Connection) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table of a store, in the order in which the tables were made."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid"
    names = [str(name) for (name,) in connection.execute(tables).fetchall()]
    columns = "SELECT name FROM pragma_table_info(?)"
    return {name: tuple(str(column) for (column,) in connection.execute(columns, (name,))) for name in names}


class Turns:
    """Tells SQLite how long to wait for another connection that writes, which asks again and again."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._until = 0.0

    def __call__(self, tries: int) -> bool:
        """Wait a moment, and return whether to try again; called by SQLite."""
        now = time.monotonic()
        if tries == 0:
            self._until = now + self._longest_s
        if now > self._until:
            return False
        time.sleep(_TURN_S)
        return True


def _cache(kib: int) -> str:
    return f"cache_size = -{kib}"  # SQLite counts pages where the number is positive


def _opened(path: str, flags: int, vfs: str, pragmas: Iterable[str]) -> apsw.Connection:
    connection = apsw.Connection(path, flags=flags, vfs=vfs or None)
    try:
        connection.set_busy_timeout(BUSY_MS)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection
