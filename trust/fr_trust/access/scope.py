"""On which galleries, or courses, somebody may act."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fr_core.errors import InvalidField, message

MAX_PATTERNS = 256  # of one scope

_ALL = "*"
# An id of a gallery or course, or the beginning of one with * after it.
_PATTERN = re.compile(r"[a-z0-9_-]{1,128}|[a-z0-9_-]{0,127}\*")


@dataclass(frozen=True, slots=True)
class Scope:
    """Ids of galleries, or of courses.

    Each pattern is an id, or the beginning of ids followed by `*`; `("*",)` = all, `()` = none. Raises `InvalidField`
    for a pattern that is none, and for more than `MAX_PATTERNS`.
    """

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.patterns) > MAX_PATTERNS:
            raise InvalidField(message("error.trust.scope_too_many_patterns"), limit=str(MAX_PATTERNS))
        if not all(map(_PATTERN.fullmatch, self.patterns)):
            raise InvalidField(message("error.trust.pattern_scope_neither_id"))

    @property
    def is_all(self) -> bool:
        """Return whether it covers whatever there is and will be."""
        return _ALL in self.patterns

    def covers(self, resource_id: str) -> bool:
        """Return whether somebody of this scope may act on what has this id; capitals count."""
        return any(
            resource_id.startswith(pattern[:-1]) if pattern[-1] == "*" else resource_id == pattern
            for pattern in self.patterns
        )

    def includes(self, other: Scope) -> bool:
        """Return whether it covers everything that another one covers."""
        return all(map(self.covers, other.patterns))


EVERYTHING = Scope((_ALL,))
NOTHING = Scope(())
