"""Tokens of an identity provider: a JWT (RFC 7519) that its keys have signed, checked as RFC 8725 wants it.

Of the header of a token nothing is believed but which of the known keys and configured algorithms to try: keys and
addresses that it holds (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jwt import PyJWK, PyJWS
from jwt.exceptions import InvalidSignatureError, PyJWTError

from fr_core.errors import InvalidField, NotReady
from fr_files.reading import read_json
from fr_server.authz.jwks import JsonWebKeys
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Principal, Role, Scope
from fr_trust.access.refusals import Why, refuse

MAX_TOKEN = 8_192  # characters; what a client sends with a call has 16 KiB in all

MAX_AGE_S = 86_400  # seconds after which a token is not accepted, whatever it says

_MAX_SUBJECT = 255  # OpenID Connect Core 1.0, 2
_MAX_KEY_ID = 256
_ID_DIGITS = 16
_LATEST_S = 10**11  # in the year 5138
# Tokens for another purpose say so; RFC 8725, 3.11, and RFC 9068, 2.1.
_TYPES = ("jwt", "at+jwt", "application/at+jwt")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """The tokens that a server accepts, and how it reads them."""

    issuer: str  # that `iss` must be
    audience: str  # that `aud` must be, or have among others
    algorithms: tuple[str, ...]  # that they may be signed by, of `jwks.ALGORITHMS`
    # Lists roles; its name, or names of objects and a name in the last of them, with dots between. A list of texts, or
    # one text with spaces between.
    roles_claim: str
    galleries_claim: str  # lists patterns of galleries, likewise; none where a token has no such claim
    courses_claim: str  # lists patterns of courses, likewise
    leeway_s: int  # that the issuer's clock may differ


class Tokens:
    """Knows tokens that `rules` accept, by the `keys` of their issuer for the same algorithms; all share a `budget`."""

    def __init__(self, rules: TokenRules, keys: JsonWebKeys, budget: Budget, clock_ms: Callable[[], int]) -> None:
        self._rules = rules
        self._keys = keys
        self._budget = budget
        self._clock_ms = clock_ms
        self._signed = PyJWS(list(rules.algorithms), {"enforce_minimum_key_length": True})

    async def check(self, token: str) -> Principal:
        """Return the principal of a token; raises `NotReady` if the keys of the issuer cannot be had.

        Raises `CredentialInvalid` if it is not valid now, always in the same words; `refusals.refusal_of` says why.
        """
        if len(token) > MAX_TOKEN:
            refuse(Why.TOO_LONG)
        key_id, algorithm = self._named(token)
        try:
            key = await self._keys.key(key_id, algorithm)
        except NotReady:
            self._refuse_if_out_of_time(token)
            raise
        if key is None:
            refuse(Why.UNKNOWN_SIGNER)
        claims = self._claims(token, key, algorithm)
        principal_id = self._principal_id(claims)
        self._require_audience(claims, principal_id)
        self._require_time(claims, principal_id)
        roles = frozenset(
            Role(word) for word in self._words(claims, self._rules.roles_claim, principal_id) if word in _ROLES
        )
        if not roles:
            refuse(Why.NO_ROLE, principal_id)
        galleries = self._scope(claims, self._rules.galleries_claim, principal_id)
        courses = self._scope(claims, self._rules.courses_claim, principal_id)
        return Principal(principal_id, roles, galleries, courses, self._budget)

    async def close(self) -> None:
        """End a reading of the keys that is under way."""
        await self._keys.close()

    def _named(self, token: str) -> tuple[str, str]:
        """Return which key and which algorithm a token names; nothing of it is known to be true yet."""
        if not token.isascii():
            refuse(Why.UNREADABLE)
        try:
            header = self._signed.get_unverified_header(token)
        except PyJWTError:
            refuse(Why.UNREADABLE)
        kind, algorithm, key_id = header.get("typ", "JWT"), header.get("alg"), header.get("kid")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            refuse(Why.UNREADABLE)
        if not isinstance(algorithm, str) or algorithm not in self._rules.algorithms:
            refuse(Why.WRONG_ALGORITHM)
        if not isinstance(key_id, str) or len(key_id) > _MAX_KEY_ID:
            refuse(Why.UNKNOWN_SIGNER)
        return key_id, algorithm

    def _refuse_if_out_of_time(self, token: str) -> None:
        """Refuse a token that says of itself that it is not valid now, whether or not its signature is right."""
        try:
            payload = self._signed.decode(token, options={"verify_signature": False})
        except PyJWTError:
            refuse(Why.UNREADABLE)
        self._require_time(_parsed(payload), "")

    def _claims(self, token: str, key: PyJWK, algorithm: str) -> dict[str, Any]:
        try:
            payload = self._signed.decode(token, key, [algorithm])
        except InvalidSignatureError:
            refuse(Why.BAD_SIGNATURE)
        except PyJWTError:
            refuse(Why.UNREADABLE)
        return _parsed(payload)

    def _principal_id(self, claims: dict[str, Any]) -> str:
        """Return who a token is of: the same for the same subject of the same issuer, and for no other."""
        issuer, subject = claims.get("iss"), claims.get("sub")
        if issuer is None or subject is None:
            refuse(Why.MISSING_CLAIM)
        if issuer != self._rules.issuer:
            refuse(Why.WRONG_ISSUER)
        if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_SUBJECT:
            refuse(Why.BAD_CLAIM)
        said = f"{issuer}\0{subject}".encode("utf-8", "surrogatepass")
        return f"oidc:{hashlib.sha256(said).hexdigest()[:_ID_DIGITS]}"

    def _require_audience(self, claims: dict[str, Any], principal_id: str) -> None:
        audience = claims.get("aud")
        if audience is None:
            refuse(Why.MISSING_CLAIM, principal_id)
        if self._rules.audience not in (audience if isinstance(audience, list) else [audience]):
            refuse(Why.WRONG_AUDIENCE, principal_id)

    def _require_time(self, claims: dict[str, Any], principal_id: str) -> None:
        """Require that a token is valid now; its age is known only where it says when it was made."""
        now_s, leeway_s = self._clock_ms() / 1000, self._rules.leeway_s
        expires_s, made_s = (_moment(claims, name, principal_id) for name in ("exp", "iat"))
        if expires_s is None or made_s is None:
            refuse(Why.MISSING_CLAIM, principal_id)
        begins_s = _moment(claims, "nbf", principal_id)
        if now_s >= expires_s + leeway_s:
            refuse(Why.EXPIRED, principal_id)
        if max(made_s, made_s if begins_s is None else begins_s) > now_s + leeway_s:
            refuse(Why.NOT_YET_VALID, principal_id)
        if now_s - made_s > MAX_AGE_S + leeway_s:
            refuse(Why.TOO_OLD, principal_id)

    def _scope(self, claims: dict[str, Any], name: str, principal_id: str) -> Scope:
        try:
            return Scope(tuple(self._words(claims, name, principal_id)))
        except InvalidField:
            refuse(Why.BAD_CLAIM, principal_id)

    def _words(self, claims: dict[str, Any], name: str, principal_id: str) -> list[str]:
        said = _claim(claims, name)
        if said is None:
            return []
        words = said.split() if isinstance(said, str) else said
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            refuse(Why.BAD_CLAIM, principal_id)
        return words


_ROLES = frozenset(role.value for role in Role)


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        claims = read_json(payload, MAX_TOKEN, object_pairs_hook=_without_doubles)
    except ValueError:
        refuse(Why.UNREADABLE)
    if not isinstance(claims, dict):
        refuse(Why.UNREADABLE)
    return claims


def _claim(claims: dict[str, Any], name: str) -> object:
    if name in claims:
        return claims[name]
    found: object = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _moment(claims: dict[str, Any], name: str, principal_id: str) -> float | None:
    """Return a time, seconds since 1970, UTC; None where a token does not say it."""
    said = claims.get(name)
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) <= _LATEST_S:  # NaN is not
        refuse(Why.BAD_CLAIM, principal_id)
    return said


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; `ValueError` for one with a name twice, which two readers read in two ways."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
