"""Losses of a write-ahead log, and what was never promised: logs of SQLite itself, damaged and torn."""

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_core.storage import sqlite_log
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.sqlite_log import require_no_lost_commits, truncate_log

PAGE = 4_096
HEADER, FRAME = 32, 24 + PAGE
SMALL, LARGE = 12, 100
"""Transactions of a page each, and about the pages of the last one."""


def log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def before(database: Path) -> Path:
    return database.with_name("before.db")


def made(factory: pytest.TempPathFactory, small: int, large: int) -> Path:
    """A database with the log of small transactions and at most one large one, over that of small ones alone.

    Beside it `before` finds it as it was when all of the log before was copied, with that log.
    """
    living, left = (factory.mktemp(name) / "some.db" for name in ("living", "left"))
    pages = CheckpointVfs()
    with closing(apsw.Connection(str(living), vfs=pages.vfs_name)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, value BLOB)")

        def write(times: int) -> None:
            for number in range(times):
                connection.execute("INSERT OR REPLACE INTO rows VALUES (1, ?)", (bytes([number % 256]) * 100,))

        write(2 * LARGE)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        for path, copy in ((living, before(left)), (log_of(living), log_of(before(left)))):
            shutil.copy(path, copy)
        write(small)
        if large:
            connection.execute("INSERT INTO rows VALUES (2, ?)", (b"x" * (PAGE * large),))
        for path in (living, log_of(living)):
            shutil.copy(path, left.parent)
    return left


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory, SMALL, LARGE)


@pytest.fixture(scope="module")
def log(whole: Path) -> bytes:
    return log_of(whole).read_bytes()


