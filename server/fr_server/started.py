"""What a server was started with, to compare with what is there later."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fr_core.errors import ConfigInvalid


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
            return Started(path, "" if path is None else _sha256(path), sealed)
        except OSError as error:
            raise ConfigInvalid(f"The configuration {path} cannot be read: {error.strerror}.") from error

    def has_changed(self) -> bool:
        """Whether the file is another one now; raises `OSError` where it cannot be read."""
        return self.path is not None and _sha256(self.path) != self.sha256


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
