"""Files and folders about persons that a command writes: for their owner alone."""

from __future__ import annotations

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
    """Open a file for its owner alone, for `open(..., opener=private_opener)`; one that was there is made so first.

    Pipes and devices stay as they are.
    """
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
    """Write a file of mode 0600 that is whole or not there: it gets its name when the block ends well.

    Until then it lies beside it as `.fr-*.part`; a process that is killed leaves that one.

    Args:
        target: its name.
        replace: whether it takes the place of a file of that name.

    Raises:
        FileExistsError: there is a file of that name, and it is not to be replaced; nothing was written.
        OSError: the file cannot be written, or it is not to replace one and its file system has no hard links.
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
            os.link(temporary, target)  # unlike a renaming, it fails where the name is taken
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """Make a folder of mode 0700 that is whole or not there: it gets its name when the block ends well.

    Until then it lies beside it as `.fr-*.part`; a process that is killed leaves that one.

    Args:
        target: its name.

    Raises:
        FileExistsError: there is something of that name; nothing was written.
        OSError: it cannot be made.
    """
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
