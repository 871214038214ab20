"""Files that survive a power cut: their bytes, and the names that folders have for them. All raise `OSError`."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Make what a file holds durable, or the names that are in a folder."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def name_whole(path: Path, target: Path) -> None:
    """Give a file that is whole another name in its folder, so that the target is what it was before, or this file."""
    sync(path)
    path.rename(target)
    sync(target.parent)


def cause(error: OSError) -> str:
    """Return the short name of what went wrong, such as `ENOSPC`."""
    return errno.errorcode.get(error.errno or 0, "unknown")
