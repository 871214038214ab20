"""Whether the roles of a principal do; who is refused is told which would, and which are its own."""

from __future__ import annotations

from collections.abc import Collection

from fr_trust.access.principal import Principal
from fr_trust.access.roles import Role
from fr_trust.errors import NotPermitted

# How the id of a principal begins -> what its roles are of.
_CREDENTIALS = {"key": "the key has", "oidc": "the token has"}


def require_role(principal: Principal, roles: Collection[Role], when: str = "") -> None:
    """Raise `NotPermitted` unless a principal has one of the roles; the table of roles is public, its own it knows.

    Args:
        principal: who calls.
        roles: of which one does.
        when: under which condition one is asked for, such as "With these fields "; "" = always.
    """
    if principal.is_one_of(roles):
        return
    this = f"{when}this" if when else "This"
    needed = f"the role {_words(roles)}" if len(roles) == 1 else f"one of the roles {_words(roles)}"
    own = _CREDENTIALS.get(principal.principal_id.partition(":")[0], "whoever calls has")
    raise NotPermitted(f"{this} takes {needed}; {own} {_words(principal.roles)}.")


def _words(roles: Collection[Role]) -> str:
    return ", ".join(role.value for role in Role if role in roles)
