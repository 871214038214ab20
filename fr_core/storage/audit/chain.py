"""The hash chain: each hash includes the one before, so that a change of a record changes all that follow.

hash_0 = SHA-256(chain_id), hash_n = SHA-256("fr-core audit 1" NUL chain_id hash_{n-1} SHA-256(body_n)); SHA-256 of
FIPS 180-4. All parts have fixed lengths, so that no two rows of parts give the same bytes. The construction is that of
Schneier and Kelsey, "Secure Audit Logs to Support Computer Forensics", 1999, 3.3, without its evolving key. As there,
a record stands in the chain by its hash, so that somebody who may not read every record can check the chain.
"""

import re
import secrets
from hashlib import sha256

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
