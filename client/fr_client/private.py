"""Writes files and folders about persons, for their owner alone."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def private_opener(path: str, flags: int) -> int:
    """Open a file for its owner alone, also an existing one, for `open(..., opener=...)`; pipes and devices stay."""
    descriptor = os.open(path, flags, 0o600)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def private_file(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Write a file of mode 0600, complete or absent: it gets its name if the block ends well.

    Until then it is a `.fr-*.part` in the same folder, which a killed process leaves behind. Raises `OSError` if the
    file cannot be written; and without `replace`, `FileExistsError` if there is a file of that name, after which
    nothing was written, and `OSError` on a file system without hard links.
    """
    descriptor, name = tempfile.mkstemp(".part", ".fr-", target.parent)  # of mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        if replace:
            temporary.replace(target)
        else:
            os.link(temporary, target)  # unlike renaming, it fails if the name is taken
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """Make a folder of mode 0700, complete or absent, as `private_file` does, with its errors."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    temporary = Path(tempfile.mkdtemp(".part", ".fr-", target.parent))  # of mode 0700
    try:
        yield temporary
        try:
            temporary.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
