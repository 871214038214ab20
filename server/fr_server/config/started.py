"""Remembers the configuration that a server was started with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fr_core.errors import ConfigInvalid
from fr_core.reading import open_regular


@dataclass(frozen=True, slots=True)
class Started:
    """The configuration that a server was started with.

    Attributes:
        path: its file; None = there was none.
        sha256: of the file, 64 hexadecimal digits; "" where there was none.
        sealed: whether it was sealed.
    """

    path: Path | None = None
    sha256: str = ""
    sealed: bool = False

    @staticmethod
    def of(path: Path | None, sealed: bool) -> Started:
        """Return this of a configuration that was just read; raises `ConfigInvalid` where it cannot be read again."""
        try:
            return Started(path, "" if path is None else sha256_of(path), sealed)
        except OSError as error:
            raise ConfigInvalid(f"The configuration {path} cannot be read: {error.strerror}.") from error

    def has_changed(self) -> bool:
        """Return whether the file is another one now; raises `OSError` where it cannot be read."""
        return self.path is not None and sha256_of(self.path) != self.sha256


def sha256_of(path: Path) -> str:
    """Return the sha256 of a regular file, 64 hexadecimal digits; raises `OSError`."""
    with open_regular(path) as file:
        return hashlib.sha256(file.read()).hexdigest()
