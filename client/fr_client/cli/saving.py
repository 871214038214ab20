"""Files that a command makes for their owner alone, and how it ends where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.private import private_file, private_folder
from fr_core.reading import read_whole

MAX_TEXT_BYTES = 2**20


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file of mode 0600 that is whole or not there.

    Args:
        path: its name; one that is there is not replaced, and nothing is begun.

    Raises:
        Unusable: it cannot be written.
    """
    with _telling(path):
        if path.exists():
            raise FileExistsError
        with private_file(path, replace=False) as file:
            yield file


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder of mode 0700 that is whole or not there; raises `Unusable` where it cannot be made."""
    with _telling(path), private_folder(path) as folder:
        yield folder


def read_file(path: Path, most: int = MAX_TEXT_BYTES) -> bytes:
    """Return the bytes of a regular file; raises `Unusable` if it cannot be read, or has more than `most`."""
    try:
        return read_whole(path, most)
    except OSError as error:
        raise Unusable("FILE_UNREADABLE", f"{shown(path)} cannot be read: {error.strerror}.") from error


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise Unusable("FILE_EXISTS", f"{shown(path)} is there already; choose another name.") from error
    except OSError as error:
        raise Unusable("FILE_UNWRITABLE", f"{shown(path)} cannot be written: {error.strerror}.") from error
