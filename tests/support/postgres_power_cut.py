"""A PostgreSQL server whose power can fail: what it had not synced may be lost, in part or in whole.

A library that is loaded into it tells a log of each change to its files, see `disk_log.c`. From that follows what a
power cut at any moment may leave. As on Linux: writes reach the disk in any order, sector by sector; a sync of a file
makes its name durable, too, and one of a folder all names in it. A sector is whole or old, as PostgreSQL takes for
granted of its control file. What goes through `fopen` is not seen, and so is lost: PostgreSQL makes it again.
"""

import os
import random
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import pytest

from support.postgres import Cluster

SECTOR = 512
_HEAD = struct.Struct("<5Q")


class _Kind(IntEnum):
    NAMED = 1
    WRITTEN = 2
    TRUNCATED = 3
    EXTENDED = 4
    SYNC_BEGINS = 5
    SYNCED = 6
    RENAMED = 7
    UNLINKED = 8
    MADE_FOLDER = 9
    REMOVED_FOLDER = 10


_Change = tuple[int, int, bytes]  # WRITTEN at an offset; TRUNCATED or EXTENDED to a number of bytes


@dataclass(slots=True)
class _Content:
    """A file: the bytes that are durable, and the changes since then; `done` counts all that have become durable."""

    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[_Change] = field(default_factory=list)
    done: int = 0
    begun: dict[int, int] = field(default_factory=dict)  # by process: changes that its sync covers


def library(folder: Path) -> Path:
    """Build the library; skips the test where there is no compiler."""
    made = folder / "disk_log.so"
    source = Path(__file__).with_name("disk_log.c")
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(made), str(source)], check=True)
    except FileNotFoundError:
        pytest.skip("the power of PostgreSQL can be cut only where there is a C compiler")
    return made


class Disk:
    """The files of a server as its log tells of them, which begins with the files as they are in the folder."""

    def __init__(self, data: Path, *, lies: bool) -> None:
        self._data = data
        self._lies = lies
        self._inodes: dict[int, _Content] = {}
        self._names: dict[str, _Content] = {}
        self._folders: dict[int, str] = {data.stat().st_ino: "."}
        for path in data.rglob("*"):
            inside, inode = str(path.relative_to(data)), path.stat().st_ino
            if path.is_dir():
                self._folders[inode] = inside
            else:
                self._names[inside] = self._inodes[inode] = _Content(bytearray(path.read_bytes()))
        self._durable_names = dict(self._names)

    def apply(self, log: bytes) -> None:
        """Take in a further part of the log, whole records."""
        at = 0
        while at < len(log):
            kind, process, inode, offset, size = _HEAD.unpack_from(log, at)
            at += _HEAD.size + size
            self._take(_Kind(kind), process, inode, offset, log[at - size : at])

    def _take(self, kind: _Kind, process: int, inode: int, offset: int, data: bytes) -> None:
        match kind:
            case _Kind.WRITTEN | _Kind.TRUNCATED | _Kind.EXTENDED:
                if (content := self._inodes.get(inode)) is not None:
                    content.unsynced.append((kind, offset, data))
            case _Kind.NAMED:
                name = self._inside(data)
                if name is not None and name not in self._names:
                    self._names[name] = self._inodes[inode] = _Content()  # the number may be that of a deleted file
            case _Kind.SYNC_BEGINS:
                if (content := self._inodes.get(inode)) is not None:
                    content.begun[process] = content.done + len(content.unsynced)
            case _Kind.SYNCED:
                if not self._lies:
                    self._synced(process, inode)
            case _Kind.RENAMED:
                before, after = (self._inside(path) for path in data.split(b"\0"))
                content = self._names.pop(before or "", None)
                if after is not None and content is not None:
                    self._names[after] = content
            case _Kind.UNLINKED:
                self._names.pop(self._inside(data) or "", None)
            case _Kind.MADE_FOLDER | _Kind.REMOVED_FOLDER:
                pass  # none that a store needs

    def _synced(self, process: int, inode: int) -> None:
        if (folder := self._folders.get(inode)) is not None:
            self._sync_names(lambda name, _: str(Path(name).parent) == folder)
        elif (content := self._inodes.get(inode)) is not None:
            covered = max(0, content.begun.pop(process, content.done) - content.done)
            for change in content.unsynced[:covered]:
                _apply(content.durable, change)
            del content.unsynced[:covered]
            content.done += covered
            self._sync_names(lambda _, one: one is content)

    def _sync_names(self, synced: Callable[[str, _Content], bool]) -> None:
        kept = {name: one for name, one in self._durable_names.items() if not synced(name, one)}
        self._durable_names = kept | {name: one for name, one in self._names.items() if synced(name, one)}

    def _inside(self, path: bytes) -> str | None:
        """Return a path within the folder of the data, which is where the server works; None for any other."""
        text = os.fsdecode(path).removeprefix(f"{self._data}/").removeprefix("./")
        return None if text.startswith("/") else text

    def image(self, rng: random.Random, into: Path) -> int:
        """Write what a power cut leaves by chance into a new folder; returns how many files had unsynced changes."""
        keep = rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])
        names = self._names if rng.random() < keep else self._durable_names
        for name in sorted(self._folders.values()):
            (into / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        unsynced = 0
        for name, content in names.items():
            data = bytearray(content.durable)
            unsynced += bool(content.unsynced)
            for change in content.unsynced:
                _keep(rng, data, change, keep)
            if name != "postmaster.pid" and (into / name).parent.is_dir():
                (into / name).write_bytes(data)
        return unsynced


def _apply(data: bytearray, change: _Change) -> None:
    kind, offset, written = change
    if kind == _Kind.TRUNCATED:
        del data[offset:]
    end = offset + len(written)
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if written:
        data[offset:end] = written


def _keep(rng: random.Random, data: bytearray, change: _Change, keep: float) -> None:
    """Apply a change, or some sectors of it, or nothing."""
    kind, offset, written = change
    if rng.random() >= keep:
        return
    if not written or rng.random() < 0.5:
        _apply(data, change)
        return
    starts = [offset, *range((offset // SECTOR + 1) * SECTOR, offset + len(written), SECTOR)]
    for begin, end in zip(starts, [*starts[1:], offset + len(written)], strict=True):
        if rng.random() < 0.5:
            _apply(data, (kind, begin, written[begin - offset : end - offset]))


class Powered:
    """A cluster whose disk is watched from its start on; `cluster` is not running yet."""

    def __init__(self, cluster: Cluster, *, lies: bool = False) -> None:
        self._cluster = cluster
        self._log = cluster.folder / "disk.log"
        self._log.touch()
        shutil.chown(self._log, cluster.folder.owner())
        self._read = 0
        self._disk = Disk(cluster.data, lies=lies)
        cluster.environ = {"LD_PRELOAD": str(library(cluster.folder)), "FR_DISK_LOG": str(self._log)}
        cluster.start()

    @contextmanager
    def held(self) -> Iterator[Disk]:
        """Hold the server still within the block, and yield its disk as it is then."""
        held = self._cluster.hold()
        try:
            with self._log.open("rb") as log:
                log.seek(self._read)
                told = log.read()
            self._read += len(told)
            self._disk.apply(told)
            yield self._disk
        finally:
            for process in held:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
