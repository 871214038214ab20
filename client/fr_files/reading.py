"""Reads input from other people safely: only regular files, up to a size limit, and TOML and JSON of limited form.

Python's parsers set no such limits. The time and memory of `tomllib` grow with the square of the number of parts of a
dotted key: 120,000 parts, 240 kB, take 22 GB, in one call that blocks the whole process and cannot be stopped. So this
module checks the form of a text in linear time before a parser sees it.
"""

import csv
import errno
import io
import json
import os
import re
import stat
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

MAX_DEPTH = 32  # nesting of arrays and tables; the deepest documents of FR Core have ten levels
MAX_KEY_PARTS = 8
MAX_WORD = 200  # characters of a number, a date, or a key without quotation marks
MAX_MARKS = 10_000
"""Number of `.`, `=`, `,`, `[` and `{` in TOML, outside of strings and comments; it limits the number of values."""

MAX_VALUES = 250_000  # values of a JSON document; this many take 50 MB at most
MAX_LINE = 2**20  # characters of a line of CSV

_MAX_SENTENCE = 200
# Quoted text, up to its end or the end of the document, and comments. It tries no part twice, so it takes linear time.
_TOML_TEXT = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]++|\\[^\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_TOML_WORD_ENDS = re.compile(r"[\n=,\[\]{}]")
_JSON_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")


class TextRefused(ValueError):
    """Refuses a text; the message, without a full stop, says why."""


def open_regular(path: Path, *, follow: bool = True) -> io.BufferedReader:
    """Open a regular file, without waiting for the other end of a pipe.

    `follow`: whether the file may be behind a symbolic link. Raises `OSError`: it cannot be opened, or is not a regular
    file.
    """
    flags = os.O_RDONLY | (0 if follow else os.O_NOFOLLOW)
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # Windows, where the client runs too, lacks the first two
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def open_to_others(found: os.stat_result) -> bool:
    """Return whether a secret file is open to more than its owner; Windows has no such modes.

    A file of root may be open to the group of a process of another user: systemd and Kubernetes hand out secrets this
    way, and PostgreSQL accepts them (check_ssl_key_file_permissions of its be-secure-common.c).
    """
    if sys.platform == "win32":
        return False
    handed_out = found.st_uid == 0 and os.geteuid() != 0
    return bool(found.st_mode & (0o037 if handed_out else 0o077))


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_at_most(path: Path, most: int) -> bytes:
    """Return at most `most + 1` bytes of a regular file: more than `most` if it is too large; raises `OSError`."""
    with open_regular(path) as file:
        return file.read(min(size_of(file), most) + 1)


def read_whole(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file; raises `OSError`, with a sentence, also if there are more than `most`."""
    data = read_at_most(path, most)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return data


@contextmanager
def open_rows(path: Path) -> Iterator[Iterator[list[str]]]:
    """Open a CSV file in UTF-8 and yield its rows one by one.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
        UnicodeDecodeError, csv.Error: within the block: it is not UTF-8 or CSV, or a line is longer than `MAX_LINE`.
    """
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
        yield csv.reader(bounded_lines(file), strict=True)


def bounded_lines(file: TextIO) -> Iterable[str]:
    """Yield the lines of a file; raises `csv.Error` if one is longer than `MAX_LINE`."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(f"a line has more than {MAX_LINE:,} characters")
        yield line


def read_toml(text: str, most_bytes: int, most_marks: int = MAX_MARKS) -> dict[str, Any]:
    """Read TOML from an untrusted source, in time and memory linear in its length.

    `most_bytes`: its largest size in UTF-8; `most_marks`: as `MAX_MARKS`. Raises `TextRefused`: it is longer, is not
    TOML, or exceeds `MAX_DEPTH`, `MAX_KEY_PARTS`, `MAX_WORD` or `most_marks`. The message may quote the text, and has
    200 characters at most.
    """
    _require_size(text.encode(), most_bytes)
    bare = _TOML_TEXT.sub('""', text)
    if sum(map(bare.count, ".=,[{")) > most_marks:
        raise TextRefused(f"it holds more than {most_marks:,} keys and values")
    for word in map(str.strip, _TOML_WORD_ENDS.split(bare)):
        if len(word) > MAX_WORD:
            raise TextRefused(f"a key or a number has more than {MAX_WORD} characters")
        if word.count(".") >= MAX_KEY_PARTS:
            raise TextRefused(f"a key has more than {MAX_KEY_PARTS} parts")
    _require_shallow(bare)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise TextRefused(str(error)[:_MAX_SENTENCE]) from None


def read_json(
    data: bytes,
    most_bytes: int,
    *,
    most_values: int = MAX_VALUES,
    most_strings: int | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    parse_int: Callable[[str], int] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Read JSON from an untrusted source, in time and memory linear in its length.

    Args:
        data: the document in UTF-8.
        most_bytes: its largest size.
        most_values: the largest number of `,`, `[` and `{` outside of its strings.
        most_strings: the largest number of its strings, keys included; None = a key and a text for each value.
        object_pairs_hook, parse_int, parse_constant: those of `json.loads`.

    Raises:
        TextRefused: it is longer, is nested deeper than `MAX_DEPTH`, or holds more values or strings.
        ValueError: it is not UTF-8, or holds a number with thousands of digits; also what the hooks raise.
        json.JSONDecodeError: it is not JSON.
    """
    _require_size(data, most_bytes)
    text = data.decode()
    if most_strings is None:
        most_strings = 2 * most_values + 1
    # No other thread runs meanwhile: all strings of a megabyte of quotation marks would stop them for 40 ms.
    bare, strings = _JSON_TEXT.subn("", text, most_strings + 1)
    if strings > most_strings:
        raise TextRefused(f"it holds more than {most_strings:,} strings")
    if sum(map(bare.count, ",[{")) > most_values:
        raise TextRefused(f"it holds more than {most_values:,} values")
    _require_shallow(bare)
    return json.loads(text, object_pairs_hook=object_pairs_hook, parse_int=parse_int, parse_constant=parse_constant)


def _require_size(data: bytes, most_bytes: int) -> None:
    if len(data) > most_bytes:
        raise TextRefused(f"it has more than {most_bytes:,} bytes")


def _require_shallow(bare: str) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(bare):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise TextRefused(f"it is nested deeper than {MAX_DEPTH} levels")
