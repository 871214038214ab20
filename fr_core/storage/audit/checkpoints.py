"""Checkpoints: how far a chain was at a moment, signed, to be kept where nobody who runs the server can change it.

A checkpoint is canonical JSON of v, chain_id, seq, hash, at_ms, key_id and signature; the signature is Ed25519 (RFC
8032) over the canonical JSON of the others, in base64url (RFC 4648) without padding.
"""

import base64
import json
import re
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from fr_core.errors import InvalidField, message
from fr_core.storage.audit.chain import is_chain_id
from fr_core.storage.audit.values import MAX_NUMBER, VERSION, canonical

MAX_CHECKPOINT_BYTES = 1_024

_HASH = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
# 64 bytes in base64url.
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{86}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of a chain at a moment. Raises `ValueError`: a field is not that."""

    chain_id: str
    seq: int  # number of the last record; 0 where there was none
    hash: str  # of that record, 64 hexadecimal digits
    at_ms: int  # when it was made, milliseconds since 1970, UTC
    key_id: str  # of the key that signed, 16 hexadecimal digits
    signature: str  # 86 characters of base64url

    def __post_init__(self) -> None:
        numbers = all(type(number) is int and 0 <= number <= MAX_NUMBER for number in (self.seq, self.at_ms))
        texts: tuple[tuple[object, re.Pattern[str]], ...] = (
            (self.hash, _HASH),
            (self.key_id, _KEY_ID),
            (self.signature, _SIGNATURE),
        )
        fit = all(isinstance(text, str) and pattern.fullmatch(text) is not None for text, pattern in texts)
        if not numbers or not fit or not is_chain_id(self.chain_id):
            raise ValueError("a checkpoint says what none can")

    def to_json(self) -> bytes:
        """Return its canonical JSON."""
        return canonical({"v": VERSION, **asdict(self)})

    def signed(self) -> bytes:
        """Return what its signature is of: its canonical JSON without it."""
        said = {"v": VERSION, **asdict(self)}
        del said["signature"]
        return canonical(said)

    def is_signed_by(self, public_key: Ed25519PublicKey) -> bool:
        """Return whether this key signed the checkpoint."""
        try:
            public_key.verify(base64.urlsafe_b64decode(f"{self.signature}=="), self.signed())
        except InvalidSignature:
            return False
        return True


def make_checkpoint(chain_id: str, seq: int, hash_: bytes, at_ms: int, signing_key: bytes) -> Checkpoint:
    """Sign how far a chain is.

    Args:
        chain_id: of the chain.
        seq: number of its last record; 0 for none.
        hash_: of that record, 32 bytes.
        at_ms: the time, milliseconds since 1970, UTC.
        signing_key: Ed25519, 32 bytes.
    """
    key = Ed25519PrivateKey.from_private_bytes(signing_key)
    unsigned = Checkpoint(chain_id, seq, hash_.hex(), at_ms, key_id_of(key.public_key()), "A" * 86)
    signature = base64.urlsafe_b64encode(key.sign(unsigned.signed())).decode()[:-2]
    return replace(unsigned, signature=signature)


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Return the checkpoint of its canonical JSON, its signature unchecked; raises `InvalidField` for other bytes."""
    try:
        if len(data) > MAX_CHECKPOINT_BYTES:
            raise ValueError("a checkpoint is too long")
        said: dict[str, Any] = json.loads(data.decode())
        del said["v"]
        checkpoint = Checkpoint(**said)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _unreadable() from None
    # Of base64url that says the same, too, one form alone is a checkpoint's.
    raw = base64.urlsafe_b64decode(f"{checkpoint.signature}==")
    if checkpoint.to_json() != data or base64.urlsafe_b64encode(raw).decode()[:-2] != checkpoint.signature:
        raise _unreadable()
    return checkpoint


def public_pem(public_key: Ed25519PublicKey) -> str:
    """Return a public key as PEM (SubjectPublicKeyInfo, RFC 8410)."""
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def read_public_key(pem: str) -> Ed25519PublicKey:
    """Return the key of PEM; raises `InvalidField` where that is none, or of another kind."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidField(message("error.storage.public_key_no_ed25519"), field="public_key")
    return key


def key_id_of(public_key: Ed25519PublicKey) -> str:
    """Return 16 hexadecimal digits that tell keys apart: of the SHA-256 of the key's 32 bytes."""
    return sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def _unreadable() -> InvalidField:
    return InvalidField(message("error.storage.checkpoint_cannot_read"), field="checkpoint")
