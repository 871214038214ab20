"""Writes the pages that a connection copies from the write-ahead log into the database file.

Every page of that file passes through here, and `clean_pages` overwrites its unallocated part.

If a sync fails, Linux drops the writes since the sync before, and a later sync does not bring them back. SQLite counts
pages as copied before they are synced: while somebody reads an earlier state, it copies as many pages as it may, counts
them, and leaves the sync to the checkpoint that reaches the end of the log. If that sync failed, and the next one
succeeded, the log would be begun anew, and the counted pages would be old or torn. So this layer copies the counted
pages from the log once more, and lets the checkpoint fail.
"""

import itertools
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import apsw

from fr_core.storage import clean_pages
from fr_core.storage.connection import open_to_read
from fr_core.storage.sqlite_log import HEADER_BYTES, HEADER_SALTS, frames_from, page_of

_numbers = itertools.count()


class CheckpointVfs(apsw.VFS):
    """The layer between SQLite and the disk, above the layer of the name `below`; "" = SQLite's own."""

    def __init__(self, below: str = "") -> None:
        self.vfs_name = f"fr-checkpoint-{next(_numbers)}"
        self._below = below
        super().__init__(self.vfs_name, below)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        """Open a file; called by SQLite."""
        if name is not None and flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _DatabaseFile(self._below, name, flags)
        kind = _LogFile if flags[0] & apsw.SQLITE_OPEN_WAL else apsw.VFSFile
        return kind(self._below, name, flags)


class _LogFile(apsw.VFSFile):
    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        super().xTruncate(newsize)
        # SQLite does not sync here. After a power cut the log would be there again, with erased rows.
        super().xSync(apsw.SQLITE_SYNC_NORMAL)


class _DatabaseFile(apsw.VFSFile):
    def __init__(self, below: str, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._below = below
        self._path = Path(name if isinstance(name, str) else name.filename())
        self._dropped = False
        super().__init__(below, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        header = clean_pages.DATABASE_HEADER if offset == 0 else 0
        super().xWrite(clean_pages.clean_page(data, header), offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        if self._dropped:
            # The copies now overwrite pages of this checkpoint, so that it must not succeed.
            self._copy_again()
            raise apsw.IOError("pages that an earlier sync had dropped were copied again")
        try:
            super().xSync(flags)
        except apsw.Error:
            self._dropped = True
            with suppress(apsw.Error):  # else the next sync does it, before which no checkpoint succeeds
                self._copy_again()  # at once, because readers take them from the file
            raise

    def _copy_again(self) -> None:
        """Copy the pages that SQLite counts as copied. Until the sync ends, nobody else copies or restarts the log."""
        frames, page_bytes = _frames_copied(self._path, self._below)
        try:
            for page_no, page in _latest_pages(self._path.with_name(f"{self._path.name}-wal"), frames, page_bytes):
                self.xWrite(page, (page_no - 1) * page_bytes)
        except OSError as error:
            raise apsw.IOError("the write-ahead log cannot be read") from error
        self._dropped = False


def _frames_copied(database: Path, vfs: str) -> tuple[int, int]:
    """Return how many frames of its log SQLite counts as copied, and the bytes of a page."""
    with closing(open_to_read(database, vfs)) as connection:
        connection.set_busy_timeout(0)  # a connection that closes for good has the database for itself
        connection.pragma("journal_mode")  # without which it knows of no log
        _, frames = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        return max(frames, 0), int(connection.pragma("page_size"))


def _latest_pages(log: Path, frames: int, page_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each page in the first frames of a log, and the page as the last of them has it.

    Raises `OSError`, and `apsw.IOError` if it is not the log that SQLite has: another program has taken that away.
    """
    if not frames:
        return
    with log.open("rb") as file:
        salts = file.read(HEADER_BYTES)[HEADER_SALTS]
        copied = list(islice(frames_from(file, 0, page_bytes), frames))
        if len(copied) < frames or any(frame.salts != salts for frame in copied):
            raise apsw.IOError("the write-ahead log is another one")
        latest = {frame.page_no: frame.begin for frame in copied}
        for page_no, begin in latest.items():
            if page_no <= copied[-1].pages:
                yield page_no, page_of(file, begin, page_bytes)
