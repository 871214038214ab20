"""Detects write-ahead logs that lost acknowledged commits, and cuts failed commits off a log.

SQLite silently ignores the log from the first frame on that is not as it was written. That is right for the last
transaction, which may have been under way when the power failed, without an answer to its caller. Every transaction
before it was synced before the next one began: if a later one follows, a byte has changed since.

A disk writes sectors in any order. A power cut may leave frames of the last transaction that are old in one sector and
new in the next: if a sector begins within the header of a frame, an old end mark may stand before new salts. Such an
end counts only if the checksum of its frame confirms it.

The header is synced before the first frame behind it is written, and the log is begun anew only when all of it is in
the database. So a header that is torn between two logs is no loss. But the bytes before the frames must begin like a
header, and frames of a log that was begun later show that the header is an old one that came back.

This check does not detect: a change of the last transaction itself; in the transaction before it, if that ends in such
a frame (1 in 64), any change but that of its salts, or a change that sets its end mark to 0; an old header before fewer
than two whole frames. Nor does it detect a log that was emptied, cut off, or filled with zeros from some point on: such
a log is that of an earlier moment, which only a checkpoint of the audit that was kept elsewhere can show.
"""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import apsw

from fr_core.errors import StoreCorrupt, StoreFailed, message
from fr_core.storage.clean_pages import DATABASE_HEADER, clean_page

