"""Downloads a file over HTTP: goes on where it was cut off, within a size limit, and verifies the file."""

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from urllib.parse import urlsplit

ATTEMPTS = 5  # the most requests of one call after connections that broke off and brought at least one byte
TIMEOUT_S = 60.0  # of one read, not of the whole download

_CHUNK_BYTES = 1 << 18
_LENGTH = re.compile(r"\d{1,18}")  # Python refuses numbers with thousands of digits
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)")


class Progress(Protocol):
    """Shows how far a download is."""

    def start(self, name: str, total: int | None) -> None:
        """A download of `total` bytes (None = unknown) begins; `name` is for people."""

    def advance(self, n: int) -> None:
        """`n` more bytes are there."""

    def finish(self) -> None:
        """The download that was started last has ended, well or not."""


class NullProgress:
    """Shows nothing."""

    def start(self, name: str, total: int | None) -> None:
        """Ignored."""

    def advance(self, n: int) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""


class DownloadFailed(Exception):
    """A file did not come; the text says why, in one line and without a full stop."""


class WrongChecksum(DownloadFailed):
    """A file is not the one that was asked for."""


def download(
    url: str, target: Path, progress: Progress, *, checksum: str, most_bytes: int, schemes: Sequence[str] = ("https",)
) -> None:
    """Bring the file at an address to `target`, whole and verified.

    The bytes that have come are kept in `target`.part, and the next attempt or the next call completes them.

    Args:
        url: the address; a redirect is followed.
        target: the file to write, in a folder that is there.
        checksum: "sha256:HEX" or "md5:HEX"; "" if it is not known.
        most_bytes: the largest size.
        schemes: those of addresses that are allowed, redirects included.

    Raises:
        WrongChecksum: the address has another file; it was removed.
        DownloadFailed: the address is refused or is not allowed, the file broke off, or is too large.
        OSError: the file cannot be written.
    """
    part = target.with_name(target.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            _append(url, part, progress, most_bytes, schemes)
            break
        except DownloadFailed:
            if _size(part) <= before or attempt == ATTEMPTS:
                raise
    if checksum:
        try:
            require_checksum(part, checksum)
        except WrongChecksum:
            part.unlink()
            raise
    part.replace(target)


def require_checksum(path: Path, checksum: str) -> None:
    """Raise `WrongChecksum` unless a file has a checksum, "sha256:HEX" or "md5:HEX"."""
    kind, _, expected = checksum.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if found != expected:
        raise WrongChecksum(f"it has {kind} {found}, not {expected}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append(url: str, part: Path, progress: Progress, most_bytes: int, schemes: Sequence[str]) -> None:
    at = _size(part)
    with _network():
        try:
            response = _open(url, at, schemes)
        except urllib.error.HTTPError as error:
            if error.code == 416 and at:  # no more bytes: the file is whole, or another one
                error.close()
                return
            raise
    with response:
        at, total = _place(response, at)
        with part.open("ab" if at else "wb") as file:
            progress.start(PurePosixPath(urlsplit(url).path).name, total)
            if at:
                progress.advance(at)
            try:
                while chunk := _read(response):
                    at += len(chunk)
                    if at > most_bytes:
                        raise DownloadFailed(f"the file is larger than {most_bytes} bytes")
                    file.write(chunk)
                    progress.advance(len(chunk))
            finally:
                progress.finish()
    if total not in (None, at):
        raise DownloadFailed(f"the download broke off after {at} of {total} bytes")


@contextmanager
def _network() -> Iterator[None]:
    """Turn an error of the network into `DownloadFailed`; those of the disk are raised outside of it."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadFailed(f"the download failed: {reason}") from error


def _read(response: HTTPResponse) -> bytes:
    with _network():
        return response.read(_CHUNK_BYTES)


def _open(url: str, at: int, schemes: Sequence[str]) -> HTTPResponse:
    _require_scheme(url, schemes)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(schemes),
    ):
        opener.add_handler(handler)
    headers = {"User-Agent": "fr-core", "Accept-Encoding": "identity"} | ({"Range": f"bytes={at}-"} if at else {})
    response: HTTPResponse = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    return response


def _require_scheme(url: str, schemes: Sequence[str]) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in schemes:
        raise DownloadFailed(f"an address of scheme `{scheme}` is not allowed, only {', '.join(schemes)}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, schemes: Sequence[str]) -> None:
        self._schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _require_scheme(newurl, self._schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # stub


def _place(response: HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Return where the body begins, and the length of the whole (None = unknown); a server may ignore the range."""
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if _LENGTH.fullmatch(length) else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != asked:
        raise DownloadFailed("the server gave another range than was asked for")
    return asked, None if found[2] == "*" else int(found[2])
