"""Downloads that go on where they were cut off, and are verified before they count."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from io import FileIO
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from fr_datasets.checksums import require_checksum
from fr_datasets.errors import CannotWrite, ChecksumMismatch, FetchFailed
from fr_datasets.manifests import RemoteFile

TIMEOUT_S = 60.0
# How often one source is asked again after a connection broke off, if it gave at least one byte.
ATTEMPTS = 5
MAX_BYTES = 64 << 30
_CHUNK_BYTES = 1 << 18
_LENGTH = re.compile(r"\d{1,18}")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)")


class Progress(Protocol):
    """Whoever shows how far a download is."""

    def start(self, name: str, total: int | None) -> None:
        """A download of `total` bytes (None = unknown) begins."""

    def advance(self, n: int) -> None:
        """`n` more bytes are there."""

    def finish(self) -> None:
        """The download that was started last has ended, well or not."""


class _Broken(Exception):
    """A source did not deliver to the end; the text says why in one line."""


def download(file: RemoteFile, folder: Path, progress: Progress) -> Path:
    """Bring a file into `folder`, under a name made of its own and its checksum, and return its path.

    What has come is kept in a .part file and completed by the next attempt or the next call.

    Raises:
        FetchFailed: no source delivered it; the message lists each source and why.
        CannotWrite: it cannot be written, as where the disk is full; no other source is asked then.
        ChecksumMismatch: the last source that delivered it gave another file; that one is removed.
    """
    kind, _, digest = file.checksum.partition(":")
    target = folder / f"{file.path}.{kind}-{digest[:16]}"
    if target.is_file():
        return target
    part = target.with_name(target.name + ".part")
    failures = []
    mismatch: ChecksumMismatch | None = None
    for source in file.sources:
        try:
            _complete(source, part, progress)
            require_checksum(part, file.checksum)
        except _Broken as error:
            failures.append(f"[{source}: {error}]")
            continue
        except ChecksumMismatch as error:
            part.unlink()
            mismatch = error
            continue
        part.replace(target)
        return target
    if mismatch is not None:
        raise mismatch
    raise FetchFailed(f"{file.path} could not be fetched. {' '.join(failures)}")


def _complete(source: str, part: Path, progress: Progress) -> None:
    """Bring `part` to the source's length; asks again as long as that brings bytes, at most `ATTEMPTS` times."""
    for attempt in range(1, ATTEMPTS + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            _append(source, part, before, progress)
            return
        except _Broken:
            after = part.stat().st_size if part.exists() else 0
            if after <= before or attempt == ATTEMPTS:
                raise


def _append(source: str, part: Path, at: int, progress: Progress) -> None:
    headers = {"User-Agent": "fr-core", "Accept-Encoding": "identity"}
    if at:
        headers["Range"] = f"bytes={at}-"
    try:
        request = urllib.request.Request(source, headers=headers)
        with urllib.request.build_opener().open(request, timeout=TIMEOUT_S) as response:
            at, total = _place(response, at)
            with _writing(part):
                target = part.open("r+b" if at else "wb", buffering=0)
            with target:
                target.seek(at)
                _copy(response, target, at, total, urlsplit(source).path.rsplit("/", 1)[-1], progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and at:  # nothing lies beyond what is there: it is whole, or of another file
            return
        raise _Broken(f"the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _Broken(f"the download failed: {reason}") from error


@contextmanager
def _writing(part: Path | str) -> Iterator[None]:
    """An error of the disk is none of the server's: it is told at once, and no other source is asked."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{part} cannot be written: {error.strerror}.") from error


def _place(response: HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Return where the body begins, and how long the whole is (None = unknown); a server may give all, not a rest."""
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if _LENGTH.fullmatch(length) else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != asked:
        raise _Broken("the server gave another range than was asked for")
    return asked, None if found[2] == "*" else int(found[2])


def _copy(response: HTTPResponse, target: FileIO, at: int, total: int | None, name: str, progress: Progress) -> None:
    progress.start(name, total)
    progress.advance(at)
    try:
        while chunk := response.read(_CHUNK_BYTES):
            at += len(chunk)
            if at > MAX_BYTES:
                raise _Broken(f"the file is larger than {MAX_BYTES} bytes")
            rest = memoryview(chunk)
            with _writing(target.name):
                while rest:  # an unbuffered file may take a part at a time
                    rest = rest[target.write(rest) :]
            progress.advance(len(chunk))
        target.truncate()
    finally:
        progress.finish()
    if total is not None and at != total:
        raise _Broken(f"the download broke off after {at} of {total} bytes")
