"""A small disk that fills up: one that SQLite writes through, and a real one where mounting is allowed."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import apsw
import pytest

DISK_BYTES = 4 * 2**20
BALLAST_BYTES = 2 * 2**20
"""What something else takes of the disk, until it makes room."""

_BLOCK = 4096
_numbers = itertools.count()


class Disk(Protocol):
    """A disk of `DISK_BYTES`, of which something else has taken `BALLAST_BYTES`."""

    @property
    def vfs_name(self) -> str:
        """SQLite's way to it."""

    def make_room(self) -> None:
        """Give back what something else has taken."""


class CountedDisk(apsw.VFS):
    """A `Disk` that counts what SQLite writes, and has no room for more; needs no rights."""

    def __init__(self) -> None:
        self.vfs_name = f"full-disk-{next(_numbers)}"
        self._ballast = BALLAST_BYTES
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()
        super().__init__(self.vfs_name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        assert name is not None  # temporary data stay in memory
        return _CountedFile(self, name if isinstance(name, str) else name.filename(), name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        super().xDelete(filename, syncdir)
        with self._lock:
            self._sizes.pop(filename, None)

    def make_room(self) -> None:
        self._ballast = 0

    def grow(self, path: str, size: int) -> None:
        """Count a file that is about to have this size or more; raises what SQLite takes for a full disk."""
        with self._lock:
            more = _on_disk(size) - _on_disk(self._sizes.get(path, 0))
            if more > self._free():
                raise apsw.FullError("the disk is full")
            self._sizes[path] = max(size, self._sizes.get(path, 0))

    def shrink(self, path: str, size: int) -> None:
        """Count a file that has this size from now on."""
        with self._lock:
            self._sizes[path] = size

    def statvfs(self, _path: object) -> os.statvfs_result:
        with self._lock:
            blocks, free = DISK_BYTES // _BLOCK, self._free() // _BLOCK
        return os.statvfs_result((_BLOCK, _BLOCK, blocks, free, free, 0, 0, 0, 0, 255))

    def _free(self) -> int:
        return DISK_BYTES - self._ballast - sum(map(_on_disk, self._sizes.values()))


class _CountedFile(apsw.VFSFile):
    def __init__(self, disk: CountedDisk, path: str, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        super().__init__("", name, flags)
        self._disk.shrink(path, self.xFileSize())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        self._disk.grow(self._path, offset + len(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        super().xTruncate(newsize)
        self._disk.shrink(self._path, newsize)


class MountedDisk:
    """A `Disk` of the system.

    Args:
        folder: where it is mounted.
    """

    vfs_name = ""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"
        self._ballast.write_bytes(bytes(BALLAST_BYTES))

    def make_room(self) -> None:
        self._ballast.unlink()


@contextmanager
def mounted(folder: Path) -> Iterator[MountedDisk]:
    """Mount a disk of 4 MiB for the block; skips the test where that is forbidden."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "fr-core-test", str(folder)]
    tried = subprocess.run(options, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"a disk of 4 MiB cannot be mounted here: {tried.stderr.strip()}")
    try:
        yield MountedDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a test that fails leaves files open


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
