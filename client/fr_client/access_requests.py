"""From Python's values to the messages of `AccessService`: shared by both clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from fr_api.v1 import access_pb2

# What somebody may do.
Role = Literal["trainee", "trainer", "operator", "examiner", "auditor", "admin"]

ROLES: dict[str, access_pb2.Role.ValueType] = {
    "trainee": access_pb2.ROLE_TRAINEE,
    "trainer": access_pb2.ROLE_TRAINER,
    "operator": access_pb2.ROLE_OPERATOR,
    "examiner": access_pb2.ROLE_EXAMINER,
    "auditor": access_pb2.ROLE_AUDITOR,
    "admin": access_pb2.ROLE_ADMIN,
}
ROLE_WORDS: dict[int, str] = {value: word for word, value in ROLES.items()}


def create_key(
    roles: Sequence[Role],
    label: str,
    galleries: Sequence[str],
    courses: Sequence[str],
    requests_per_s: float | None,
    burst: int | None,
    searches_per_day: int | None,
    lifetime: timedelta | None,
    certificate_sha256: str,
) -> access_pb2.CreateKeyRequest:
    """Return the request that makes a key; raises `ValueError` for a word that is no role, `TypeError` for one text."""
    if any(isinstance(several, str) for several in (roles, galleries, courses)):
        raise TypeError("Roles, galleries and courses are lists: ['operator'] rather than 'operator'.")
    unknown = [word for word in roles if word not in ROLES]
    if unknown:
        raise ValueError(f"roles has {unknown[0]!r}; it can have {', '.join(map(repr, ROLES))}.")
    request = access_pb2.CreateKeyRequest(
        label=label,
        roles=[ROLES[word] for word in roles],
        galleries=galleries,
        courses=courses,
        certificate_sha256=certificate_sha256,
    )
    if (requests_per_s, burst, searches_per_day) != (None, None, None):
        request.budget.CopyFrom(
            access_pb2.Budget(requests_per_s=requests_per_s or 0.0, burst=burst or 0, searches_per_day=searches_per_day)
        )
    if lifetime is not None:
        request.lifetime.FromTimedelta(lifetime)
    return request


def rotate_key(key_id: str, overlap: timedelta | None) -> access_pb2.RotateKeyRequest:
    """Return the request that gives a key a new secret."""
    request = access_pb2.RotateKeyRequest(key_id=key_id)
    if overlap is not None:
        request.overlap.FromTimedelta(overlap)
    return request
