"""The caller, as the server knows it: roles, and the galleries and courses on which it may act."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fr_core.errors import InvalidField, message
from fr_trust.access.budget import UNLIMITED, Budget

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


class Role(StrEnum):
    """A role; a principal has one or more, and may do what any of them may.

    Attributes:
        TRAINEE: takes courses.
        TRAINER: makes courses and cohorts, and reads their reports.
        OPERATOR: keeps galleries, searches, and opens cases.
        EXAMINER: examines the leads of searches.
        AUDITOR: reads and checks the audit.
        ADMIN: makes keys and galleries.
    """

    TRAINEE = "trainee"
    TRAINER = "trainer"
    OPERATOR = "operator"
    EXAMINER = "examiner"
    AUDITOR = "auditor"
    ADMIN = "admin"


ALL_ROLES = frozenset(Role)  # of the owner of a server that asks nobody who calls


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller and its permissions."""

    # "key:ID" of an API key, "oidc:" and 16 hexadecimal digits of a token, "local" where the server asks nobody,
    # "system" for the server itself.
    principal_id: str
    roles: frozenset[Role]  # one or more; without any it raises `ValueError`
    galleries: Scope  # that it may act on
    courses: Scope  # that it may act on
    budget: Budget  # how much it may ask for

    def __post_init__(self) -> None:
        if not self.roles:
            raise ValueError("a principal has one role or more")

    @property
    def coarse(self) -> bool:
        """True if it gets scores rounded to two decimals, and no embeddings: a trainee who is no operator.

        With exact scores one can climb to a photo of an enrolled person (Galbally et al., 2010).
        """
        return Role.TRAINEE in self.roles and Role.OPERATOR not in self.roles

    def is_one_of(self, roles: Iterable[Role]) -> bool:
        """Return whether it has any of these roles."""
        return not self.roles.isdisjoint(roles)


LOCAL = Principal("local", ALL_ROLES, EVERYTHING, EVERYTHING, UNLIMITED)
"""Everybody, where the server asks nobody who calls."""

SYSTEM = Principal("system", ALL_ROLES, EVERYTHING, EVERYTHING, UNLIMITED)  # the server itself: what nobody asked for
