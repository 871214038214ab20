"""Reads the frames of a write-ahead log (https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log")."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

HEADER_BYTES, FRAME_HEADER = 32, 24
# Where the salts lie in the header of a log.
HEADER_SALTS = slice(16, 24)
# Where in the header of a frame lie the end of a transaction, the salts and the checksum.
END, SALTS, CHECKSUM = slice(4, 8), slice(8, 16), slice(16, 24)


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of a frame: its place, its page, and, if it ends a transaction, the pages of the database; else 0."""

    begin: int
    page_no: int
    pages: int
    salts: bytes


def frames_from(file: IO[bytes], first: int, page_bytes: int) -> Iterator[Frame]:
    """Yield the frames of a log, whether they are valid or not; the caller may seek in the file between two of them.

    Args:
        file: the log.
        first: how many are left out.
        page_bytes: of the database.
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
