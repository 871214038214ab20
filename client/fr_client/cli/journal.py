"""The journal of `fr enrol`: a file that remembers what has become of each photo, so that a later run goes on there.

It is a text file of JSON objects, one a line. The first says which gallery it is of; each of the others is of one
photo, and the last of a photo holds. Every line has a checksum, so that a damaged journal is not believed.
"""

from __future__ import annotations

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
from fr_client.cli.show import shown
from fr_client.cli.sources import PhotoFile
from fr_client.cli.state import Unusable
from fr_core.reading import read_json

_MAX_LINE = 64 * 1024  # a path has 4 KiB at most

_FORMAT = 1
# What the operating system was given and the disk may not have yet is lost when the power fails.
_SYNC_S = 1.0


@dataclass(frozen=True, slots=True)
class FileState:
    """By what a file that has changed is told from what it was.

    Attributes:
        size: bytes.
        mtime_ns: when it was last written, nanoseconds since 1970.
    """

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Look at a file; None where that is not possible."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Noted:
    """What had become of a photo: it is in the gallery, or it was refused.

    Attributes:
        state: of its file.
        reason: of the refusal; empty where it is in the gallery.
        message: of the refusal.
    """

    state: FileState
    reason: str = ""
    message: str = ""


class Journal:
    """An open journal, which one command holds at a time; use it as a context manager.

    Args:
        path: made where it is not there, readable by its owner alone.
        gallery: that the photos go into.
        clock: gives seconds.

    Raises:
        Unusable: it is of another gallery, damaged, held by another command, or cannot be read or written.
    """

    def __init__(self, path: Path, gallery: gallery_pb2.Gallery, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._noted: dict[tuple[str, str], Noted] = {}
        header = {
            "journal": _FORMAT,
            "gallery_id": gallery.gallery_id,
            "gallery_create_time": gallery.create_time.ToJsonString(),
        }
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
        """Of how many photos it says something."""
        return len(self._noted)

    def noted(self, photo: PhotoFile, state: FileState | None) -> Noted | None:
        """Return what had become of a photo of this state; None where that is not known, or the file has changed."""
        noted = self._noted.get(_key(photo))
        return noted if noted is not None and noted.state == state else None

    def note(self, photo: PhotoFile, noted: Noted) -> None:
        """Remember what has become of a photo; raises `Unusable` where the file cannot be written."""
        path, subject_id = _key(photo)
        line: dict[str, Any] = {
            "path": path,
            "subject_id": subject_id,
            "size": noted.state.size,
            "mtime_ns": noted.state.mtime_ns,
        }
        if noted.reason:
            line |= {"reason": noted.reason, "message": noted.message}
        with self._usable():
            _write(self._file, line)
            if self._clock() - self._synced >= _SYNC_S:
                os.fsync(self._file)
                self._synced = self._clock()

    def _take_hold(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise Unusable("JOURNAL_UNUSABLE", f"The journal {shown(self._path)} is no file.")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unusable("JOURNAL_IN_USE", f"Another command uses the journal {shown(self._path)}.") from error

    def _read(self, header: dict[str, Any]) -> None:
        whole = 0
        with os.fdopen(os.dup(self._file), "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break  # the command, or the machine, stopped while it was written
                try:
                    self._take(number, _parsed(line), header)
                except (ValueError, KeyError, TypeError) as error:
                    raise Unusable(
                        "JOURNAL_DAMAGED",
                        f"Line {number} of the journal {shown(self._path)} is damaged. Delete the journal: every photo "
                        "is then looked at again, and none is enrolled twice.",
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
            raise Unusable("JOURNAL_OTHER", f"The journal {shown(self._path)} is of another version of `fr`.")
        elif line != header:
            raise Unusable(
                "JOURNAL_OTHER",
                f"The journal {shown(self._path)} is of gallery {line['gallery_id']}, created at "
                f"{line['gallery_create_time']}; this is {header['gallery_id']}, created at "
                f"{header['gallery_create_time']}. Each gallery needs its own.",
            )

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unusable(
                "JOURNAL_UNUSABLE", f"The journal {shown(self._path)} cannot be used: {error.strerror}."
            ) from error


def _key(photo: PhotoFile) -> tuple[str, str]:
    return os.path.abspath(photo.path), photo.subject_id  # noqa: PTH100 - links are not followed


def _write(file: int, line: dict[str, Any]) -> None:
    text = json.dumps(line)
    data = f"{text[:-1]}, {_sum(text)}}}\n".encode()
    while data:  # a write can be cut short where the disk is full; the next one then says so
        data = data[os.write(file, data) :]


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the object of a line; raises ValueError, KeyError or TypeError where it is not as it was written."""
    parsed: dict[str, Any] = read_json(line, _MAX_LINE)
    if not isinstance(parsed, dict):
        raise ValueError("no object")
    told = f'"sum": {json.dumps(parsed.pop("sum"))}'
    if told != _sum(json.dumps(parsed)):
        raise ValueError("another sum")
    return parsed


def _sum(text: str) -> str:
    return f'"sum": "{zlib.crc32(text.encode()):08x}"'
