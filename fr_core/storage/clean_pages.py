"""Overwrites what SQLite leaves behind in the pages of its database file, on their way to the disk.

`secure_delete` overwrites deleted rows where they lie. But when SQLite moves rows between the pages of a tree, it
leaves the old copies in the unallocated part of a page, and does not overwrite them when the rows are deleted
later. `CheckpointVfs` writes zeros there.
"""

# https://www.sqlite.org/fileformat2.html, "B-tree Pages": the first byte of an interior and of a leaf page.
_INTERIOR = (2, 5)
_LEAF = (10, 13)
DATABASE_HEADER = 100
# A page of another kind begins with a page number of 4 bytes, whose first byte must never look like one of those.
MAX_PAGES = 0x01FF_FFFF


def clean_page(page: bytes, header: int) -> bytes:
    """Return a whole page with zeros in its unallocated part, if it has a tree, whose header begins at `header`."""
    kind = page[header]
    if kind not in _INTERIOR and kind not in _LEAF:
        return page
    cells = int.from_bytes(page[header + 3 : header + 5], "big")
    begin = header + (12 if kind in _INTERIOR else 8) + 2 * cells
    end = int.from_bytes(page[header + 5 : header + 7], "big") or 65_536
    if not begin < end <= len(page) or page.count(0, begin, end) == end - begin:
        return page
    return page[:begin] + bytes(end - begin) + page[end:]
