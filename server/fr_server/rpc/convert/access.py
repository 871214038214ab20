"""Messages of access, to and from values."""

from google.protobuf import duration_pb2

from fr_api.v1 import access_pb2 as pb
from fr_core.errors import InvalidField, message
from fr_server.rpc.convert.common import NANOS_PER_S, by_name, timestamp_ms
from fr_trust.access.budget import Budget
from fr_trust.access.keys import DAY_MS, ApiKey, MadeKey, NewKey
from fr_trust.access.principal import Principal, Role, Scope

_ROLES = by_name(Role, pb.Role, "ROLE")
_BY_VALUE = {value: role for role, value in _ROLES.items()}


def new_key(request: pb.CreateKeyRequest, default: Budget, key_days: int, not_after_ms: int | None) -> NewKey:
    """Return the key that a request asks for; raises `InvalidField` for an invalid field.

    Where the request does not say, the key may ask for `default` and is valid for `key_days`, or until `not_after_ms`
    if that is sooner, milliseconds since 1970, UTC; None = no such end.
    """
    unknown = [value for value in request.roles if value not in _BY_VALUE]
    if unknown:
        raise InvalidField(message("error.rpc.roles_holds_value_no"), field="roles")
    lifetime_ms = key_days * DAY_MS
    if request.HasField("lifetime"):
        lifetime_ms = _milliseconds(request.lifetime, "lifetime")
    return NewKey(
        request.label,
        frozenset(_BY_VALUE[value] for value in request.roles),
        Scope(tuple(request.galleries)),
        Scope(tuple(request.courses)),
        _budget(request.budget, default),
        lifetime_ms,
        request.certificate_sha256 or None,
        not_after_ms,
    )


def overlap_ms(request: pb.RotateKeyRequest) -> int:
    """Return for how long the secret before stays valid, milliseconds; raises `InvalidField` for no duration."""
    return _milliseconds(request.overlap, "overlap") if request.HasField("overlap") else 0


def key_message(key: ApiKey) -> pb.ApiKey:
    """Build the message of a key."""
    message = pb.ApiKey(
        key_id=key.key_id,
        label=key.label,
        roles=_role_values(key.roles),
        galleries=key.galleries.patterns,
        courses=key.courses.patterns,
        budget=_budget_message(key.budget),
        create_time=timestamp_ms(key.created_ms),
        certificate_sha256=key.certificate_sha256 or "",
    )
    if key.expires_ms is not None:
        message.expire_time.CopyFrom(timestamp_ms(key.expires_ms))
    if key.revoked_ms is not None:
        message.revoke_time.CopyFrom(timestamp_ms(key.revoked_ms))
    return message


def created_response(made: MadeKey) -> pb.CreateKeyResponse:
    """Build the answer of CreateKey, the only one beside RotateKey's that holds a secret."""
    return pb.CreateKeyResponse(key=key_message(made.key), token=made.token.text)


def rotated_response(made: MadeKey) -> pb.RotateKeyResponse:
    """Build the answer of RotateKey."""
    return pb.RotateKeyResponse(key=key_message(made.key), token=made.token.text)


def who_response(principal: Principal, key: ApiKey | None, searches_left: int | None) -> pb.WhoAmIResponse:
    """Build the answer of WhoAmI; no key, and no searches left, are None."""
    expires_ms = None if key is None else key.expires_ms
    return pb.WhoAmIResponse(
        principal_id=principal.principal_id,
        roles=_role_values(principal.roles),
        galleries=principal.galleries.patterns,
        courses=principal.courses.patterns,
        budget=_budget_message(principal.budget),
        expire_time=None if expires_ms is None else timestamp_ms(expires_ms),
        searches_left=searches_left,
    )


def _role_values(roles: frozenset[Role]) -> list[pb.Role.ValueType]:
    return sorted(_ROLES[role] for role in roles)


def _budget(sent: pb.Budget, default: Budget) -> Budget:
    per_day = sent.searches_per_day if sent.HasField("searches_per_day") else default.searches_per_day
    return Budget(sent.requests_per_s or default.requests_per_s, sent.burst or default.burst, per_day)


def _budget_message(budget: Budget) -> pb.Budget:
    return pb.Budget(requests_per_s=budget.requests_per_s, burst=budget.burst, searches_per_day=budget.searches_per_day)


def _milliseconds(sent: duration_pb2.Duration, field: str) -> int:
    if sent.seconds < 0 or not 0 <= sent.nanos < NANOS_PER_S:
        raise InvalidField(message("error.rpc.no_duration_0_up", field=field), field=field)
    return sent.seconds * 1000 + sent.nanos // 1_000_000
