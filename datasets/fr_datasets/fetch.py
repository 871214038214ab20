"""Fetching a data set: its files are downloaded, verified and unpacked into one folder."""

import shutil
from pathlib import Path

from fr_core import download as web
from fr_core.download import DownloadFailed, Progress, WrongChecksum
from fr_datasets.archives import unpack
from fr_datasets.errors import CannotWrite, ChecksumMismatch, FetchFailed, NoSource
from fr_datasets.manifests import Manifest, RemoteFile
from fr_locales.messages import message

PARTS = ".parts"
MAX_BYTES = 64 << 30  # of one file


def fetch(manifest: Manifest, root: Path, progress: Progress) -> None:
    """Bring every file of the set into `root`; what is there and right already is left as it is.

    A file or folder is in its place whole and verified, or not at all. What came of a download that was cut off lies in
    `root`/.parts, and is completed by the next call.

    Raises:
        NoSource: the set can only be placed by hand; the message says how.
        FetchFailed: no source delivered a file; the message says how to place the set by hand.
        CannotWrite: what came cannot be written.
        ChecksumMismatch: a file that is there, or that came, is another one.
        ArchiveRefused: an archive is damaged, or holds what must not be unpacked.
    """
    require_source(manifest)
    parts = root / PARTS
    try:
        parts.mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            _fetch_file(file, root, parts, progress)
        shutil.rmtree(parts)
    except CannotWrite:
        raise
    except FetchFailed as error:
        raise FetchFailed(message("error.dataset.by_hand", what=error.finding, by_hand=by_hand(manifest))) from error
    except OSError as error:
        raise CannotWrite(message("error.dataset.unwritable", root=root, reason=str(error.strerror))) from error


def download(file: RemoteFile, folder: Path, progress: Progress) -> Path:
    """Bring a file into `folder`, under a name made of its own and its checksum, and return its path.

    Raises:
        FetchFailed: no source delivered it; the message lists each source and why.
        ChecksumMismatch: the last source that delivered a file gave another one.
        CannotWrite: it cannot be written, as where the disk is full; no other source is asked then.
    """
    kind, _, digest = file.checksum.partition(":")
    target = folder / f"{file.path}.{kind}-{digest[:16]}"
    if target.is_file():
        return target
    failures, mismatch = [], None
    for source in file.sources:
        try:
            web.download(
                source, target, progress, checksum=file.checksum, most_bytes=MAX_BYTES, schemes=("http", "https")
            )
        except WrongChecksum as error:
            mismatch = ChecksumMismatch(
                message("error.dataset.checksum_of_source", path=file.path, source=source, error=str(error))
            )
        except DownloadFailed as error:
            failures.append(f"[{source}: {error}]")
        except OSError as error:
            raise CannotWrite(message("error.dataset.part", target=target, reason=str(error.strerror))) from error
        else:
            return target
    raise mismatch or FetchFailed(message("error.dataset.not_fetched", path=file.path, failures=" ".join(failures)))


def require_checksum(path: Path, checksum: str) -> None:
    """Raise `ChecksumMismatch` unless a file has this checksum, "sha256:HEX" or "md5:HEX"."""
    try:
        web.require_checksum(path, checksum)
    except WrongChecksum as error:
        raise ChecksumMismatch(message("error.dataset.checksum", path=path, error=str(error))) from error


def require_source(manifest: Manifest) -> None:
    """Raise `NoSource`, saying how to place the set by hand, where no file of it can be fetched."""
    if not manifest.files:
        raise NoSource(message("error.dataset.cannot_fetched", manifest=manifest.name, by_hand=by_hand(manifest)))


def by_hand(manifest: Manifest) -> str:
    """Return how to place the set by hand, in some sentences."""
    return (
        f"To place it by hand: {' '.join(manifest.by_hand.split())} `fr dataset show {manifest.name}` shows how its "
        f"folder must look. Then run `fr dataset link {manifest.name} --root DIR`."
    )


def _fetch_file(file: RemoteFile, root: Path, parts: Path, progress: Progress) -> None:
    place = root / file.path
    if file.archive:
        if not place.is_dir():
            archive = download(file, parts, progress)
            unpack(archive, root, file.path)
            archive.unlink()
    elif place.exists():
        require_checksum(place, file.checksum)
    else:
        download(file, parts, progress).replace(place)
