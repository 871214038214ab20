"""A shelf: values that several servers share for a while, each under a name that cannot be guessed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Shelved:
    """A value of the shelf."""

    value: bytes = field(repr=False)
    version: int  # grows with each change
    age_s: float  # since it was first put there


class Shelf(Protocol):
    """Keeps values until their time is over. Every method raises `StoreFailed`."""

    @property
    def secret(self) -> bytes:
        """Return 32 secret bytes, the same for all servers of a store."""

    def get(self, name: bytes, lasts_s: float = 0.0) -> Shelved | None:
        """Return a value, None if there is none; above 0, `lasts_s` lengthens its time, up to its end."""

    def put(self, name: bytes, value: bytes, version: int, lasts_s: float, longest_s: float) -> int:
        """Put a value there, and return its version; 0 if `version` is not the present one, and nothing was changed.

        Version 0 stands for no value. A value lasts `lasts_s`, which `get` can lengthen, but at most `longest_s`.
        """

    def take(self, name: bytes) -> bytes | None:
        """Take a value away, and return it; None if there is none. Of several callers, one gets it."""

    def close(self) -> None:
        """Let go what it needs; harmless when done twice."""
