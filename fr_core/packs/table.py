"""A TOML table that is read strictly: every value checked, every key that nobody asked for refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from fr_core.errors import PackInvalid

Triple = tuple[float, float, float]
_Choice = TypeVar("_Choice", bound=str)


class Table:
    """A TOML table of which each key is read once; `finish` refuses those that nobody read."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self._content = content
        self._where = where
        self._read: set[str] = set()

    def fail(self, key: str, what: str) -> NoReturn:
        """Raise `PackInvalid` that names the key."""
        raise PackInvalid(f"The manifest's `{self._where}{key}` {what}.", key=f"{self._where}{key}")

    def finish(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._content:
            if key not in self._read:
                self.fail(key, "is no key that manifests have")

    def has(self, key: str) -> bool:
        """Return whether an optional key is there."""
        self._read.add(key)
        return key in self._content

    def _value(self, key: str) -> Any:
        if not self.has(key):
            self.fail(key, "is missing")
        return self._content[key]

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._value(key)
        if not isinstance(value, str) or not value.strip():
            self.fail(key, "must be a text that is not empty")
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """A text that the whole of `pattern` matches."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            self.fail(key, f"must have the form {pattern.pattern}")
        return value

    def choice(self, key: str, choices: tuple[_Choice, ...]) -> _Choice:
        """One of `choices`."""
        value = self.text(key)
        if value not in choices:
            self.fail(key, "must be one of " + ", ".join(choices))
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(key, f"must be a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number from `low` to `high`."""
        return self._number(key, self._value(key), low, high)

    def triple(self, key: str, low: float, high: float) -> Triple:
        """Three finite numbers from `low` to `high`."""
        values = self._value(key)
        if not isinstance(values, list) or len(values) != 3:
            self.fail(key, "must be three numbers")
        first, second, third = (self._number(key, value, low, high) for value in values)
        return first, second, third

    def _number(self, key: str, value: Any, low: float, high: float) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            self.fail(key, "must be a number")
        if not low <= value <= high:
            self.fail(key, f"must be from {low:g} to {high:g}")
        return float(value)

    def table(self, key: str) -> Table:
        """A table."""
        value = self._value(key)
        if not isinstance(value, dict):
            self.fail(key, "must be a table")
        return Table(value, f"{self._where}{key}.")

    def tables(self, key: str) -> list[Table]:
        """An array of tables, one or more."""
        values = self._value(key)
        if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
            self.fail(key, "must be one table or more, each under [[" + self._where + key + "]]")
        return [Table(value, f"{self._where}{key}[{n}].") for n, value in enumerate(values)]
