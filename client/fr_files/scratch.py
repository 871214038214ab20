"""Makes temporary folders, and deletes those of killed processes when it makes the next one; needs only Python."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(prefix: str = "fr-run-") -> Iterator[Path]:
    """Make a folder of mode 0700 in the system's temporary folder, and delete it at the end of the block.

    The process holds a lock on its folder until it ends for any reason. The function first deletes this user's folders
    of the same `prefix` without a lock.

    Raises `OSError`: the folder cannot be made.
    """
    _sweep(Path(tempfile.gettempdir()), prefix)
    folder, lock = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            lock = _opened(folder)
        except OSError:  # another user's, no folder, or just deleted by another process
            continue
        try:
            if os.fstat(lock).st_uid == os.geteuid() and _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _made(prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            lock = _opened(folder)
        except FileNotFoundError:
            continue
        _locked(lock, fcntl.LOCK_EX)  # on a file system without locks, no process deletes it
        if folder.exists():
            return folder, lock
        os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _locked(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except OSError:  # a living process holds it, or the file system has no locks
        return False
    return True
