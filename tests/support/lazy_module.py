"""Imports large reference libraries on first use."""

from importlib import import_module
from typing import Any


class LazyModule:
    """A module that is imported on first use, because each test process imports all test files."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):  # pytest asks each object of a test file for marks and fixtures
            raise AttributeError(name)
        return getattr(import_module(self._name), name)
