"""Reads the lists of data sets: lines of text, CSV files with a fixed header, and the photos that they name."""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from fr_core.runtime.ticket import current_ticket
from fr_datasets.errors import (
    DatasetError,
    DatasetMalformed,
    DatasetMissing,
    DatasetUnreadable,
    require_file,
    require_folder,
    require_inside,
    require_text,
)
from fr_files.reading import open_regular, size_of
from fr_locales.messages import message

_CONTROL = re.compile(r"[^\t\r\n\x20-\x7e\xa0-\U0010ffff]")
MAX_DIGITS = 9
# The largest known, the pairs of IJB-C, has 15,658,489 lines of at most 15 bytes.
MAX_BYTES = 256 << 20
MAX_LINES = 20_000_000
# Lines between two looks at whether the caller still waits.
_LOOK_EVERY = 4096
_LONGEST_HEADER = 1 << 18
_MAX_QUOTED = 40


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, with or without a byte order mark, whatever its line ends.

    Raises:
        DatasetMissing: there is no such file.
        DatasetUnreadable: as for `open_list`, it cannot be read to its end, or has more than `MAX_LINES`.
        DatasetMalformed: it is not UTF-8, or holds a control character other than a tab.
        CallEnded: the caller's ticket is no longer wanted.
    """
    with open_list(path) as file:
        try:
            data = file.read(size_of(file))
        except OSError as error:
            raise DatasetUnreadable(
                message("error.dataset.unreadable", path=path, reason=str(error.strerror))
            ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetMalformed(path, data.count(b"\n", 0, error.start) + 1, message("error.dataset.no_utf8")) from error
    lines: list[str] = []
    for line in io.StringIO(text, newline=None):  # cuts at \n, \r and \r\n alone
        lines.append(line.removesuffix("\n"))
        if _CONTROL.search(line):
            raise DatasetMalformed(path, len(lines), message("error.dataset.line_holds_control_character"))
        if len(lines) > MAX_LINES:
            raise DatasetUnreadable(message("error.dataset.list_more_lines", path=path, most=MAX_LINES))
        if len(lines) % _LOOK_EVERY == 0:
            current_ticket().require_wanted()
    return lines


def open_list(path: Path) -> BinaryIO:
    """Open a list of a data set.

    Raises `DatasetMissing`: there is no such file; `DatasetUnreadable`: it is not a regular file, may not be read, has
    no name in UTF-8, or more than `MAX_BYTES`; `LeadsOut`: it is a link to a file outside of the folder.
    """
    try:
        file = open_regular(require_inside(require_text(path), path.parent))
    except FileNotFoundError as error:
        raise DatasetMissing(
            message("error.dataset.list_not", path=path, hint=suggest_folder(path.parent, path.name))
        ) from error
    except NotADirectoryError as error:
        raise DatasetMissing(message("error.dataset.list_not_no_folder", path=path, parent=path.parent)) from error
    except OSError as error:
        raise DatasetUnreadable(message("error.dataset.unreadable", path=path, reason=str(error.strerror))) from error
    if size_of(file) > MAX_BYTES:
        file.close()
        raise DatasetUnreadable(message("error.dataset.list_larger_bytes", path=path, most=MAX_BYTES))
    return file


def choose_folder(root: Path, names: Sequence[str]) -> Path:
    """The folder of `root` that has one of these names, else `root` itself; raises `DatasetError` where several are
    there.
    """
    require_folder(root)
    found = [root / name for name in names if (root / name).is_dir()]
    if len(found) > 1:
        listed = ", ".join(folder.name for folder in found)
        raise DatasetError(message("error.dataset.holds_photos_several_folders", root=root, listed=listed))
    return found[0] if found else root


def suggest_folder(folder: Path, name: str) -> str:
    """A sentence, after a space, on the first sub-folder of `folder` that holds the list `name`; else nothing."""
    try:
        found = min((place for place in folder.iterdir() if (place / name).is_file()), default=None)
    except OSError:
        return ""
    return "" if found is None else f" Did you mean the folder {found}?"


def read_filled_lines(path: Path) -> list[str]:
    """The lines of `read_lines` without empty ones at the end; raises `DatasetMalformed` where none is left."""
    lines = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DatasetMalformed(path, 1, message("error.dataset.list_empty"))
    return lines


def quoted(text: str) -> str:
    """A text of a list as a message shows it: in quotation marks, its end cut off where it is long."""
    return repr(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "...")


def whole_number(path: Path, line: int, text: str) -> int:
    """A whole number from 1 in line `line` of `path`; raises `DatasetMalformed` for anything else."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and int(text) > 0):
        raise DatasetMalformed(path, line, message("error.dataset.expected_whole_number_found", quoted=quoted(text)))
    return int(text)


def listed_photo(folder: Path, name: str, path: Path, line: int) -> Path:
    """The photo that line `line` of the list `path` names, from `folder`.

    Raises `DatasetMalformed`: no photo is named, or one outside of `folder`; `DatasetMissing`, `DatasetUnreadable`: as
    for `require_file`.
    """
    place = Path(os.path.normpath(name))
    if not place.parts:
        raise DatasetMalformed(path, line, message("error.dataset.no_photo_named"))
    if place.is_absolute() or place.parts[0] == os.pardir:
        raise DatasetMalformed(path, line, message("error.dataset.photo_lies_outside_folder"))
    return require_file(folder / place, f"line {line} of {path.name}", folder)


def read_header(path: Path) -> list[str]:
    """The names of the columns of a CSV file, of which no more is read; errors are those of `read_filled_lines`."""
    with open_list(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig") as text:
        try:
            header = text.readline(_LONGEST_HEADER)
        except (OSError, UnicodeDecodeError):
            header = ""
    if not header.strip() or _CONTROL.search(header):
        header = read_filled_lines(path)[0]  # which tells what is wrong
    try:
        return next(csv.reader([header]))
    except csv.Error as error:
        raise DatasetMalformed(path, 1, message("error.dataset.header_no_csv", error=str(error))) from error


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a CSV file as (line number from 1, column name -> text); the header must hold `columns`, in
    order.

    Raises `DatasetMissing`, `DatasetUnreadable`: as for `read_lines`; `DatasetMalformed`: another header, a row with
    another number of fields, a broken quotation, or no row at all.
    """
    reader = csv.reader(read_filled_lines(path), strict=True)
    line = 1
    try:
        for fields in reader:
            if line == 1 and fields != list(columns):
                raise DatasetMalformed(
                    path,
                    1,
                    message("error.dataset.columns_must", columns=",".join(columns), quoted=quoted(",".join(fields))),
                )
            if len(fields) != len(columns):
                raise DatasetMalformed(
                    path, line, message("error.dataset.columns_of_row", columns=len(columns), fields=len(fields))
                )
            if line > 1:
                yield line, dict(zip(columns, fields, strict=True))
            line = reader.line_num + 1
            if line % _LOOK_EVERY == 0:
                current_ticket().require_wanted()
    except csv.Error as error:
        raise DatasetMalformed(path, line, message("error.dataset.row_no_csv", error=str(error))) from error
    if reader.line_num == 1:
        raise DatasetMalformed(path, 1, message("error.dataset.list_no_rows"))
