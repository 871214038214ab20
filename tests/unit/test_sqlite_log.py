"""What is lost of a write-ahead log, and what was never promised: logs of SQLite itself, damaged and torn."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt
from fr_core.gallery.store.sqlite_log import require_no_lost_commits

PAGE = 4_096
HEADER, FRAME = 32, 24 + PAGE
SMALL, LARGE = 12, 100
"""Transactions of a page each, and about the pages of the last one."""


def log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def made(factory: pytest.TempPathFactory, small: int, large: int) -> Path:
    """A database with the log of small transactions and at most one large one, over that of small ones alone."""
    living, left = (factory.mktemp(name) / "some.db" for name in ("living", "left"))
    with closing(apsw.Connection(str(living))) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, value BLOB)")

        def write(times: int) -> None:
            for number in range(times):
                connection.execute("INSERT OR REPLACE INTO rows VALUES (1, ?)", (bytes([number % 256]) * 100,))

        write(2 * LARGE)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        write(small)
        if large:
            connection.execute("INSERT INTO rows VALUES (2, ?)", (b"x" * (PAGE * large),))
        for path in (living, log_of(living)):
            shutil.copy(path, left.parent)
    return left


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory, SMALL, LARGE)


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


def test_log_as_it_was_written_is_whole(whole: Path, tmp_path: Path) -> None:
    frames, under_way = require(whole, log_of(whole).read_bytes(), tmp_path)
    assert frames > SMALL + LARGE
    assert not under_way


def test_last_transaction_may_be_torn_between_the_sectors_of_a_header(whole: Path, tmp_path: Path) -> None:
    log = log_of(whole).read_bytes()
    torn = with_bytes(log, begin_of(SMALL) + 24, bytes(512))  # a sector of its first frame never came
    assert require(whole, torn, tmp_path) == (SMALL, True)
    (middle, *_) = straddling(range(SMALL + 1, SMALL + LARGE))
    of_before = log[begin_of(SMALL + LARGE + 20) :][:8]  # the log that was written over has ends everywhere
    assert any(of_before[4:])
    assert require(whole, with_bytes(torn, begin_of(middle), of_before), tmp_path) == (SMALL, True)
    # The control: in one sector with its salts an end was written as it stands.
    with pytest.raises(StoreCorrupt):
        require(whole, with_bytes(torn, begin_of(middle + 1), of_before), tmp_path)


def test_last_transaction_may_be_torn_at_any_byte_of_a_header(whole: Path, tmp_path: Path) -> None:
    """Its salts are there, and its checksum is that of the log before, whose frames follow: each of them is an end."""
    log = log_of(whole).read_bytes()
    frames, _ = require(whole, log, tmp_path)
    place = begin_of(frames)
    for more in range(4, 13, 2):
        torn = with_bytes(log, place + 4, (bytes(4) + log[16:24])[:more])
        assert require(whole, torn, tmp_path) == (frames, more == 12)


@pytest.mark.parametrize("size", [FRAME - 1, FRAME - 9, 30, 24, 20])
def test_log_that_ends_within_a_frame_of_the_log_before_is_whole(whole: Path, tmp_path: Path, size: int) -> None:
    log = log_of(whole).read_bytes()
    frames, _ = require(whole, log, tmp_path)
    assert require(whole, log[: begin_of(frames) + size], tmp_path) == (frames, False)


@pytest.mark.parametrize("at", [4, *range(8, 16), 17, 24, 2_000, FRAME - 1])
def test_change_of_a_byte_before_the_last_transaction_is_found(whole: Path, tmp_path: Path, at: int) -> None:
    log = log_of(whole).read_bytes()
    assert not straddling(range(SMALL))
    for frame in range(SMALL):
        place = begin_of(frame) + at
        with pytest.raises(StoreCorrupt):
            require(whole, with_bytes(log, place, bytes([log[place] ^ 1])), tmp_path)


def test_of_an_end_in_two_sectors_changed_salts_are_told_and_another_change_is_not(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
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