def require(database: Path, log: bytes, folder: Path) -> tuple[int, bool]:
    """Look at a database with this log; returns how many of its frames SQLite takes, and whether it leaves some out."""
    copy = folder / "copy.db"
    shutil.copy(database, copy)
    log_of(copy).write_bytes(log)
    with closing(apsw.Connection(str(copy))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        return frames, require_no_lost_commits(copy, frames, PAGE)


def begin_of(frame: int) -> int:
    return HEADER + frame * FRAME


def straddling(frames: range) -> list[int]:
    """Those in whose header a sector begins just after the end of a transaction, and before the salts."""
    return [frame for frame in frames if begin_of(frame) % 512 == 504]


def with_bytes(log: bytes, at: int, data: bytes) -> bytes:
    return log[:at] + data + log[at + len(data) :]


def test_a_whole_log_and_one_torn_between_the_sectors_of_a_header(whole: Path, tmp_path: Path, log: bytes) -> None:
    frames, under_way = require(whole, log_of(whole).read_bytes(), tmp_path)
    assert frames > SMALL + LARGE
    assert not under_way
    torn = with_bytes(log, begin_of(SMALL) + 24, bytes(512))  # a sector of its first frame never came
    assert require(whole, torn, tmp_path) == (SMALL, True)
    (middle, *_) = straddling(range(SMALL + 1, SMALL + LARGE))
    of_before = log[begin_of(SMALL + LARGE + 20) :][:8]  # the log that was written over has ends everywhere
    assert any(of_before[4:])
    assert require(whole, with_bytes(torn, begin_of(middle), of_before), tmp_path) == (SMALL, True)
    # The control: in one sector with its salts an end was written as it stands.
    with pytest.raises(StoreCorrupt):
        require(whole, with_bytes(torn, begin_of(middle + 1), of_before), tmp_path)


def test_last_transaction_may_be_torn_at_any_byte_of_a_header(whole: Path, log: bytes, tmp_path: Path) -> None:
    """Its salts are there, and its checksum is that of the log before, whose frames follow: each of them is an end."""
    frames, _ = require(whole, log, tmp_path)
    place = begin_of(frames)
    for more in range(4, 13, 2):
        torn = with_bytes(log, place + 4, (bytes(4) + log[16:24])[:more])
        assert require(whole, torn, tmp_path) == (frames, more == 12)


@pytest.mark.parametrize("size", [FRAME - 1, FRAME - 9, 30, 24, 20])
def test_log_that_ends_within_a_former_frame_is_whole(whole: Path, log: bytes, tmp_path: Path, size: int) -> None:
    frames, _ = require(whole, log, tmp_path)
    assert require(whole, log[: begin_of(frames) + size], tmp_path) == (frames, False)


@pytest.mark.parametrize("at", [4, *range(8, 16), 17, 24, 2_000, FRAME - 1])
def test_change_before_the_last_transaction_is_found(whole: Path, log: bytes, tmp_path: Path, at: int) -> None:
    assert not straddling(range(SMALL))
    for frame in range(SMALL):
        place = begin_of(frame) + at
        with pytest.raises(StoreCorrupt):
            require(whole, with_bytes(log, place, bytes([log[place] ^ 1])), tmp_path)


def test_changed_salts_of_an_end_in_two_sectors(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    (last_but_one,) = straddling(range(2 * SMALL, 4 * SMALL))
    database = made(tmp_path_factory, last_but_one + 2, 0)
    log = log_of(database).read_bytes()
    assert require(database, log, tmp_path) == (last_but_one + 2, False)
    for at in range(8, 16):
        place = begin_of(last_but_one) + at
        with pytest.raises(StoreCorrupt):
            require(database, with_bytes(log, place, bytes([log[place] ^ 1])), tmp_path)
    place = begin_of(last_but_one) + 2_000
    assert require(database, with_bytes(log, place, bytes([log[place] ^ 1])), tmp_path) == (last_but_one, True)


def test_a_log_keeps_its_valid_frames_or_all_where_none_is_known(whole: Path, log: bytes, tmp_path: Path) -> None:
    copy = tmp_path / "cut.db"
    shutil.copy(whole, copy)
    for frames, size in ((SMALL, begin_of(SMALL)), (0, 0)):
        log_of(copy).write_bytes(log)
        truncate_log(copy, frames, PAGE, "")
        assert log_of(copy).read_bytes() == log[:size]
    shutil.copy(log_of(whole), log_of(copy))
    with closing(apsw.Connection(str(copy))) as connection:
        frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)  # it has read nothing yet
    with pytest.raises(StoreFailed):
        truncate_log(copy, frames, PAGE, "")
    assert log_of(copy).read_bytes() == log_of(whole).read_bytes()


def copied(database: Path, folder: Path) -> Path:
    copy, pages = folder / "copied.db", CheckpointVfs()
    shutil.copy(database, copy)
    shutil.copy(log_of(database), log_of(copy))
    with closing(apsw.Connection(str(copy), vfs=pages.vfs_name)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        frames, done = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        assert frames == done > 0
    return copy


@pytest.mark.parametrize("size", [HEADER, 512, PAGE])
def test_a_log_that_begins_with_zeros_has_lost_something(whole: Path, log: bytes, tmp_path: Path, size: int) -> None:
    with pytest.raises(StoreCorrupt):
        require(whole, with_bytes(log, 0, bytes(size)), tmp_path)
    with pytest.raises(StoreCorrupt):
        require(whole, bytes(len(log)), tmp_path)
    # The control: before the header is synced, nothing is behind it.
    assert require(whole, bytes(HEADER), tmp_path) == (0, False)
    assert require(whole, b"", tmp_path) == (0, False)


@pytest.mark.parametrize("at", [0, 2, 3, 4, 7, 8, 10])
def test_a_header_that_is_torn_between_two_logs_begins_as_both_do(whole: Path, tmp_path: Path, at: int) -> None:
    """So what begins otherwise is damaged, even where the database has all of the log."""
    old = log_of(before(whole)).read_bytes()
    assert require(before(whole), with_bytes(old, 12, b"torn"), tmp_path) == (0, True)
    with pytest.raises(StoreCorrupt):
        require(before(whole), with_bytes(old, at, bytes([old[at] ^ 4])), tmp_path)


@pytest.mark.parametrize("size", [HEADER, 512, PAGE])
def test_a_former_beginning_that_came_back_is_found(whole: Path, log: bytes, tmp_path: Path, size: int) -> None:
    old = log_of(before(whole)).read_bytes()
    assert int.from_bytes(log[16:20], "big") - int.from_bytes(old[16:20], "big") in {1, 1 - 2**32}
    came_back = with_bytes(log, 0, old[:size])
    with pytest.raises(StoreCorrupt):
        require(whole, came_back, tmp_path)
    # The control: where the database has all of it, nothing was lost.
    assert require(copied(whole, tmp_path), came_back, tmp_path) == (0, True)
    # What is not told: of a single frame nobody knows which checksum was before.
    assert require(whole, came_back[: begin_of(1)], tmp_path)[0] == 0


def test_a_header_may_be_torn_when_the_log_is_begun_anew(whole: Path, log: bytes, tmp_path: Path) -> None:
    old = log_of(before(whole)).read_bytes()
    for size in range(12, HEADER + 1):
        frames, under_way = require(before(whole), with_bytes(old, 0, log[:size]), tmp_path)
        torn = log[:size] + old[size:HEADER] not in {old[:HEADER], log[:HEADER]}
        assert (frames == 0, under_way) == (size > 15, torn)
    with pytest.raises(StoreCorrupt):  # the control: here not all was copied
        require(whole, with_bytes(log, 0, old[:16]), tmp_path)


@pytest.mark.parametrize(("ahead", "lost"), [(1, True), (2**16 - 1, True), (2**16 + 1, False), (-1, False)])
def test_frames_with_a_salt_ahead_are_newer(whole: Path, log: bytes, tmp_path: Path, ahead: int, lost: bool) -> None:
    """The first salt goes up by 1 with each log; those much farther ahead have nothing to do with this one."""
    salt = (int.from_bytes(log[16:20], "big") - ahead) % 2**32
    checked = log[:16] + salt.to_bytes(4, "big") + log[20:24]
    came_back = checked + sqlite_log._checksum(checked, bytes(8), checked) + log[HEADER:]
    if lost:
        with pytest.raises(StoreCorrupt):
            require(whole, came_back, tmp_path)
    else:
        assert require(whole, came_back, tmp_path) == (0, False)


def test_a_frame_torn_within_its_salts_is_no_newer_one(whole: Path, log: bytes, tmp_path: Path) -> None:
    frames, _ = require(whole, log, tmp_path)
    newer = (int.from_bytes(log[16:20], "big") + 1) % 2**32
    torn = with_bytes(log, begin_of(frames + 1) + 8, newer.to_bytes(4, "big"))
    assert require(whole, torn, tmp_path) == (frames, False)
    # The control: with the next one, if that follows, it would be a log.
    two = with_bytes(torn, begin_of(frames + 2) + 8, torn[begin_of(frames + 1) + 8 :][:8])
    with pytest.raises(StoreCorrupt):
        require(whole, two, tmp_path)
    assert require(whole, with_bytes(two, begin_of(frames + 2) + 99, b"torn"), tmp_path) == (frames, False)
