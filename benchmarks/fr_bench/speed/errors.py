"""What keeps a measurement of speed from being made."""

from __future__ import annotations

from fr_core.errors import FrError


class BenchFailed(FrError):
    """The measurement could not be made; the message says what was found and what to do."""
