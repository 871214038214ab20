"""API keys: "id.secret". The id is public; the secret has 256 bits, is told once, and is kept as a keyed hash alone.

Making, rotating, revoking and listing keys all use `reaches` and `require_may_give`: no sequence of these calls gives a
principal a secret with wider access than the principal's own.
"""

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fr_core.errors import InvalidField, message
from fr_trust.access.budget import Budget
from fr_trust.access.principal import Principal, Role, Scope
from fr_trust.errors import NotPermitted

SECRET_BYTES = 32
PEPPER_BYTES = 32
MAX_LABEL = 128  # characters of a label
DAY_MS = 86_400_000
MAX_LIFETIME_DAYS = 1_826  # 5 years, of which one is a leap year
MAX_LIFETIME_MS = MAX_LIFETIME_DAYS * DAY_MS  # five years, whichever of them are leap years
MAX_OVERLAP_MS = 30 * DAY_MS

# Roles that see more than their galleries and courses: all keys, all audits.
_OF_ALL = frozenset({Role.ADMIN, Role.AUDITOR})
_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARACTERS = 16
_KEY_ID = re.compile(r"[a-z0-9]{16}")
_TOKEN = re.compile(r"([a-z0-9]{16})\.([A-Za-z0-9_-]{43})")
_TOKEN_CHARACTERS = 60
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What the hash is of begins with it, so that no hash of another room is taken for one of these.
_HASHED = b"fr-core api key 1\0"


