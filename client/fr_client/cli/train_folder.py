"""A folder for pictures of faces that its process takes away; what dead processes have left is swept up."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PREFIX = "fr-train-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder of mode 0700 for as long as the block lasts; what killed processes of this user left goes first.

    A process holds a lock on its folder, which ends with it however it ends. There is none on Windows, where nothing is
    swept up.

    Raises:
        OSError: it cannot be made.
    """
    sweep(Path(tempfile.gettempdir()))
    folder, lock = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep(parent: Path) -> None:
    """Delete the folders of this name and user whose processes are dead; raises `OSError` if it cannot be listed."""
    if sys.platform == "win32":
        return
    with os.scandir(parent) as entries:
        names = [one.name for one in entries if one.name.startswith(PREFIX) and one.is_dir(follow_symlinks=False)]
    for name in names:
        try:
            lock = _opened(parent / name)
        except OSError:  # another user's, or swept up by somebody else at this moment
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid() and _locked(lock, wait=False):
                shutil.rmtree(parent / name, ignore_errors=True)
        finally:
            os.close(lock)


def _made() -> tuple[Path, int | None]:
    """Make a folder and lock it; one that another process swept up before it was locked is made anew."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        if sys.platform == "win32":
            return folder, None
        try:
            lock = _opened(folder)
        except FileNotFoundError:
            continue
        _locked(lock, wait=True)  # without locks on this file system nobody sweeps up
        if folder.exists():
            return folder, lock
        os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _locked(descriptor: int, *, wait: bool) -> bool:
    """Lock a folder until the descriptor is closed; return False where that cannot be done."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by a living process, or this file system has no locks
        return False
    return True