HEADER_BYTES, FRAME_HEADER = 32, 24
# Where the salts lie in the header of a log.
HEADER_SALTS = slice(16, 24)
# Where in the header of a frame lie the end of a transaction, the salts and the checksum.
END, SALTS, CHECKSUM = slice(4, 8), slice(8, 16), slice(16, 24)


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of a frame: its place, its page, and, if it ends a transaction, the pages of the database; else 0.

    See https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log".
    """

    begin: int
    page_no: int
    pages: int
    salts: bytes


def frames_from(file: IO[bytes], first: int, page_bytes: int) -> Iterator[Frame]:
    """Yield the frames of a log but the `first` ones, valid or not; the caller may seek in the file between two of
    them.
    """
    begin, step = HEADER_BYTES + first * (FRAME_HEADER + page_bytes), FRAME_HEADER + page_bytes
    while True:
        file.seek(begin)
        header = file.read(FRAME_HEADER)
        if len(header) < FRAME_HEADER:
            return
        page_no, pages = struct.unpack_from(">II", header)
        yield Frame(begin, page_no, pages, header[SALTS])
        begin += step


def page_of(file: IO[bytes], begin: int, page_bytes: int) -> bytes:
    """Return the page in the frame that begins there."""
    file.seek(begin + FRAME_HEADER)
    return file.read(page_bytes)


_MAGIC, _VERSION = (0x377F_0682, 0x377F_0683), 3_007_000
_CHECKED_BYTES = 24
_WORD = 0xFFFF_FFFF
# The smallest that a disk writes in one.
_SECTOR = 512
# A log that is begun anew has the first salt of the one before, plus 1. So many times a header may have been lost; the
# salts of logs that did not follow each other are random, and as near to each other in 1 case of 65,536.
_MOST_BEGINNINGS = 2**16


def require_no_lost_commits(database: Path, frames: int, page_bytes: int) -> bool:
    """Check the part of a log that SQLite ignores; `frames` of it SQLite takes for valid.

    Returns:
        Whether the log has a rest of a transaction that was under way, or of an older log. SQLite would write over it,
        and after the next power cut the rests of both would look like a loss: before anything is written, copy the log
        into the database and truncate it.

    Raises `StoreCorrupt`: a transaction before the last one was left out, or the beginning of the log was lost;
    `StoreFailed`: one of the files cannot be read.
    """
    try:
        lost, under_way = _left_out(database, frames, page_bytes)
    except (OSError, apsw.Error) as error:
        raise StoreFailed(message("error.storage.write_ahead_log_could"), cause=type(error).__name__) from error
    if lost:
        raise StoreCorrupt(message("error.storage.write_ahead_log_damaged"), check="log")
    return under_way


def truncate_log(database: Path, frames: int, page_bytes: int, vfs: str) -> None:
    """Cut a failed commit off a log, behind the valid frames (-1: SQLite knows of no log), and make that durable.

    Left there, it would be a commit after a crash; or, written over by a shorter commit, its end would look like a lost
    one. Readers are not disturbed; nobody may write meanwhile. Raises `StoreFailed` if there is no log, `apsw.Error` of
    the disk.
    """
    if frames < 0:
        raise StoreFailed(message("error.storage.database_no_write_ahead"))
    size = HEADER_BYTES + frames * (FRAME_HEADER + page_bytes) if frames else 0
    log = apsw.VFSFile(vfs, f"{database}-wal", [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        log.xTruncate(size)
        log.xSync(apsw.SQLITE_SYNC_NORMAL)
    finally:
        log.xClose()


def _left_out(database: Path, frames: int, page_bytes: int) -> tuple[bool, bool]:
    """Return whether commits are ignored, and whether the rest of a transaction under way is."""
    log = database.with_name(f"{database.name}-wal")
    if not log.exists() or log.stat().st_size <= HEADER_BYTES:
        return False, False
    with log.open("rb") as file:
        header = file.read(HEADER_BYTES)
        left_out = list(frames_from(file, frames, page_bytes))
        if not left_out:
            return False, False
        if not _begins_log(header, page_bytes):
            return True, False
        if not _is_whole(header):
            return not _copied(file, left_out, database, page_bytes), True
        if newer := _newer(file, left_out, header, page_bytes):
            return not _copied(file, newer, database, page_bytes), True
        own, ends = _own(file, left_out, header, page_bytes)
        return ends > 1, own > 0


def _newer(file: IO[bytes], frames: list[Frame], header: bytes, page_bytes: int) -> list[Frame]:
    """Frames of a log that was begun after the one that the header begins.

    A frame torn within its salts can look like one; two of the same salts, the second with the checksum that follows
    from that of the first, are none that were torn.
    """
    begun = _first_salt(header[HEADER_SALTS])
    for before, frame in itertools.pairwise(frames):
        ahead = (_first_salt(frame.salts) - begun) & _WORD
        same_log = 0 < ahead < _MOST_BEGINNINGS and before.salts == frame.salts
        if same_log and _follows(file, frame.begin, page_bytes):
            return [each for each in frames if each.salts == frame.salts]
    return []


def _own(file: IO[bytes], frames: list[Frame], header: bytes, page_bytes: int) -> tuple[int, int]:
    """Count the frames of the log that the header begins, and those of them that surely end a transaction.

    Frames with other salts are of a log that was copied, and is being written over. But the salts of the first may have
    changed, which its checksum does not cover: then it follows what SQLite took. Of a later one that says nothing, for
    frames of the log before follow each other too.
    """
    own = ends = 0
    after_whole, after_own = True, True
    for frame in frames:
        salted = frame.salts == header[HEADER_SALTS]
        sure = salted and not _may_be_torn(frame.begin)
        may_follow = not sure and (after_whole or (salted and after_own))
        follows = may_follow and _follows(file, frame.begin, page_bytes)
        own += salted or follows
        ends += bool(frame.pages) and (sure or follows)
        after_whole, after_own = False, salted
    return own, ends


def _first_salt(salts: bytes) -> int:
    return int.from_bytes(salts[:4], "big")


def _begins_log(header: bytes, page_bytes: int) -> bool:
    """Return whether a header has the constants of every log of the database, begun anew or torn."""
    magic, version, page = struct.unpack_from(">III", header)
    return magic in _MAGIC and version == _VERSION and page == page_bytes


def _is_whole(header: bytes) -> bool:
    return _checksum(header, bytes(8), header[:_CHECKED_BYTES]) == header[_CHECKED_BYTES:]


def _may_be_torn(begin: int) -> bool:
    """Return whether two sectors hold the end of a transaction and the salts in the header of a frame."""
    sector = -begin % _SECTOR
    return END.start < sector <= SALTS.start


def _follows(file: IO[bytes], begin: int, page_bytes: int) -> bool:
    """Return whether the checksum of the frame that begins there follows from that of the frame before."""
    file.seek(0)
    header = file.read(HEADER_BYTES)
    before = header[_CHECKED_BYTES:]
    if begin > HEADER_BYTES:
        file.seek(begin - FRAME_HEADER - page_bytes)
        before = file.read(FRAME_HEADER)[CHECKSUM]
    file.seek(begin)
    frame, page = file.read(FRAME_HEADER), file.read(page_bytes)
    whole = len(page) == page_bytes  # the last one may have been cut short
    return whole and _checksum(header, before, frame[: SALTS.start] + page) == frame[CHECKSUM]


def _checksum(header: bytes, before: bytes, data: bytes) -> bytes:
    """The checksum of whole pairs of words after another checksum, in the order of words that a log's header names."""
    order = ">" if header[3] & 1 else "<"
    first, second = struct.unpack(">II", before)
    for one, other in struct.iter_unpack(f"{order}II", data):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return struct.pack(">II", first, second)


def _copied(file: IO[bytes], frames: list[Frame], database: Path, page_bytes: int) -> bool:
    """Return whether the database holds every page as the last transaction of the older log has left it."""
    latest: dict[int, int] = {}
    pending: dict[int, int] = {}
    for frame in frames:
        if frame.salts != frames[0].salts:
            break
        pending[frame.page_no] = frame.begin
        if frame.pages:
            latest |= pending
            pending.clear()
    # Through SQLite: a process that closes the file itself gives up the locks of all its connections to it.
    pages = apsw.VFSFile("", str(database), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
    try:
        return all(
            pages.xRead(page_bytes, (page_no - 1) * page_bytes)
            == clean_page(page_of(file, begin, page_bytes), DATABASE_HEADER if page_no == 1 else 0)
            for page_no, begin in latest.items()
        )
    finally:
        pages.xClose()
