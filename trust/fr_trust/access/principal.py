"""The caller, as the server knows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.roles import ALL_ROLES, Role
from fr_trust.access.scope import EVERYTHING, Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller and its permissions; see `principal_of`, which makes those of keys and tokens.

    Attributes:
        principal_id: "key:ID" of an API key, "oidc:" and 16 hexadecimal digits of a token, "local" where the server
            asks nobody, "system" for the server itself.
        roles: one or more.
        galleries: that it may act on.
        courses: that it may act on.
        budget: how much it may ask for.
        coarse: whether it is told scores rounded to two decimals, and no embeddings: who is told exact scores can climb
            along them to a photo of whoever is enrolled (Galbally et al., 2010). Always of who is but a trainee.

    Raises:
        ValueError: without a role, or of a trainee that is told exact scores.
    """

    principal_id: str
    roles: frozenset[Role]
    galleries: Scope
    courses: Scope
    budget: Budget
    coarse: bool

    def __post_init__(self) -> None:
        if not self.roles:
            raise ValueError("a principal has one role or more")
        if _is_but_trainee(self.roles) and not self.coarse:
            raise ValueError("trainees are told no exact scores")

    def is_one_of(self, roles: Iterable[Role]) -> bool:
        """Return whether it has any of these roles."""
        return not self.roles.isdisjoint(roles)


def principal_of(
    principal_id: str, roles: frozenset[Role], galleries: Scope, courses: Scope, budget: Budget
) -> Principal:
    """Return the principal of these, told coarse scores where it is but a trainee; raises as `Principal`."""
    return Principal(principal_id, roles, galleries, courses, budget, _is_but_trainee(roles))


def _is_but_trainee(roles: frozenset[Role]) -> bool:
    return Role.TRAINEE in roles and Role.OPERATOR not in roles


LOCAL = principal_of("local", ALL_ROLES, EVERYTHING, EVERYTHING, UNLIMITED)
"""Everybody, where the server asks nobody who calls."""

SYSTEM = principal_of("system", ALL_ROLES, EVERYTHING, EVERYTHING, UNLIMITED)
"""The server itself: what nobody asked for."""
