"""A sync of the database file that fails, after which nothing of what was written before it is there any more."""

import errno
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import apsw
import pytest

from fr_core.storage import checkpoint_vfs
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.connection import open_finished, open_new, open_to_read, open_to_write, settle, use_log

ROWS = 200
ROW_BYTES = 900
BOTH = {"first": ROWS // 2, "second": ROWS // 2}


class ForgettingDisk(apsw.VFS):
    """SQLite's way to a disk that may refuse a sync of the database, and then has what it had before; or a write."""

    def __init__(self) -> None:
        self.vfs_name = f"forgetting-disk-{uuid4()}"
        self.refuses_sync = self.refuses_writes = False
        super().__init__(self.vfs_name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        if name is None or not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return apsw.VFSFile("", name, flags)
        return _Database(self, name, flags)


class _Database(apsw.VFSFile):
    def __init__(self, disk: ForgettingDisk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._disk = disk
        self._before: dict[int, bytes] = {}
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        if self._disk.refuses_writes:
            raise apsw.IOError("a write is refused")
        self._before.setdefault(offset, self.xRead(len(data), offset).ljust(len(data), b"\0"))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        if self._disk.refuses_sync:
            self._disk.refuses_sync = False
            for offset, data in self._before.items():
                super().xWrite(data, offset)
            self._before.clear()
            raise apsw.IOError("a sync is refused")
        super().xSync(flags)
        self._before.clear()


@pytest.fixture
def disk() -> ForgettingDisk:
    return ForgettingDisk()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "rows.db").touch()
    with closing(open_new(tmp_path / "rows.db", "", 1)) as connection:
        connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, content)")
        use_log(connection)
    return tmp_path / "rows.db"


@pytest.fixture
def writer(path: Path, disk: ForgettingDisk) -> Iterator[apsw.Connection]:
    """Of a database whose log was copied in part, which was not synced, with changes in it that were not copied."""
    below = CheckpointVfs(disk.vfs_name)
    with closing(open_to_write(path, below.vfs_name)) as connection:
        use_log(connection)
        settle(connection)
        connection.wal_autocheckpoint(0)
        write(connection, "first")
        with closing(open_to_read(path)) as reader:
            reader.execute("BEGIN")
            assert contents(reader) == {"first": ROWS}
            write(connection, "second", ROWS // 2)
            frames, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            assert 0 < copied < frames
        yield connection


def write(connection: apsw.Connection, content: str, rows: int = ROWS) -> None:
    with connection:
        for number in range(rows):
            connection.execute("REPLACE INTO rows VALUES (?, ?)", (number, content.ljust(ROW_BYTES)))


def contents(connection: apsw.Connection) -> Counter[str]:
    return Counter(str(content).strip() for (content,) in connection.execute("SELECT content FROM rows"))


def is_whole(path: Path) -> bool:
    with closing(open_finished(path)) as connection:
        return connection.pragma("integrity_check") == "ok" and contents(connection) == BOTH


def fail_to_copy(writer: apsw.Connection) -> None:
    with pytest.raises(apsw.IOError):
        writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def test_what_was_counted_as_copied_is_copied_again(path: Path, disk: ForgettingDisk, writer: apsw.Connection) -> None:
    disk.refuses_sync = True
    fail_to_copy(writer)
    with closing(open_to_read(path)) as reader:
        assert contents(reader) == BOTH
    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert is_whole(path)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("_frames_copied", apsw.CantOpenError("no descriptor")),
        ("_latest_pages", OSError(errno.EMFILE, "no descriptor")),
    ],
)
def test_no_later_checkpoint_succeeds_before_pages_are_copied_again(
    path: Path,
    disk: ForgettingDisk,
    writer: apsw.Connection,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: Exception,
) -> None:
    def refused(*arguments: object) -> NoReturn:
        raise error

    disk.refuses_sync = True
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_vfs, step, refused)
        fail_to_copy(writer)
        if step == "_latest_pages":
            fail_to_copy(writer)
    fail_to_copy(writer)  # this one copies again what the first has lost
    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert is_whole(path)


@pytest.mark.parametrize("change", ["shorter", "other"])
def test_pages_of_another_log_are_not_copied(
    path: Path, disk: ForgettingDisk, writer: apsw.Connection, change: str
) -> None:
    log = path.with_name(f"{path.name}-wal")  # which another program has put there
    whole = log.read_bytes()
    log.rename(path.with_name("before"))
    log.write_bytes(whole[:50_000] if change == "shorter" else whole[:16] + b"other to" + whole[24:])
    disk.refuses_sync = True
    fail_to_copy(writer)
    fail_to_copy(writer)
    log.unlink()
    path.with_name("before").rename(log)
    fail_to_copy(writer)
    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert is_whole(path)


def test_a_write_that_is_refused_loses_nothing(path: Path, disk: ForgettingDisk, writer: apsw.Connection) -> None:
    disk.refuses_writes = True
    fail_to_copy(writer)
    disk.refuses_writes, disk.refuses_sync = False, True
    fail_to_copy(writer)
    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert is_whole(path)


def test_control_without_the_copy_the_file_is_damaged(
    path: Path, disk: ForgettingDisk, writer: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_vfs, "_frames_copied", lambda database, vfs: (0, 0))
    disk.refuses_sync = True
    fail_to_copy(writer)
    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert not is_whole(path)
