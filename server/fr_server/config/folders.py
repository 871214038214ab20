"""Finds the folders and files of a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path

from fr_core.errors import ConfigInvalid
from fr_core.gallery.store.sqlite_store import is_under_key
from fr_core.storage.keys import KeyEncryptionKey, command_of, key_beside, load_key
from fr_server.config import Config
from fr_server.config.naming import naming


def data_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where galleries are kept: `gallery.folder`, else $FR_HOME/data, else the platform's data folder."""
    if config.gallery.folder:
        return Path(config.gallery.folder).expanduser()
    home = environ.get("FR_HOME")
    return Path(home) / "data" if home else user_data_path("fr-core", appauthor=False)


def reports_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where reports are kept: `evaluation.folder`, else `reports` in the folder of the galleries."""
    if config.evaluation.folder:
        return Path(config.evaluation.folder).expanduser()
    return data_folder(config, environ) / "reports"


def training_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where courses and answers are kept: `training.folder`, else `training` in the folder of the galleries."""
    if config.training.folder:
        return Path(config.training.folder).expanduser()
    return data_folder(config, environ) / "training"


def cases_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where cases are kept: `cases.folder`, else `cases` in the folder of the galleries."""
    if config.cases.folder:
        return Path(config.cases.folder).expanduser()
    return data_folder(config, environ) / "cases"


def access_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where API keys are kept: `access.folder`, else `access` in the folder of the galleries."""
    if config.access.folder:
        return Path(config.access.folder).expanduser()
    return data_folder(config, environ) / "access"


def checkpoint_folder(config: Config) -> Path | None:
    """Return where checkpoints of the audit are written: `audit.checkpoint_folder`; None where none are."""
    return Path(config.audit.checkpoint_folder).expanduser() if config.audit.checkpoint_folder else None


def archive_folder(config: Config) -> Path | None:
    """Return the folder for archived audit records, `audit.archive_folder`; None if there is none."""
    return Path(config.audit.archive_folder).expanduser() if config.audit.archive_folder else None


def require_folders(config: Config) -> None:
    """Require that each folder of what is kept is one that can be written to, or can be made; nothing is made here.

    Raises:
        ConfigInvalid: it is a file, leads nowhere, may not be written to, has no room at all, or cannot be looked at.
    """
    for key, folder in (
        ("gallery.folder", data_folder(config)),
        ("access.folder", access_folder(config)),
        ("cases.folder", cases_folder(config)),
        ("training.folder", training_folder(config)),
        ("evaluation.folder", reports_folder(config)),
    ):
        _require_folder(key, folder.absolute())


def _require_folder(key: str, folder: Path) -> None:
    try:
        at = next(one for one in (folder, *folder.parents) if _is_there(one))
        if not at.is_dir():
            why = f"{at} is none" if at.exists() else f"{at} leads nowhere"
        elif not os.access(at, os.W_OK | os.X_OK):
            why = f"{at} may not be written to"
        elif not os.statvfs(at).f_blocks:  # such as /proc
            why = f"{at} is on no disk"
        else:
            return
    except OSError as error:
        why = f"it cannot be looked at: {error.strerror}"
    raise ConfigInvalid(f"`{key}` is no folder that can be written to: {why}.", key=key)


def _is_there(path: Path) -> bool:
    """Return whether there is something of a name, a link that leads nowhere too; raises `OSError` where nobody
    knows.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def require_key(config: Config) -> None:
    """Require the key that a start reads; none is made where there is none yet, and a command is read, not run.

    Raises:
        KeyUnavailable: as `key_of`.
    """
    source, folder = config.gallery.key, data_folder(config).absolute()
    if source.startswith("command:"):
        with naming("gallery.key"):
            command_of(source.removeprefix("command:"))
        return
    if source or Path(f"{folder}.key").exists() or is_under_key(folder):
        key_of(config, new=False)


def key_of(config: Config, *, new: bool) -> KeyEncryptionKey:
    """Return the key of everything that is kept: that of `gallery.key`, else that of the file beside the folder.

    Args:
        config: of the server.
        new: whether nothing is under a key yet, so that one is made where there is none.

    Raises:
        KeyUnavailable: there is none, or it cannot be read; the error names the file, or the setting.
    """
    source = config.gallery.key
    folder = data_folder(config).absolute()
    # Of another source nothing is told: it may hold the key itself.
    beside = "gallery.key" if source else f"{folder}.key"
    with naming(source.partition(":")[2] if source.startswith("file:") else beside):
        return load_key(source) if source else key_beside(folder, new=new)
