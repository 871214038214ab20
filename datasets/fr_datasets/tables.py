"""How the lists of the data sets are read: lines of text, and CSV files with a fixed header, by their line numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from fr_datasets.errors import DatasetMalformed, DatasetMissing


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file; raises `DatasetMissing`, or `DatasetMalformed` where it is no UTF-8."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DatasetMissing(f"The list {path} is not there.") from error
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetMalformed(path, line, "the text is not UTF-8") from error


def read_filled_lines(path: Path) -> list[str]:
    """The lines of `read_lines` without empty ones at the end; raises `DatasetMalformed` where none is left."""
    lines = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DatasetMalformed(path, 1, "the list is empty")
    return lines


def whole_number(path: Path, line: int, text: str) -> int:
    """A whole number from 1 in line `line` of `path`; raises `DatasetMalformed` for anything else."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise DatasetMalformed(path, line, f"expected a whole number from 1, found {text!r}")
    return int(text)


def read_header(path: Path) -> list[str]:
    """The names of the columns of a CSV file; errors are those of `read_lines`."""
    return next(csv.reader(read_lines(path)[:1]), [])


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a CSV file as (line number from 1, column name -> text).

    Args:
        path: a UTF-8 file with a header.
        columns: what the header must hold, in this order.

    Raises:
        DatasetMissing: there is no such file.
        DatasetMalformed: another header, a row with another number of fields, a broken quotation, or no row at all.
    """
    reader = csv.reader(read_lines(path), strict=True)
    rows = 0
    try:
        for fields in reader:
            if reader.line_num == 1:
                if fields != list(columns):
                    raise DatasetMalformed(path, 1, f"the columns must be {','.join(columns)}")
                continue
            if len(fields) != len(columns):
                what = f"expected {len(columns)} fields, found {len(fields)}"
                raise DatasetMalformed(path, reader.line_num, what)
            rows += 1
            yield reader.line_num, dict(zip(columns, fields, strict=True))
    except csv.Error as error:
        raise DatasetMalformed(path, reader.line_num, str(error)) from error
    if not rows:
        raise DatasetMalformed(path, max(1, reader.line_num), "the list has no rows")
