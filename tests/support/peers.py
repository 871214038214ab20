"""Other people's tool kits, against which the tests hold our figures."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Peer:
    """A module that is imported when a test first uses it: each process that runs tests imports all their files."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)
