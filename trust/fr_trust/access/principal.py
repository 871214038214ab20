"""The caller, as the server knows it."""

from collections.abc import Iterable
from dataclasses import dataclass

from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.roles import ALL_ROLES, Role
from fr_trust.access.scope import EVERYTHING, Scope


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
