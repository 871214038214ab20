"""Remembers the configuration file that a server was started with, so that it notices a change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fr_core.errors import ConfigInvalid, message
from fr_files.reading import open_regular


@dataclass(frozen=True, slots=True)
class Started:
    """The configuration that a server was started with."""

    path: Path | None = None  # its file; None if there was none
    sha256: str = ""  # sha256 of the file, 64 hexadecimal digits; "" if there was none
    sealed: bool = False  # True if it was sealed

    @staticmethod
    def of(path: Path | None, sealed: bool) -> Started:
        """Describe a configuration that was just read; raises `ConfigInvalid` if it has become unreadable."""
        try:
            return Started(path, "" if path is None else sha256_of(path), sealed)
        except OSError as error:
            raise ConfigInvalid(
                message("error.config.unreadable", path=str(path), reason=str(error.strerror))
            ) from error

    def has_changed(self) -> bool:
        """Return True if the file has changed; raises `OSError` if it is unreadable."""
        return self.path is not None and sha256_of(self.path) != self.sha256


def sha256_of(path: Path) -> str:
    """Return the sha256 of a regular file, 64 hexadecimal digits; raises `OSError`."""
    with open_regular(path) as file:
        return hashlib.sha256(file.read()).hexdigest()
