"""Writes a file under another name, and renames it when it is proved and durable: it is absent or whole."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fr_core.errors import StoreFailed, TargetTaken, message
from fr_core.storage.durable import cause, name_whole

_NEW = ".new"
_BLOCK = 2**20
_HEAD_BYTES = 100


class Staged:
    """A new file of mode 0600 beside its target, for one process at a time; see `staged`.

    `path`: where it is written, by the name of the target and `.new`.
    """

    def __init__(self, target: Path, is_ours: Callable[[bytes], bool], secret: bool) -> None:
        self._target = target
        self._secret = secret
        self.path = target.with_name(f"{target.name}{_NEW}")
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have renamed it since it was opened.
            if not os.path.samestat(os.fstat(self._handle), self.path.stat()):
                raise BlockingIOError(errno.EWOULDBLOCK, "renamed")
            head = os.pread(self._handle, _HEAD_BYTES, 0)
            if head and not is_ours(head):
                raise TargetTaken(message("error.gallery.file_none_backup_left", path=self.path.name))
            os.fchmod(self._handle, 0o600)
            # The file of a process that died.
            if secret:
                _zero(self._handle)
            os.ftruncate(self._handle, 0)
        except BaseException:
            os.close(self._handle)
            raise

    def mark(self, data: bytes, place: int) -> None:
        """Write some bytes of it; `keep` makes them durable."""
        with _disk_errors():
            os.pwrite(self._handle, data, place)

    def keep(self) -> None:
        """Make it durable and give it the name of its target, which it replaces."""
        with _disk_errors(), _replaced(self._target, self._secret):
            name_whole(self.path, self._target)

    def close(self) -> None:
        """Remove it, unless it was kept."""
        try:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._handle), self.path.stat()):
                    self.path.unlink()
                    if self._secret:
                        _overwrite(self._handle)
        finally:
            os.close(self._handle)


@contextmanager
def staged(target: Path, is_ours: Callable[[bytes], bool], *, secret: bool = False) -> Iterator[Staged]:
    """Yield the file that may become `target`; where the block fails, or does not keep it, nothing is left of it.

    Args:
        target: its name.
        is_ours: says by its first 100 bytes, or fewer, whether a file that has its name already was left by a process
            that died, and may be written over; an empty one always may.
        secret: overwrite with zeros the file that it replaces, the one of a process that died, and itself if it is not
            kept.

    Raises `TargetTaken`: another process writes the same file at this moment, or somebody else's has its name;
    `StoreFailed`: the disk refuses.
    """
    with _disk_errors():
        try:
            file = Staged(target, is_ours, secret)
        except BlockingIOError as error:
            raise TargetTaken(message("error.gallery.another_process_writes_file")) from error
    try:
        yield file
    finally:
        with _disk_errors():
            file.close()


@contextmanager
def _replaced(target: Path, secret: bool) -> Iterator[None]:
    if not secret or not target.exists():
        yield
        return
    before = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield
        _overwrite(before)
    finally:
        os.close(before)


def _overwrite(handle: int) -> None:
    """Write zeros over a file that has no name any more; one that still has another name is somebody's own."""
    if not os.fstat(handle).st_nlink:
        _zero(handle)


def _zero(handle: int) -> None:
    size = os.fstat(handle).st_size
    for begin in range(0, size, _BLOCK):
        os.pwrite(handle, bytes(min(_BLOCK, size - begin)), begin)
    os.fsync(handle)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFailed(message("error.gallery.file_backup_cannot_written"), errno=cause(error)) from error
