"""Keeps short-lived values that several servers share, each under a name that cannot be guessed: the shelf."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Shelved:
    """A value of the shelf."""

    value: bytes = field(repr=False)
    version: int  # grows with each change
    age_s: float  # since it was first put there


class Values(Protocol):
    """Keeps values until they expire. Every method raises `StoreFailed`."""

    def get(self, name: bytes, lasts_s: float = 0.0) -> Shelved | None:
        """Return a value, or None if there is none; `lasts_s` above 0 extends its time, up to `longest_s` of `put`."""

    def put(self, name: bytes, value: bytes, version: int, lasts_s: float, longest_s: float) -> int:
        """Store a value and return its version; return 0 and change nothing if `version` is not the present one.

        Version 0 stands for no value. A value lasts `lasts_s`, which `get` can lengthen, but at most `longest_s`.
        """

    def take(self, name: bytes) -> bytes | None:
        """Remove a value and return it, or None if there is none. If several callers do so, one gets it."""

    def close(self) -> None:
        """Release connections; harmless when done twice."""


class Shelf(Values, Protocol):
    """Keeps values, and a secret under which they can be encrypted."""

    @property
    def secret(self) -> bytes:
        """Return 32 secret bytes, the same for all servers of a store."""
