"""Opening what somebody laid into a data set: regular files alone, as a pipe never ends, and no more than is wanted."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, without waiting for the other end of a pipe; raises `OSError` for anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_at_most(path: Path, most: int) -> bytes:
    """The first `most + 1` bytes of a regular file: more than `most` where it is larger; raises `OSError`."""
    with open_regular(path) as file:
        return file.read(min(size_of(file), most) + 1)
