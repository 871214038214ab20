"""Unpacking: an archive becomes a folder, whole or not at all, and never reaches out of it."""

import errno
import gzip
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fr_datasets.errors import ArchiveRefused
from fr_locales.messages import message

# IJB-C, the largest set known here, has half a million photos and some 20 GB.
MAX_BYTES = 64 << 30
MAX_MEMBERS = 4_000_000
_CHUNK_BYTES = 1 << 20
# Errors about a position before the beginning of the archive, and about names.
_IMPOSSIBLE = (errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ)
_MOST_WORDS = 200  # characters of a library's message, which may quote a name in the archive
_DAMAGE = (
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    plain: bool
    folder: bool
    file: IO[bytes] | None


def unpack(archive: Path, folder: Path, top: str, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a .tar, .tar.gz or .zip whose one top folder is `top`, so that `folder`/`top` is there afterwards.

    It is unpacked beside the archive, on the same disk, and moved to its place in one step; after an error nothing of
    it is there.

    Raises `ArchiveRefused`: damaged, larger than `max_bytes` when unpacked, with another top folder, a name that leads
    out of it, a name twice, or anything but files and folders.
    """
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=archive.parent) as scratch:
        try:
            _unpack_into(archive, Path(scratch), top, max_bytes)
        except _DAMAGE as error:
            raise ArchiveRefused(
                message("error.dataset.archive_damaged", archive=archive.name, error=str(error)[:_MOST_WORDS])
            ) from error
        except (FileExistsError, NotADirectoryError) as error:
            raise ArchiveRefused(message("error.dataset.archive_holds_name_twice", archive=archive.name)) from error
        except OSError as error:
            if error.errno not in _IMPOSSIBLE:
                raise
            raise ArchiveRefused(message("error.dataset.archive_impossible", archive=archive.name)) from error
        if not (Path(scratch) / top).is_dir():
            raise ArchiveRefused(message("error.dataset.archive_holds_no_folder", archive=archive.name, top=top))
        (Path(scratch) / top).rename(folder / top)


def _unpack_into(archive: Path, scratch: Path, top: str, max_bytes: int) -> None:
    left = max_bytes
    for count, member in enumerate(_members(archive), 1):
        if count > MAX_MEMBERS:
            raise ArchiveRefused(message("error.dataset.archive_too_many", archive=archive.name, most=MAX_MEMBERS))
        place = PurePosixPath(member.name)
        if member.folder and not place.parts:  # "./"
            continue
        if not member.plain:
            raise ArchiveRefused(message("error.dataset.archive_holds_something_neither", archive=archive.name))
        if place.is_absolute() or ".." in place.parts or place.parts[:1] != (top,):
            raise ArchiveRefused(message("error.dataset.archive_holds_name_leads", archive=archive.name, top=top))
        target = scratch / place
        if member.folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            left -= _copy(member.file, file, left)
        if left < 0:
            raise ArchiveRefused(message("error.dataset.archive_too_large", archive=archive.name, most=max_bytes))


def _copy(source: IO[bytes] | None, target: IO[bytes], limit: int) -> int:
    """Copy to the end, or until `limit` bytes are exceeded; returns how many were read."""
    copied = 0
    while source is not None and copied <= limit and (chunk := source.read(_CHUNK_BYTES)):
        target.write(chunk)
        copied += len(chunk)
    return copied


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                # The upper half of the attributes is the mode of Unix: 0o12 is a link, 0o10 a file, 0o04 a folder.
                plain = info.external_attr >> 28 in (0, 0o10, 0o04)
                if info.is_dir() or not plain:
                    yield _Member(info.filename, plain, True, None)
                else:
                    with zipped.open(info) as content:
                        yield _Member(info.filename, True, False, content)
        return
    with tarfile.open(archive) as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isreg() else None
            yield _Member(entry.name, entry.isreg() or entry.isdir(), entry.isdir(), file)
