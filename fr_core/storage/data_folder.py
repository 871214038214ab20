"""Holds the folder of a store: made for its owner alone, and locked by one process or shared by several."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fr_core.errors import StoreExposed, StoreFailed, StoreInUse, message
from fr_core.storage.durable import cause, name_whole, sync
from fr_core.storage.schema import Schema

_AGAIN_S = 0.01


def make_folder(path: Path) -> None:
    """Make a folder of mode 0700 if there is none; raises `OSError`, and `StoreExposed` if others can write to it.

    A group may write to a folder of another user, because this user needs the group to write there, as in a volume of
    Kubernetes with `fsGroup`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.stat()
    others = 0o022 if found.st_uid == os.geteuid() else 0o002
    if found.st_mode & others:
        raise StoreExposed(message("error.storage.others_can_write_data", stat=stat.S_IMODE(found.st_mode)))


def require_sole(database: Path) -> None:
    """Require that a database, its log and its index have no second name, which other programs could use.

    Raises `StoreExposed`: one of them is a link, or has several names; `OSError`: the properties of one cannot be read.
    """
    for name in (database.name, f"{database.name}-wal", f"{database.name}-shm"):
        with suppress(FileNotFoundError):
            found = database.with_name(name).lstat()
            if stat.S_ISLNK(found.st_mode):
                raise StoreExposed(message("error.storage.file_symbolic_link", name=name))
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                raise StoreExposed(message("error.storage.file_names_hard_links", name=name, st_nlink=found.st_nlink))


class DataFolder:
    """A folder that one process holds for itself alone; the system drops the lock when that process ends.

    A new folder gets mode 0700; an existing one keeps its mode. Files get mode 0600. `alone` says whether nobody else
    has the store open.

    Raises `StoreExposed`: others can write to the folder; `StoreInUse`: another process, or another part of this one,
    holds the folder; `StoreFailed`: the folder or the lock file cannot be made.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path = path.resolve()  # the layer below SQLite follows no links
        self._schema = schema
        try:
            make_folder(path)
            self._hold = os.open(path / schema.lock_name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed(message("error.storage.data_folder_cannot_made"), errno=cause(error)) from error
        try:
            self.alone = self._first_hold()
        except BaseException:
            os.close(self._hold)
            raise

    def _first_hold(self) -> bool:
        if not self._try_alone():
            raise StoreInUse(message("error.storage.data_folder_open_already"))
        return True

    def share(self) -> None:
        """Let others in, where the store can be shared."""

    def wait_alone(self, needed: Callable[[], bool], longest_s: float) -> None:
        """Try to have the folder alone, see `SharedFolder`."""

    @contextmanager
    def alone_for(self) -> Iterator[None]:
        """Have the folder alone for the block; raises `StoreInUse` where others have it open."""
        yield

    def private_file(self, name: str) -> Path:
        """Return the path of a file of mode 0600 in the folder, made empty where it is not there.

        An existing file is not opened: closing it would give up the locks of all connections of this process to it.
        Raises `StoreExposed` as `require_sole`, and `StoreFailed` if it cannot be made, or is not a regular file.
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
            raise StoreFailed(message("error.storage.file_data_folder_cannot"), errno=cause(error)) from error
        return path

    def spare_bytes(self, reserve: int) -> int:
        """Return how many bytes may be added until the disk has less free than `reserve`, or than 1/8 of its size."""
        try:
            disk = os.statvfs(self.path)
        except OSError as error:
            raise StoreFailed(message("error.storage.disk_data_folder_cannot"), errno=cause(error)) from error
        return disk.f_bavail * disk.f_frsize - min(reserve, disk.f_blocks * disk.f_frsize // 8)

    def holds(self, name: str) -> bool:
        """Return whether the folder has a file, or anything else, of that name."""
        return os.path.lexists(self.path / name)

    @contextmanager
    def whole_file(self, name: str) -> Iterator[Path]:
        """Make a file of mode 0600 that is either absent, or whole and durable.

        Yields the path of an empty file under another name, which is synced and renamed when the block has ended.
        """
        new = f"{name}.new"
        try:
            for left in self.path.glob(f"{new}*"):  # by a process that died while it did this
                left.unlink()
        except OSError as error:
            raise StoreFailed(message("error.storage.file_data_folder_cannot_removed"), errno=cause(error)) from error
        path = self.private_file(new)
        yield path
        try:
            name_whole(path, self.path / name)
            sync(self.path.parent)  # which may have got the folder's own name just now
        except OSError as error:
            raise StoreFailed(message("error.storage.file_data_folder_cannot_made"), errno=cause(error)) from error

    @contextmanager
    def building(self, *, wait: bool) -> Iterator[bool]:
        """Be the only one of all processes that builds something which takes several transactions.

        Yields whether this process is the only one, after a wait for the others if `wait` is true.
        """
        path = self.private_file(self._schema.building_name)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StoreFailed(message("error.storage.file_data_folder_cannot"), errno=cause(error)) from error
        try:
            yield _locked(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(handle)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._hold)

    def _try_alone(self) -> bool:
        return _locked(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)


class SharedFolder(DataFolder):
    """A data folder that several processes hold at once; the system drops a hold when its process ends.

    The first process has it alone until `share`: it makes the database, brings it up to date, and checks it. Stores of
    several kinds may lie in one folder without disturbing each other.
    """

    def _first_hold(self) -> bool:
        while not self._try_alone():
            self._flock(fcntl.LOCK_SH)  # waits until the process that is alone has made the database
            if self.holds(self._schema.database_name):
                return False
            self._flock(fcntl.LOCK_UN)  # that process died before
            time.sleep(_AGAIN_S)
        return True

    def share(self) -> None:
        """Let others in."""
        self._flock(fcntl.LOCK_SH)
        self.alone = False

    def wait_alone(self, needed: Callable[[], bool], longest_s: float) -> None:
        """Try to have the folder alone, for as long as that is needed; afterwards `alone` says whether it is.

        The folder is let go meanwhile, so that one of several that try succeeds. Nothing may be written until then.
        `needed` is asked again and again: false once another process has done the work.
        """
        until = time.monotonic() + longest_s
        self._flock(fcntl.LOCK_UN)
        while True:
            self.alone = self._try_alone()
            if self.alone:
                return
            if not needed() or time.monotonic() > until:
                break
            time.sleep(_AGAIN_S)
        self._flock(fcntl.LOCK_SH)

    @contextmanager
    def alone_for(self) -> Iterator[None]:
        """Have the folder alone for the block; raises `StoreInUse` where others have it open."""
        if not self._try_alone():
            self._flock(fcntl.LOCK_SH)  # a failed change of the lock may have dropped it: flock(2)
            raise StoreInUse(message("error.storage.open_another_process", schema=self._schema.name))
        try:
            yield
        finally:
            self._flock(fcntl.LOCK_SH)

    def _flock(self, how: int) -> None:
        if not _locked(self._hold, how):
            raise StoreFailed(message("error.storage.data_folder_cannot_locked"))


def _locked(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise StoreFailed(message("error.storage.data_folder_cannot_locked"), errno=cause(error)) from error
    return True
