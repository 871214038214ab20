"""Where a server keeps what it keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path

from fr_core.gallery.store.keys import KeyEncryptionKey, key_beside, load_key
from fr_core.gallery.store.sqlite_store import is_under_key
from fr_server.config import Config
from fr_server.naming import naming


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


def require_key(config: Config) -> None:
    """Require the key that a start reads; none is made where there is none yet, and no command is run.

    Raises:
        KeyUnavailable: as `key_of`.
    """
    source, folder = config.gallery.key, data_folder(config).absolute()
    if source.startswith("command:"):
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
