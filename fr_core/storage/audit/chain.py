"""The rows of the audit, and their hash chain: each hash includes the one before, so that a change shows in all later.

hash_0 = SHA-256(chain_id), hash_n = SHA-256("fr-core audit 1" NUL chain_id hash_{n-1} SHA-256(body_n)); SHA-256 of
FIPS 180-4. All parts have fixed lengths, so that no two rows of parts give the same bytes. The construction is that of
Schneier and Kelsey, "Secure Audit Logs to Support Computer Forensics", 1999, 3.3, without its evolving key. As there,
a record stands in the chain by its hash, so that somebody who may not read every record can check the chain.
"""

import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from fr_core.storage.audit.values import Record
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as it is kept: its canonical bytes, and the hash of the chain up to it, 32 bytes."""

    record: Record
    body: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    chain_id: str
    seq: int  # number of the last record; 0 for none
    at_ms: int  # time of the last record, milliseconds since 1970, UTC; 0 for none
    hash: bytes  # of the last record, 32 bytes
    sealed_signing_key: bytes = field(repr=False)  # Ed25519
    public_key: bytes  # of the signing key, 32 bytes
    sealed_pseudonym_key: bytes = field(repr=False)  # of the chain's pseudonyms

    @property
    def columns(self) -> tuple[Value, ...]:
        """All of it, in the order of the table."""
        chain = (self.chain_id, self.seq, self.at_ms, self.hash)
        return (*chain, self.sealed_signing_key, self.public_key, self.sealed_pseudonym_key)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Says how far the chain is pruned: which old records at its beginning were deleted."""

    upto: int  # number of the last deleted record; 0 for none
    hash: bytes  # of that record, 32 bytes; hash_0 of the chain for none
    record: int  # number of the record `audit.prune` about it; 0 for none


def is_whole(row: Row) -> bool:
    """Return whether body, hash and MAC of a row have the type of their columns, which SQLite does not check."""
    return type(row[1]) is bytes and type(row[2]) is bytes and type(row[3]) is bytes


_LAYOUT = b"fr-core audit 1\0"
_CHAIN_ID = re.compile(r"[0-9a-f]{32}")


def new_chain_id() -> str:
    """Return 32 random hexadecimal digits, which tell a chain from every other."""
    return secrets.token_hex(16)


def is_chain_id(text: object) -> bool:
    """Return whether a chain can have this id."""
    return isinstance(text, str) and _CHAIN_ID.fullmatch(text) is not None


def first_hash(chain_id: str) -> bytes:
    """Return hash_0, 32 bytes."""
    return sha256(chain_id.encode()).digest()


def next_hash(chain_id: str, previous: bytes, body: bytes) -> bytes:
    """Return the hash of a record, 32 bytes, from that of the record before and its canonical bytes."""
    return hash_after(chain_id, previous, sha256(body).digest())


def hash_after(chain_id: str, previous: bytes, body_sha256: bytes) -> bytes:
    """Return the hash of a record of which only the SHA-256 of its canonical bytes is known, 32 bytes."""
    return sha256(b"".join((_LAYOUT, chain_id.encode(), previous, body_sha256))).digest()
