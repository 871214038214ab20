"""Decides who may see, hand out and revoke which key. Pure: no store, no clock.

Making, rotating, revoking and listing keys all use these functions: no sequence of these calls gives a principal a
secret with wider access than the principal's own.
"""

from __future__ import annotations

from fr_trust.access.keys import ApiKey, NewKey
from fr_trust.access.principal import Principal
from fr_trust.access.roles import Role
from fr_trust.access.scope import Scope
from fr_trust.errors import NotPermitted

_OF_ALL = frozenset({Role.ADMIN, Role.AUDITOR})
"""Roles that see more than their galleries and courses: all keys, all audits."""


def reaches(principal: Principal, key: ApiKey | NewKey) -> bool:
    """Return whether a principal may see and revoke a key: its own, or one with no wider access than its own.

    Admins and auditors see more than their galleries and courses, so their keys count as access to everything.
    """
    if isinstance(key, ApiKey) and key.principal_id == principal.principal_id:
        return True
    if not key.roles.isdisjoint(_OF_ALL) and not (principal.galleries.is_all and principal.courses.is_all):
        return False
    return _includes(principal.galleries, key.galleries) and _includes(principal.courses, key.courses)


def require_may_give(principal: Principal, own: ApiKey | None, key: ApiKey | NewKey, now_ms: int) -> None:
    """Raise `NotPermitted` if a secret of a key would have more rights than the principal who hands it out.

    Args:
        principal: who hands it out.
        own: the key that it calls with; None = it has none.
        key: to make, or to give a new secret to.
        now_ms: milliseconds since 1970, UTC.
    """
    if not reaches(principal, key):
        raise NotPermitted(
            "The key has wider access than your own; a key of an admin or auditor counts as access to everything."
        )
    if not key.budget.is_within(principal.budget):
        raise NotPermitted("The key has a larger budget than your own.", field="budget")
    if own is None:
        return
    if own.certificate_sha256 is not None and key.certificate_sha256 != own.certificate_sha256:
        raise NotPermitted("The key must be bound to the same certificate as your own.")
    ends_ms = key.expires_ms(now_ms) if isinstance(key, NewKey) else key.expires_ms
    if own.expires_ms is not None and (ends_ms is None or ends_ms > own.expires_ms):
        raise NotPermitted("The key lives longer than your own.", field="lifetime")


def _includes(scope: Scope, other: Scope) -> bool:
    """Return whether a scope covers everything that another one covers."""
    return all(any(_covers(own, pattern) for own in scope.patterns) for pattern in other.patterns)


def _covers(own: str, pattern: str) -> bool:
    if own.endswith("*"):
        return pattern.startswith(own[:-1])
    return own == pattern
