"""The tables of the access store.

What is `sealed` is encrypted (AES-256-GCM) and bound to the columns beside it, so that nobody without the key of the
store reads, makes, widens or exchanges a row. `head` says which rows there are: it holds the exclusive or of a MAC of
the id and version of each (a multiset hash, MSet-XOR-Hash of Clarke et al., 2003, whose value nobody without the key
sees), so that a row which was taken out, or put back to what it was before, is found.

This does not detect an older copy of the whole file, or of `keys` and `head` together, that is put in its place while
no process has the store open; an open store knows the newest version. So somebody who can write the file while the
server is down can make a revoked key valid again. The records of the audit say the version of the head that each
change made, and an exported checkpoint of the audit shows that records are missing.
"""

import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.protocol import Connection, Row, Statements
from fr_core.storage.schema import TAKES_MARK, Schema, WrappedKeys, begin_audit
from fr_core.storage.vault import Value, Vault
from fr_trust.access.budget import Budget
from fr_trust.access.keys import PEPPER_BYTES, ApiKey, Token, secret_hash
from fr_trust.access.principal import Role, Scope

_HEAD = struct.Struct("<16sqq")
_DIGEST_BYTES = 16


OWNER = -5  # of the one key that seals what the store holds

_TABLES = """
CREATE TABLE vault (
    vault_no INTEGER PRIMARY KEY CHECK (vault_no = 1),
    wrapped_key BLOB NOT NULL,
    pepper BLOB NOT NULL
) STRICT;

-- `version` grows with each change of a key.
CREATE TABLE head (
    head_no INTEGER PRIMARY KEY CHECK (head_no = 1),
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;

-- `version` is that of the head when the key was changed last.
CREATE TABLE keys (
    key_no INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL UNIQUE,
    sealed BLOB NOT NULL
) STRICT;
"""


def _make_keys(connection: Connection, vault: Vault) -> None:
    """Make the key of the store, the pepper of its secrets, and the head of no keys."""
    key, wrapped = vault.new_key(OWNER, 1)
    pepper = key.seal(os.urandom(PEPPER_BYTES), SCHEMA.bound("vault", 1))
    connection.execute("INSERT INTO vault (vault_no, wrapped_key, pepper) VALUES (1, ?, ?)", (wrapped, pepper))
    # No keys, no time seen; see `rows.Head`.
    head = key.seal(bytes(32), SCHEMA.bound("head", 0))
    connection.execute("INSERT INTO head (head_no, version, sealed) VALUES (1, 0, ?)", (head,))


SCHEMA = Schema(
    name="access store",
    database_name="access.sqlite",
    application_id=0x46524143,  # "FRAC"
    migrations=(_TABLES, _make_keys, begin_audit, TAKES_MARK),
    wrapped=(WrappedKeys(OWNER, "vault", "vault_no"),),
    binding="fr-core access",
    mac_prefix="access ",
)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the store, which vouches for its keys."""

    version: int  # grows with each change of a key
    digest: int  # exclusive or of what `Locks.digest_of` gives for each key
    keys: int  # how many there are
    seen_ms: int  # the time that was surely reached, milliseconds since 1970, UTC


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as the store keeps it."""

    key: ApiKey
    version: int  # of the head when it was changed last
    secret: bytes = field(repr=False)  # hash of its secret
    secret_before: bytes | None = field(repr=False)  # hash of the secret before; None where that is not valid any more
    before_until_ms: int  # until when that one is valid


class Locks:
    """Seals and opens rows; raises `StoreCorrupt` if the vault was altered."""

    def __init__(self, reading: Statements) -> None:
        row = reading.row("SELECT wrapped_key, pepper FROM vault WHERE vault_no = 1")
        if row is None:
            raise StoreCorrupt(message("error.trust.access_store_lost_key"), check="vault")
        wrapped, pepper = row
        self._key = reading.vault.key(OWNER, 1, wrapped)
        self._pepper = self._key.open(pepper, SCHEMA.bound("vault", 1), "vault")
        if len(self._pepper) != PEPPER_BYTES:
            raise StoreCorrupt(message("error.trust.access_store_lost_pepper"), check="vault")
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
            raise StoreCorrupt(message("error.trust.access_store_lost_head"), check="head")
        version, sealed = row
        said = self._key.open(sealed, SCHEMA.bound("head", version), "head")
        digest, keys, seen_ms = SCHEMA.readable(lambda: _HEAD.unpack(said))
        return Head(version, int.from_bytes(digest, "big"), keys, seen_ms)

    def sealed_head(self, head: Head) -> tuple[Value, ...]:
        """Return the values of a row of `HEAD`."""
        packed = _HEAD.pack(head.digest.to_bytes(_DIGEST_BYTES, "big"), head.keys, head.seen_ms)
        return head.version, self._key.seal(packed, SCHEMA.bound("head", head.version))

    def kept_of(self, row: Row) -> Kept:
        """Open a row of `KEYS`; raises `StoreCorrupt`."""
        number, key_id, version, sealed = row
        said = self._key.open(sealed, SCHEMA.bound("keys", number, key_id, version), "keys")
        return SCHEMA.readable(lambda: _kept(number, key_id, version, json.loads(said)))

    def sealed_key(self, kept: Kept) -> bytes:
        """Return what is sealed of a row of `KEYS`."""
        bound = SCHEMA.bound("keys", kept.key.number, kept.key.key_id, kept.version)
        return self._key.seal(json.dumps(_said(kept), separators=(",", ":")).encode(), bound)


HEAD = "SELECT version, sealed FROM head WHERE head_no = 1"  # the columns of a head
KEYS = "SELECT key_no, key_id, version, sealed FROM keys"  # the columns of a key


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
