"""Where a server keeps what it keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path

from fr_server.config import Config


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
