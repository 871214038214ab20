"""The data folder: made for its owner alone, and held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fr_core.errors import StoreExposed, StoreFailed, StoreInUse
from fr_core.storage.durable import cause, name_whole, sync

LOCK_NAME = "galleries.lock"
"""Of the file that the one process locks which has the folder open."""


def make_folder(path: Path) -> None:
    """Make a folder of mode 0700 if there is none.

    Raises:
        StoreExposed: others can write to the existing folder. A group may write to a folder of another user, because
            this user needs the group to write there, as in a volume of Kubernetes with `fsGroup`.
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.stat()
    others = 0o022 if found.st_uid == os.geteuid() else 0o002
    if found.st_mode & others:
        raise StoreExposed(f"Others can write to the data folder (mode {stat.S_IMODE(found.st_mode):04o}).")


def require_sole(database: Path) -> None:
    """Require that a database, its log and its index have no second name, which other programs could use.

    Raises:
        StoreExposed: one of them is a link, or has several names.
        OSError: the properties of one cannot be read.
    """
    for name in (database.name, f"{database.name}-wal", f"{database.name}-shm"):
        with suppress(FileNotFoundError):
            found = database.with_name(name).lstat()
            if stat.S_ISLNK(found.st_mode):
                raise StoreExposed(f"The file {name} is a symbolic link.")
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                raise StoreExposed(f"The file {name} has {found.st_nlink} names (hard links).")


class DataFolder:
    """A folder under an exclusive lock, which the system drops when the process ends, however it ends.

    A folder that has to be made gets mode 0700; one that exists keeps its mode. Files get mode 0600.

    Raises:
        StoreExposed: others can write to the folder.
        StoreInUse: another process, or another part of this one, holds the folder.
        StoreFailed: the folder or the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = path.resolve()  # the layer below SQLite follows no links
        try:
            make_folder(path)
            self._lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed("The data folder cannot be made or written to.", errno=cause(error)) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreInUse("The data folder is open already.") from error
            raise StoreFailed("The data folder cannot be locked.", errno=cause(error)) from error

    def private_file(self, name: str) -> Path:
        """Return the path of a file of mode 0600 in the folder, made empty where it is not there.

        One that is there is not opened: the process would give up the locks of all its connections to it.

        Raises:
            StoreExposed: as `require_sole`.
            StoreFailed: it cannot be made, or is not a regular file.
        """
        path = self.path / name
        try:
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            require_sole(path)
            if not stat.S_ISREG(path.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, "no regular file", str(path))
            path.chmod(0o600)
        except OSError as error:
            raise StoreFailed("A file of the data folder cannot be opened.", errno=cause(error)) from error
        return path

    def spare_bytes(self, reserve: int) -> int:
        """Return how many bytes may be added until the disk has less free than `reserve`, or than 1/8 of its size."""
        try:
            disk = os.statvfs(self.path)
        except OSError as error:
            raise StoreFailed(
                "The disk of the data folder cannot be asked for its room.", errno=cause(error)
            ) from error
        return disk.f_bavail * disk.f_frsize - min(reserve, disk.f_blocks * disk.f_frsize // 8)

    def holds(self, name: str) -> bool:
        """Whether there is a file, or anything else, of that name in the folder."""
        return os.path.lexists(self.path / name)

    @contextmanager
    def whole_file(self, name: str) -> Iterator[Path]:
        """Make a file of mode 0600 that is either not there, or whole and durable.

        Yields the path of an empty file under another name, which is synced and renamed when the block has ended.
        """
        new = f"{name}.new"
        try:
            for left in self.path.glob(f"{new}*"):  # by a process that died while it did this
                left.unlink()
        except OSError as error:
            raise StoreFailed("A file of the data folder cannot be removed.", errno=cause(error)) from error
        path = self.private_file(new)
        yield path
        try:
            name_whole(path, self.path / name)
            sync(self.path.parent)  # which may have got the folder's own name just now
        except OSError as error:
            raise StoreFailed("A file of the data folder cannot be made.", errno=cause(error)) from error

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._lock)
