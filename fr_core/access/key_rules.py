"""Who may know, give and take which key. Pure: no store, no clock.

A key is given when it is made or gets a new secret, and taken when it is revoked. All of that, and the list of keys,
asks the functions here: no sequence of these calls gives a principal a secret that reaches further than the principal.
"""

from __future__ import annotations

from fr_core.access.keys import ApiKey, NewKey
from fr_core.access.principal import Principal
from fr_core.access.roles import Role
from fr_core.access.scope import Scope
from fr_core.errors import NotPermitted

_OF_ALL = frozenset({Role.ADMIN, Role.AUDITOR})
"""Roles that see more than their galleries and courses: all keys, all audits."""


def reaches(principal: Principal, key: ApiKey | NewKey) -> bool:
    """Whether a principal may know of a key, and revoke it: its own, or one that reaches no further than the principal.

    Admins and auditors see more than their galleries and courses, so their keys reach everything.
    """
    if isinstance(key, ApiKey) and key.principal_id == principal.principal_id:
        return True
    if not key.roles.isdisjoint(_OF_ALL) and not (principal.galleries.is_all and principal.courses.is_all):
        return False
    return _includes(principal.galleries, key.galleries) and _includes(principal.courses, key.courses)


def require_may_give(principal: Principal, own: ApiKey | None, key: ApiKey | NewKey, now_ms: int) -> None:
    """Raise `NotPermitted` unless a principal may hand out a secret of a key: no secret may do more than the principal.

    Args:
        principal: who hands it out.
        own: the key that it calls with; None = it has none.
        key: to make, or to give a new secret to.
        now_ms: milliseconds since 1970, UTC.
    """
    if not reaches(principal, key):
        raise NotPermitted("The key reaches further than your own; those of admins and auditors reach everything.")
    if not key.budget.is_within(principal.budget):
        raise NotPermitted("The key may ask for more than your own.", field="budget")
    if own is None:
        return
    if own.certificate_sha256 is not None and key.certificate_sha256 != own.certificate_sha256:
        raise NotPermitted("The key must be bound to the certificate that your own is bound to.")
    ends_ms = key.expires_ms(now_ms) if isinstance(key, NewKey) else key.expires_ms
    if own.expires_ms is not None and (ends_ms is None or ends_ms > own.expires_ms):
        raise NotPermitted("The key lives longer than your own.", field="lifetime")


def _includes(scope: Scope, other: Scope) -> bool:
    """Whether a scope covers whatever another one covers."""
    return all(any(_covers(own, pattern) for own in scope.patterns) for pattern in other.patterns)


def _covers(own: str, pattern: str) -> bool:
    if own.endswith("*"):
        return pattern.startswith(own[:-1])
    return own == pattern
