"""Writes files that survive a power cut: their bytes, and their names in folders.

Every function raises `OSError`.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync(path: Path) -> None:
    """Make the content of a file durable, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def name_whole(path: Path, target: Path) -> None:
    """Rename a whole file in its folder, durably: the target is the file from before, or this one."""
    sync(path)
    path.rename(target)
    sync(target.parent)


def lock_named(path: Path, file: int) -> None:
    """Lock an open file; raise `BlockingIOError` if another process has the lock, or the name is not its own any more.

    Only the process that has the lock removes or renames the file, so from then on the name is its own.
    """
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not _is_named(path, file):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))


def _is_named(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False


@contextmanager
def unfinished(path: Path) -> Iterator[int]:
    """Yield the descriptor of a new file of mode 0600, locked, which is removed at the end unless it was renamed.

    It replaces a file that a killed process has left, but none that another process is writing: that raises
    `BlockingIOError`. Raises `OSError` also where the file cannot be made, or the name is a link.
    """
    with suppress(FileNotFoundError):
        left = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            lock_named(path, left)
            path.unlink()
        finally:
            os.close(left)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path)) from error
    try:
        lock_named(path, file)
        try:
            yield file
        finally:
            if _is_named(path, file):
                path.unlink()
    finally:
        os.close(file)


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, which replaces one of that name; after a crash it is whole, or the one from before."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        name_whole(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a new file durably, except for its name; if that fails, nothing remains of it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)  # regardless of the umask
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def cause(error: OSError) -> str:
    """Return the short name of an error, such as `ENOSPC`."""
    return errno.errorcode.get(error.errno or 0, "unknown")
