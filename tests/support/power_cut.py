"""A disk whose power can fail: what was not synced may be lost, in part or in whole, and torn at any byte.

SQLite writes through it as ever. Beside that it keeps of each file what a power cut cannot take away any more, and each
write since; `Image` is what a cut at that moment may leave. As on Linux: a sync of a new log syncs the folder too, the
end of a file that was truncated or deleted may come back, and writes reach the disk in any order, sector by sector. A
write changes no byte beside those that it writes (SQLite's "powersafe overwrite", which it takes for granted). A sync
that fails has made anything durable of what was written before, and the rest never will be, though it is read back.
"""

import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512

_numbers = itertools.count()

_Change = tuple[int, bytes | None]  # a write at an offset; a truncation where there is no data


@dataclass(slots=True)
class _Content:
    """A file: the bytes that are durable, what was done to it since, whether its name is, and how its syncs ended."""

    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[_Change] = field(default_factory=list)
    named: bool = False
    failures: int = 0
    failed: bool = False
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """The files left by a power cut; says if pages of the database itself were under way, and if a write was torn."""

    files: dict[str, bytes]
    checkpoint: bool
    torn: bool

    def write(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)


class PowerCut(apsw.VFS):
    """SQLite's way to such a disk, of a folder whose files are durable from the start.

    At moments that `rng` chooses, at most so many writes and syncs apart, an image is taken before anything else is
    written. A disk that `lies` only says that it has synced.
    """

    def __init__(
        self, rng: random.Random, most: int, at_moment: Callable[[Image], None], folder: Path, *, lies: bool = False
    ) -> None:
        self.vfs_name = f"power-cut-{next(_numbers)}"
        self._rng = rng
        self._most = most
        self._at_moment = at_moment
        self._refuses = (0.0, 0.0)
        self.failures = 0
        self._lies = lies
        self._lock = threading.Lock()
        self._left = rng.randint(1, most)
        self._names = {
            str(path): _Content(bytearray(path.read_bytes()), named=True, is_log=path.name.endswith("-wal"))
            for path in folder.iterdir()
            if "shm" not in path.name
        }
        self._durable_names = dict(self._names)
        super().__init__(self.vfs_name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        assert name is not None  # temporary data stay in memory
        path = name if isinstance(name, str) else name.filename()
        with self._lock:
            content = self._names.setdefault(path, _Content(is_log=path.endswith("-wal")))
        return _File(self, content, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        with self._lock:
            self._moment()
            super().xDelete(filename, syncdir)
            self._names.pop(filename, None)
            if syncdir:
                self._durable_names = dict(self._names)

    def change(self, content: _Content, change: _Change, do: Callable[[], None]) -> None:
        with self._lock:
            do()
            content.unsynced.append(change)
            self._moment()

    def sync(self, content: _Content) -> int:
        """Make what was written to a file durable, and the folder at the first time; returns how many syncs failed."""
        with self._lock:
            self._moment()
            if self._lies:
                return 0
            content.failed = not content.failed and self._rng.random() < self._refuses[content.is_log]
            if content.failed:
                content.failures += 1
                self.failures += 1
                for change in content.unsynced:
                    self._keep(content.durable, change, 0.5)
                content.unsynced.clear()
                return content.failures
            for change in content.unsynced:
                _apply(content.durable, change)
            content.unsynced.clear()
            if not content.named:
                content.named = True
                self._durable_names = dict(self._names)
            return content.failures

    def refuse(self, of_database: float, of_log: float) -> None:
        """Let such shares of their syncs fail from now on, but never two that follow each other."""
        self._refuses = (of_database, of_log)

    @property
    def unsynced(self) -> set[str]:
        with self._lock:
            return {Path(path).name for path, content in self._names.items() if content.unsynced}

    def _moment(self) -> None:
        self._left -= 1
        if not self._left:
            self._left = self._rng.randint(1, self._most)
            self._at_moment(self._image())

    def _image(self) -> Image:
        """A cut leaves everything durable and, by chance, nothing, everything or any part of the rest."""
        keep = self._rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])
        names = self._names if self._rng.random() < keep else self._durable_names
        files: dict[str, bytes] = {}
        torn = checkpoint = False
        for path, content in names.items():
            data = bytearray(content.durable)
            for change in content.unsynced:
                torn = self._keep(data, change, keep) or torn
            files[Path(path).name] = bytes(data)
            checkpoint = checkpoint or (not content.is_log and bool(content.unsynced))
        # The index of the log is never synced: any rubbish may be left of it.
        databases = [name for name in files if not name.endswith("-wal")]
        files.update({f"{name}-shm": self._rng.randbytes(32_768) for name in databases})
        return Image(files, checkpoint, torn)

    def _keep(self, data: bytearray, change: _Change, keep: float) -> bool:
        """Apply a change, or a part of it, or nothing; returns whether it was a part."""
        offset, written = change
        if self._rng.random() >= keep:
            return False
        if written is None or self._rng.random() < 0.5:
            _apply(data, change)
            return False
        ends = range((offset // SECTOR + 1) * SECTOR, offset + len(written), SECTOR)
        for begin, end in itertools.pairwise((offset, *ends, offset + len(written))):
            if self._rng.random() < 0.5:
                stop = self._rng.randint(begin, end) if self._rng.random() < 0.2 else end
                _apply(data, (begin, written[begin - offset : stop - offset]))
        return True


class _File(apsw.VFSFile):
    def __init__(self, disk: PowerCut, content: _Content, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._disk = disk
        self._content = content
        self._told = content.failures
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        write = super().xWrite
        self._disk.change(self._content, (offset, bytes(data)), lambda: write(data, offset))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        truncate = super().xTruncate
        self._disk.change(self._content, (newsize, None), lambda: truncate(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        failures = self._disk.sync(self._content)
        if failures > self._told:  # a process that has it open is told once
            self._told = failures
            raise apsw.IOError("the disk refuses a sync")


def _apply(data: bytearray, change: _Change) -> None:
    offset, written = change
    end = offset if written is None else offset + len(written)
    if written is None:
        del data[offset:]
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if written is not None:
        data[offset:end] = written