@dataclass(frozen=True, slots=True)
class Token:
    """An API key as it is sent; its secret shows in no text of it but `text`."""

    key_id: str  # 16 characters of a-z and 0-9
    secret: bytes = field(repr=False)  # 32 bytes

    @property
    def text(self) -> str:
        """Return what is sent: "id.secret", the secret as 43 characters of base64url (RFC 4648, 5)."""
        return f"{self.key_id}.{_base64url(self.secret)}"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make. Raises `InvalidField`: a field is out of range."""

    label: str  # what it is for; at most 128 printable characters, not the name of a person
    roles: frozenset[Role]
    galleries: Scope
    courses: Scope
    budget: Budget
    lifetime_ms: int | None  # for how long it is valid, 5 years at most; None = for ever
    # Of the client certificate (DER) that it is bound to, 64 hexadecimal digits; None = none.
    certificate_sha256: str | None = None
    # Milliseconds since 1970, UTC, at which it ends at the latest, whatever its lifetime; None = that alone says.
    not_after_ms: int | None = None

    def __post_init__(self) -> None:
        if len(self.label) > MAX_LABEL or not self.label.isprintable() or self.label != self.label.strip():
            raise InvalidField(message("error.trust.label_too_long_holds"), field="label")
        if not self.roles:
            raise InvalidField(message("error.trust.key_role_more"), field="roles")
        if self.lifetime_ms is not None and not 0 < self.lifetime_ms <= MAX_LIFETIME_MS:
            raise InvalidField(message("error.trust.time_key_valid_not"), field="lifetime")
        if self.certificate_sha256 is not None and not _SHA256.fullmatch(self.certificate_sha256):
            raise InvalidField(message("error.trust.sha256_certificate_digits_f"), field="certificate_sha256")

    def expires_ms(self, now_ms: int) -> int | None:
        """Return when it ends if it is made now, milliseconds since 1970, UTC; None = never."""
        ends = (None if self.lifetime_ms is None else now_ms + self.lifetime_ms, self.not_after_ms)
        return min((end for end in ends if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without its secret. Times are milliseconds since 1970, UTC."""

    number: int  # greater than those of the keys that were made before it
    key_id: str
    label: str
    roles: frozenset[Role]
    galleries: Scope
    courses: Scope
    budget: Budget
    created_ms: int
    expires_ms: int | None  # from when on it is not valid; None = never
    revoked_ms: int | None  # when it was revoked; None = it was not
    certificate_sha256: str | None

    @property
    def principal_id(self) -> str:
        """The id of its principal."""
        return principal_id_of(self.key_id)

    @property
    def principal(self) -> Principal:
        """The principal that the key stands for."""
        return Principal(self.principal_id, self.roles, self.galleries, self.courses, self.budget)

    def is_over(self, now_ms: int) -> bool:
        """Return whether its time is over."""
        return self.expires_ms is not None and now_ms >= self.expires_ms

    def is_dead(self, now_ms: int) -> bool:
        """Return whether it is never valid again."""
        return self.revoked_ms is not None or self.is_over(now_ms)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key that was just made, or got a new secret; only `token` ever has the secret."""

    key: ApiKey
    token: Token


def new_token(token_bytes: Callable[[int], bytes], key_id: str | None = None) -> Token:
    """Draw a key with `token_bytes`, which returns so many random bytes; without a `key_id` also an id, of 80 bits."""
    if key_id is None:
        # 256 is a multiple of 32
        key_id = "".join(_ID_ALPHABET[byte % len(_ID_ALPHABET)] for byte in token_bytes(_ID_CHARACTERS))
    return Token(key_id, token_bytes(SECRET_BYTES))


def is_key_id(text: str) -> bool:
    """Return whether a key can have this id."""
    return _KEY_ID.fullmatch(text) is not None


def principal_id_of(key_id: str) -> str:
    """Return the id of the principal that uses a key."""
    return f"key:{key_id}"


def parse_token(text: str) -> Token | None:
    """Return the key of a text; None unless `Token.text` can give exactly this text."""
    if len(text) != _TOKEN_CHARACTERS:
        return None
    found = _TOKEN.fullmatch(text)
    if found is None:
        return None
    secret = base64.urlsafe_b64decode(f"{found[2]}=")
    # The last character has two bits to spare: one secret shall have one text.
    return Token(found[1], secret) if _base64url(secret) == found[2] else None


def secret_hash(pepper: bytes, token: Token) -> bytes:
    """Return what is kept of a secret: HMAC-SHA-256 (RFC 2104) of the key's id and its secret, 32 bytes.

    A secret of 256 random bits needs no slow hash: nobody guesses it. The pepper makes the hashes useless without the
    key of the store.
    """
    return hmac.digest(pepper, _HASHED + token.key_id.encode() + b"\0" + token.secret, "sha256")


def reaches(principal: Principal, key: ApiKey | NewKey) -> bool:
    """Return whether a principal may see and revoke a key: its own, or one with no wider access than its own.

    Admins and auditors see more than their galleries and courses, so their keys count as access to everything.
    """
    if isinstance(key, ApiKey) and key.principal_id == principal.principal_id:
        return True
    if not key.roles.isdisjoint(_OF_ALL) and not (principal.galleries.is_all and principal.courses.is_all):
        return False
    return principal.galleries.includes(key.galleries) and principal.courses.includes(key.courses)


def require_may_give(principal: Principal, own: ApiKey | None, key: ApiKey | NewKey, now_ms: int) -> None:
    """Raise `NotPermitted` if a secret of a key would have more rights than the principal who hands it out.

    Args:
        own: the key that the principal calls with; None = it has none.
        key: to make, or to give a new secret to.
        now_ms: milliseconds since 1970, UTC.
    """
    if not reaches(principal, key):
        raise NotPermitted(message("error.trust.key_wider_access_your"))
    if not key.budget.is_within(principal.budget):
        raise NotPermitted(message("error.trust.key_larger_budget_your"), field="budget")
    if own is None:
        return
    if own.certificate_sha256 is not None and key.certificate_sha256 != own.certificate_sha256:
        raise NotPermitted(message("error.trust.key_must_bound_same"))
    ends_ms = key.expires_ms(now_ms) if isinstance(key, NewKey) else key.expires_ms
    if own.expires_ms is not None and (ends_ms is None or ends_ms > own.expires_ms):
        raise NotPermitted(message("error.trust.key_lives_longer_your"), field="lifetime")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
