"""Keeps the journal of `fr enrol`, a file with the result of each photo, from which a later run continues.

It has one JSON object a line. The first names the gallery; each other line is about one photo, and the last line about
a photo counts. Every line has a checksum, which reveals damage.
"""

import fcntl
import json
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fr_api.v1 import gallery_pb2
from fr_client.cli.gallery.photo_sources import PhotoFile
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_files.reading import read_json

_MAX_LINE = 64 * 1024  # a path has 4 KiB at most

_FORMAT = 1
# The first bytes of each journal, and of each later line.
_BEGIN, _NOTE = b'{"journal": ', b'{"path": '
# A power failure can lose the writes of this time.
_SYNC_S = 1.0


@dataclass(frozen=True, slots=True)
class FileState:
    """The size of a file in bytes, and the time of its last change in nanoseconds since 1970, which reveal a change."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Return the state of a file; None if it is not accessible."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Noted:
    """The result of a photo, and the state of its file; reason and message of a refusal, or empty."""

    state: FileState
    reason: str = ""
    message: str = ""


class EnrolLog:
    """An open journal, which one command holds at a time; use it as a context manager.

    It is made if necessary, readable by its owner alone. Raises `Unusable` if it belongs to another gallery, is
    damaged, in use, or cannot be read or written.
    """

    def __init__(self, path: Path, gallery: gallery_pb2.Gallery, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._noted: dict[tuple[str, str], Noted] = {}
        created = gallery.create_time.ToJsonString()
        header = {"journal": _FORMAT, "gallery_id": gallery.gallery_id, "gallery_create_time": created}
        with self._usable():
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._usable():
                self._take_hold()
                self._read(header)
        except BaseException:
            os.close(self._file)
            raise
        self._synced = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._usable():
                os.fsync(self._file)
        finally:
            os.close(self._file)

    def __len__(self) -> int:
        """The number of photos with a result."""
        return len(self._noted)

    def noted(self, photo: PhotoFile, state: FileState | None) -> Noted | None:
        """Return the result of a photo in this state; None if there is none, or the file has changed."""
        noted = self._noted.get(_key(photo))
        return noted if noted is not None and noted.state == state else None

    def note(self, photo: PhotoFile, noted: Noted) -> None:
        """Record the result of a photo; raises `Unusable` if the file cannot be written."""
        path, subject_id = _key(photo)
        size, mtime_ns = noted.state.size, noted.state.mtime_ns
        line: dict[str, Any] = {"path": path, "subject_id": subject_id, "size": size, "mtime_ns": mtime_ns}
        if noted.reason:
            line |= {"reason": noted.reason, "message": noted.message}
        with self._usable():
            _write(self._file, line)
            if self._clock() - self._synced >= _SYNC_S:
                os.fsync(self._file)
                self._synced = self._clock()

    def _take_hold(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise self._wrong("UNUSABLE", "is not a file.")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unusable("JOURNAL_IN_USE", f"Another command uses the journal {shown(self._path)}.") from error

    def _read(self, header: dict[str, Any]) -> None:
        whole = 0
        first = _line(header)
        with os.fdopen(os.dup(self._file), "rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_MAX_LINE + 1), b""), start=1):
                # The command, or the machine, stopped during the write.
                cut = not line.endswith(b"\n") and len(line) <= _MAX_LINE
                if number == 1 and not (first.startswith(line) if cut else line.startswith(_BEGIN)):
                    words = "is another file, which stays as it is. Name a new file, or a journal of this gallery."
                    raise self._wrong("FOREIGN", words)
                if cut and (number == 1 or _NOTE.startswith(line) or line.startswith(_NOTE)):
                    break
                try:
                    self._take(number, _parsed(line), header)
                except (ValueError, KeyError, TypeError) as error:
                    raise Unusable(
                        "JOURNAL_DAMAGED",
                        f"Line {number} of the journal {shown(self._path)} is damaged. Name a new journal: every photo "
                        "is then checked again, and none is enrolled twice.",
                    ) from error
                whole += len(line)
        os.ftruncate(self._file, whole)
        os.lseek(self._file, 0, os.SEEK_END)
        if not whole:
            _write(self._file, header)
            os.fsync(self._file)

    def _take(self, number: int, line: dict[str, Any], header: dict[str, Any]) -> None:
        if number > 1:
            noted = Noted(FileState(line["size"], line["mtime_ns"]), line.get("reason", ""), line.get("message", ""))
            self._noted[line["path"], line["subject_id"]] = noted
        elif line["journal"] != _FORMAT:
            raise self._wrong("OTHER", "is from another version of `fr`.")
        elif line != header:
            raise self._wrong(
                "OTHER",
                f"belongs to gallery {line['gallery_id']}, created at {line['gallery_create_time']}; this is "
                f"{header['gallery_id']}, created at {header['gallery_create_time']}. Each gallery needs its own.",
            )

    def _wrong(self, reason: str, words: str) -> Unusable:
        return Unusable(f"JOURNAL_{reason}", f"The journal {shown(self._path)} {words}")

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._wrong("UNUSABLE", f"cannot be used: {error.strerror}.") from error


def _key(photo: PhotoFile) -> tuple[str, str]:
    return os.path.abspath(photo.path), photo.subject_id  # noqa: PTH100 - without following links


def _line(line: dict[str, Any]) -> bytes:
    text = json.dumps(line)
    return f"{text[:-1]}, {_sum(text)}}}\n".encode()


def _write(file: int, line: dict[str, Any]) -> None:
    data = _line(line)
    while data:  # a full disk can cut a write short; the next one then fails
        data = data[os.write(file, data) :]


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the object of a line; raises ValueError, KeyError or TypeError if the line is damaged."""
    parsed: dict[str, Any] = read_json(line, _MAX_LINE)
    if not isinstance(parsed, dict):
        raise ValueError("no object")
    told = f'"sum": {json.dumps(parsed.pop("sum"))}'
    if told != _sum(json.dumps(parsed)):
        raise ValueError("another sum")
    return parsed


def _sum(text: str) -> str:
    return f'"sum": "{zlib.crc32(text.encode()):08x}"'
