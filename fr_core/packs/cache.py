"""The cache of model files: content-addressed, written atomically, read once and verified."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import platformdirs

from fr_core.errors import ModelCorrupt, ModelNotInstalled, message
from fr_core.packs.manifest import FileSpec
from fr_locales.messages import Message

# No file of a pack is larger (the largest known, glintr100.onnx, has 0.26 GB); keeps a wrong file from filling memory.
MAX_FILE_BYTES = 1 << 30


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where FR Core keeps what it fetches: `FR_HOME`, else the platform's cache folder of the user."""
    home = environ.get("FR_HOME", "")
    return Path(home) if home else Path(platformdirs.user_cache_dir("fr-core", appauthor=False))


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where model files lie: the folder `models` of `home_folder`."""
    return home_folder(environ) / "models"


class FileState(StrEnum):
    """The state of a file in the cache."""

    OK = "OK"
    CORRUPT = "CORRUPT"
    MISSING = "MISSING"


class ModelCache:
    """Files by their content.

    Each file lies in a folder named after its sha256, so that packs that share a file share one copy, and two files of
    one name never meet. Safe for several processes at once: the last writer renames the same content into the same
    place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, spec: FileSpec) -> Path:
        """Return where the file lies, or would lie."""
        return self.folder / spec.sha256[:12] / spec.name

    def read_verified(self, spec: FileSpec, pack: str = "PACK") -> bytes:
        """Read the file once, check the hash of these bytes, and return them; errors name the `pack` to fetch.

        Raises `ModelNotInstalled`: there is no such file, or it cannot be read; `ModelCorrupt`: its size or its sha256
        differs.
        """
        path = self.path(spec)
        limit = MAX_FILE_BYTES if spec.size is None else spec.size
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)  # one more than is right, so that a longer file differs
        except FileNotFoundError as error:
            raise ModelNotInstalled(message("error.packs.file_not", path=path), file=spec.name, pack=pack) from error
        except OSError as error:
            raise ModelNotInstalled(
                message("error.packs.file_cannot_read", path=path, reason=str(error.strerror)),
                file=spec.name,
                pack=pack,
            ) from error
        _require_content(spec, data, message("error.packs.content_of_file", path=path), pack)
        return data

    def state(self, spec: FileSpec) -> FileState:
        """Return whether the file is there and is the right one; reads and hashes it."""
        try:
            self.read_verified(spec)
        except ModelNotInstalled:
            return FileState.MISSING
        except ModelCorrupt:
            return FileState.CORRUPT
        return FileState.OK

    def installed(self, spec: FileSpec) -> bool:
        """Return whether the file is there and is the right one; reads and hashes it."""
        return self.state(spec) is FileState.OK

    def store(self, spec: FileSpec, data: bytes) -> None:
        """Put the file into the cache, in one step: a reader sees all of it or nothing.

        Raises:
            ModelCorrupt: `data` is not the file that `spec` names; nothing was written.
            OSError: the folder or the disk refuses.
        """
        _require_content(spec, data, message("error.packs.content_for", name=spec.name))
        path = self.path(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{spec.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(path.parent)
        _sync_folder(self.folder)


def _require_content(spec: FileSpec, data: bytes, what: Message, pack: str = "PACK") -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != spec.sha256:
        raise ModelCorrupt(
            message("error.packs.bytes_sha256_not", what=what, length=len(data), found=found, sha256=spec.sha256),
            file=spec.name,
            expected=spec.sha256,
            found=found,
            pack=pack,
        )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
