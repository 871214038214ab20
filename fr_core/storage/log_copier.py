"""Copies the write-ahead log of a store into its database file, on a connection of its own.

Only this connection has `CheckpointVfs` under it. It copies while others read and write.
"""

import logging
import threading
import time
from pathlib import Path

import apsw

from fr_core.errors import FrError, ShuttingDown, StoreCorrupt, StoreFailed, message
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.connection import Turns, keep_log, open_to_write, use_log
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.sqlite_log import truncate_log

_log = logging.getLogger(__name__)

# Frames of the log, one page each, after which it is copied into the database.
_CHECKPOINT_FRAMES = 4_096
_LONG_LOG_FRAMES = 65_536
# How long a copy waits for readers, each time; nobody writes meanwhile.
_CHECKPOINT_S = 0.1
_SCRUB_S = 10.0


class LogCopier:
    """Copies the log of one database; raises `apsw.Error` if it cannot be opened.

    Attributes:
        frames: of the log, as the last commit of this process left it.
        copies_at_close: whether closing copies the log into the database, if no other connection is open.
    """

    def __init__(self, database: Path, vfs: str, name: str) -> None:
        self._database = database
        self._vfs = vfs
        self._name = name
        self._layer = CheckpointVfs(vfs)
        self._lock = threading.Lock()
        self._closed = False
        self.frames = 0
        self.copies_at_close = False
        self._connection = open_to_write(database, self._layer.vfs_name)
        try:
            use_log(self._connection)  # without which it knows of no log that could be copied
            self._connection.set_busy_handler(Turns(_CHECKPOINT_S))
        except BaseException:
            self._connection.close()
            raise

    @property
    def is_long(self) -> bool:
        """Return whether it is time to copy the log."""
        return self.frames >= _CHECKPOINT_FRAMES

    def begin_anew(self) -> None:
        """Copy the log and empty it, while nobody else has the database open; raises `apsw.Error`."""
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def withdraw(self, page_bytes: int) -> None:
        """Cut off the log whatever a failed commit has left behind its valid frames; nobody may write meanwhile.

        Raises `StoreFailed` if the log is gone, and `apsw.Error` of the disk.
        """
        with self._lock:
            frames, _ = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        truncate_log(self._database, frames, page_bytes, self._vfs)

    def tidy(self) -> None:
        """Copy a log that has grown long: most of it while others write, the rest alone."""
        for mode in (apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_RESTART):
            if not self.is_long:
                return
            try:
                self._copy(mode)
            except StoreCorrupt as error:
                _log.error("the log of the %s could not be copied into a damaged file: %s", self._name, error.what)
            except FrError as error:
                # Nothing is lost: the log keeps everything until a later attempt succeeds. Others may well read, write
                # or copy at this moment, but not always.
                if not isinstance(error.__cause__, apsw.BusyError) or self.frames >= _LONG_LOG_FRAMES:
                    _log.warning("the log of the %s could not be copied yet: %s", self._name, error.reason)

    def scrub(self, longest_s: float | None = None) -> bool:
        """Leave no trace of deleted rows in the log; waits for readers, some seconds unless `longest_s` says how long.

        Returns:
            Whether that was done; else the disk refuses, or somebody keeps reading, and it must be done later.
        """
        try:
            self.empty(longest_s)
        except FrError as error:
            level = logging.ERROR if isinstance(error, StoreCorrupt) else logging.WARNING
            _log.log(level, "deleted rows of the %s are not overwritten yet: %s", self._name, error.what)
            return False
        return True

    def empty(self, longest_s: float | None = None) -> None:
        """Copy the whole log into the database, and empty it; waits for readers.

        Raises `ShuttingDown`: the store was closed meanwhile; `StoreFailed`: the disk refuses, or somebody kept reading
        for some seconds; `StoreCorrupt`: the database is damaged.
        """
        until = time.monotonic() + (_SCRUB_S if longest_s is None else longest_s)
        while True:
            try:
                return self._copy(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except StoreFailed as error:
                if not isinstance(error.__cause__, apsw.BusyError) or time.monotonic() > until:
                    raise
                time.sleep(_CHECKPOINT_S)

    def close(self) -> None:
        """Close the connection, after all others of the store; harmless when done twice.

        Where the log cannot be copied, it stays, and the next start copies it.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self.copies_at_close:
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                    keep_log(self._connection, False)
            except apsw.BusyError:
                pass  # somebody reads
            except apsw.Error as error:
                _log.warning("the log of the %s could not be copied at the end: %s", self._name, type(error).__name__)
            finally:
                self._connection.close()

    def _copy(self, mode: int) -> None:
        with self._lock, driver_errors():
            if self._closed:
                raise ShuttingDown(message("error.storage.closed_2", name=self._name))
            frames, copied = self._connection.wal_checkpoint(mode=mode)
            if frames < 0:
                raise StoreFailed(message("error.storage.database_no_write_ahead"))
            if frames == copied and mode != apsw.SQLITE_CHECKPOINT_PASSIVE:
                self.frames = 0
