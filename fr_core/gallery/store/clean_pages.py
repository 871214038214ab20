"""What SQLite leaves behind in the pages of its database file, overwritten on the way to the disk.

`secure_delete` overwrites deleted rows where they lie. But when SQLite moves rows between the pages of a tree, it
leaves the old copies in what is from then on the unallocated part of a page, and does not overwrite them when the rows
are deleted later. This layer under SQLite writes zeros there. Every page comes through here, when the write-ahead log
is copied into the database file.
"""

from __future__ import annotations

import itertools

import apsw

# https://www.sqlite.org/fileformat2.html, "B-tree Pages": the first byte of an interior and of a leaf page.
_INTERIOR = (2, 5)
_LEAF = (10, 13)
_FILE_HEADER = 100
# A page of another kind begins with a page number of 4 bytes, whose first byte must never look like one of those.
MAX_PAGES = 0x01FF_FFFF

_numbers = itertools.count()


class CleanPages(apsw.VFS):
    """SQLite's way to the disk, with clean pages; for the connection that writes.

    Args:
        below: the name of the layer that does the rest; "" = SQLite's own.
    """

    def __init__(self, below: str = "") -> None:
        self.vfs_name = f"fr-clean-pages-{next(_numbers)}"
        self._below = below
        super().__init__(self.vfs_name, below)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        """Open a file; called by SQLite."""
        kinds = {apsw.SQLITE_OPEN_MAIN_DB: _DatabaseFile, apsw.SQLITE_OPEN_WAL: _LogFile}
        kind = next((kind for flag, kind in kinds.items() if flags[0] & flag), apsw.VFSFile)
        return kind(self._below, name, flags)


class _LogFile(apsw.VFSFile):
    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        super().xTruncate(newsize)
        # SQLite leaves it at that. After a power cut the log would be there again, with what was erased.
        super().xSync(apsw.SQLITE_SYNC_NORMAL)


class _DatabaseFile(apsw.VFSFile):
    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        super().xWrite(clean_page(data, _FILE_HEADER if offset == 0 else 0), offset)


def clean_page(page: bytes, header: int) -> bytes:
    """Return a page with zeros in its unallocated part, where it is one of a tree.

    Args:
        page: all of it.
        header: where in it the header of the tree begins.
    """
    kind = page[header]
    if kind not in _INTERIOR and kind not in _LEAF:
        return page
    cells = int.from_bytes(page[header + 3 : header + 5], "big")
    begin = header + (12 if kind in _INTERIOR else 8) + 2 * cells
    end = int.from_bytes(page[header + 5 : header + 7], "big") or 65_536
    if not begin < end <= len(page) or page.count(0, begin, end) == end - begin:
        return page
    return page[:begin] + bytes(end - begin) + page[end:]
