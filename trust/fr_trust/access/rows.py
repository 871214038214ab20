"""Encrypts the rows of the access store, and opens them."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, replace
from typing import Any

from fr_core.errors import StoreCorrupt
from fr_core.storage.protocol import Row, Statements
from fr_core.storage.rows import readable
from fr_core.storage.vault import Value
from fr_trust.access.budget import Budget
from fr_trust.access.keys import PEPPER_BYTES, ApiKey, Token, secret_hash
from fr_trust.access.roles import Role
from fr_trust.access.schema import OWNER, SCHEMA
from fr_trust.access.scope import Scope

_HEAD = struct.Struct("<16sqq")
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the store, which vouches for its keys.

    Attributes:
        version: grows with each change of a key.
        digest: exclusive or of what `Locks.digest_of` gives for each key.
        keys: how many there are.
        seen_ms: the time that was surely reached, milliseconds since 1970, UTC.
    """

    version: int
    digest: int
    keys: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as the store keeps it.

    Attributes:
        key: what it is.
        version: of the head when it was changed last.
        secret: hash of its secret.
        secret_before: hash of the secret before; None where it had none that is valid still.
        before_until_ms: until when that one is valid.
    """

    key: ApiKey
    version: int
    secret: bytes = field(repr=False)
    secret_before: bytes | None = field(repr=False)
    before_until_ms: int

    def rotated(self, secret: bytes, now_ms: int, overlap_ms: int) -> Kept:
        """Return the same with another secret; the one that it has stays valid for `overlap_ms`."""
        before = self.secret if overlap_ms else None
        return replace(self, secret=secret, secret_before=before, before_until_ms=now_ms + overlap_ms)

    def revoked(self, now_ms: int) -> Kept:
        """Return the same, never valid again."""
        return replace(self, key=replace(self.key, revoked_ms=now_ms))


class Locks:
    """Seals and opens rows.

    Args:
        reading: has the vault.

    Raises:
        StoreCorrupt: the vault was altered.
    """

    def __init__(self, reading: Statements) -> None:
        row = reading.row("SELECT wrapped_key, pepper FROM vault WHERE vault_no = 1")
        if row is None:
            raise StoreCorrupt("The access store has lost its key.", check="vault")
        wrapped, pepper = row
        self._key = reading.vault.key(OWNER, 1, wrapped)
        self._pepper = self._key.open(pepper, SCHEMA.bound("vault", 1), "vault")
        if len(self._pepper) != PEPPER_BYTES:
            raise StoreCorrupt("The access store has lost its pepper.", check="vault")
        self._mac = reading.vault.mac

    def secret_hash(self, token: Token) -> bytes:
        """Return what is kept of a secret, 32 bytes."""
        return secret_hash(self._pepper, token)

    def digest_of(self, key_id: str, version: int) -> int:
        """Return what stands for a row in the digest of the head: 128 bits."""
        return int.from_bytes(self._mac("row", (key_id, version)), "big")

    def head_of(self, row: Row | None) -> Head:
        """Open the head, a row of `HEAD`; raises `StoreCorrupt`."""
        if row is None:
            raise StoreCorrupt("The access store has lost its head.", check="head")
        version, sealed = row
        said = self._opened(sealed, "head", version)
        digest, keys, seen_ms = readable(SCHEMA.name, lambda: _HEAD.unpack(said))
        return Head(version, int.from_bytes(digest, "big"), keys, seen_ms)

    def sealed_head(self, head: Head) -> tuple[Value, ...]:
        """Return the values of a row of `HEAD`."""
        packed = _HEAD.pack(head.digest.to_bytes(_DIGEST_BYTES, "big"), head.keys, head.seen_ms)
        return head.version, self._key.seal(packed, SCHEMA.bound("head", head.version))

    def kept_of(self, row: Row) -> Kept:
        """Open a row of `KEYS`; raises `StoreCorrupt`."""
        number, key_id, version, sealed = row
        said = self._opened(sealed, "keys", number, key_id, version)
        return readable(SCHEMA.name, lambda: _kept(number, key_id, version, json.loads(said)))

    def sealed_key(self, kept: Kept) -> bytes:
        """Return what is sealed of a row of `KEYS`."""
        bound = SCHEMA.bound("keys", kept.key.number, kept.key.key_id, kept.version)
        return self._key.seal(json.dumps(_said(kept), separators=(",", ":")).encode(), bound)

    def _opened(self, sealed: Any, table: str, *values: Any) -> bytes:
        # A column that was altered may hold what no row can.
        bound = readable(SCHEMA.name, lambda: SCHEMA.bound(table, *values))
        return self._key.open(sealed, bound, table)


HEAD = "SELECT version, sealed FROM head WHERE head_no = 1"
"""The columns of a head."""

KEYS = "SELECT key_no, key_id, version, sealed FROM keys"
"""The columns of a key."""


def _said(kept: Kept) -> dict[str, object]:
    key = kept.key
    return {
        "label": key.label,
        "roles": sorted(key.roles),
        "galleries": key.galleries.patterns,
        "courses": key.courses.patterns,
        "budget": [key.budget.requests_per_s, key.budget.burst, key.budget.searches_per_day],
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
        "certificate": key.certificate_sha256,
        "secret": kept.secret.hex(),
        "before": None if kept.secret_before is None else kept.secret_before.hex(),
        "before_until_ms": kept.before_until_ms,
    }


def _kept(number: int, key_id: str, version: int, said: dict[str, Any]) -> Kept:
    key = ApiKey(
        number=number,
        key_id=key_id,
        label=said["label"],
        roles=frozenset(map(Role, said["roles"])),
        galleries=Scope(tuple(said["galleries"])),
        courses=Scope(tuple(said["courses"])),
        budget=Budget(*said["budget"]),
        created_ms=said["created_ms"],
        expires_ms=said["expires_ms"],
        revoked_ms=said["revoked_ms"],
        certificate_sha256=said["certificate"],
    )
    before = said["before"]
    return Kept(
        key,
        version,
        bytes.fromhex(said["secret"]),
        None if before is None else bytes.fromhex(before),
        said["before_until_ms"],
    )
