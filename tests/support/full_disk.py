"""Disks that fill up, or do as a test tells them, and what deleted data leave on them."""

import itertools
import os
import subprocess
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

import apsw
import numpy as np
import pytest

DISK_BYTES = 4 * 2**20
BALLAST_BYTES = 2 * 2**20  # what something else takes of the disk, until it makes room

PIECE = 8
_BLOCK = 4096
_numbers = itertools.count()


class Disk(Protocol):
    """A disk of `DISK_BYTES`, of which something else has taken `BALLAST_BYTES`, until it makes room."""

    @property
    def vfs_name(self) -> str: ...

    def make_room(self) -> None: ...


class WatchedDisk(apsw.VFS):
    """SQLite's way to the disk: `step` hears of each write, truncation, sync and deletion before it, and may raise."""

    def __init__(self, default: bool = False) -> None:
        self.vfs_name = f"watched-disk-{next(_numbers)}"
        super().__init__(self.vfs_name, "unix", makedefault=default)

    def step(self, kind: str, path: str, size: int) -> None:
        raise NotImplementedError

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        return _WatchedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        self.step("delete", filename, 0)
        super().xDelete(filename, syncdir)


class _WatchedFile(apsw.VFSFile):
    def __init__(self, disk: WatchedDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._step = disk.step
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        self._step("write", self._path, len(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        self._step("truncate", self._path, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        self._step("sync", self._path, 0)
        super().xSync(flags)


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
    """A `Disk` of the system, mounted at a folder."""

    vfs_name = ""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"
        self._ballast.write_bytes(bytes(BALLAST_BYTES))

    def make_room(self) -> None:
        self._ballast.unlink()


@contextmanager
def mounted(folder: Path, size: int = DISK_BYTES) -> Iterator[MountedDisk]:
    """Mount a disk for the block; skips the test where that is forbidden."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "fr-core-test", str(folder)]
    tried = subprocess.run(options, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"a disk cannot be mounted here: {tried.stderr.strip()}")
    try:
        yield MountedDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a test that fails leaves files open


@contextmanager
def small_disk(kind: str, folder: Path) -> Iterator[Disk]:
    """A `Disk` at a folder: "counted", or "mounted"."""
    if kind == "mounted":
        with mounted(folder) as real:
            yield real
        return
    folder.mkdir()
    counted = CountedDisk()
    with patch("os.statvfs", counted.statvfs):
        yield counted


def pieces_of(data: bytes) -> Iterator[int]:
    """Cut data into pieces of 8 bytes, end to end."""
    return (int.from_bytes(data[begin : begin + PIECE], "little") for begin in range(0, len(data) - PIECE + 1, PIECE))


def pieces_left(folder: Path, wanted: Collection[int]) -> dict[str, list[int]]:
    """The wanted pieces that each file of a folder holds, by its name: whatever is left of 15 bytes or more."""
    sought, found = np.array(sorted(wanted), dtype="<u8"), dict[str, list[int]]()
    for path in folder.iterdir():
        data = path.read_bytes()
        for shift in range(min(PIECE, len(data))):
            windows = np.frombuffer(data, "<u8", (len(data) - shift) // PIECE, shift)
            found.setdefault(path.name, []).extend(windows[np.isin(windows, sought)].tolist())
    return {name: hits for name, hits in found.items() if hits}


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
