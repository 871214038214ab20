"""What the audit asks of the keys of the store that it lies in: a MAC, and the sealing of two small secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fr_core.errors import StoreCorrupt

Value = int | str | bytes

_NONCE_BYTES = 12


class AuditKeys(Protocol):
    """The keys of an open store."""

    def mac(self, purpose: str, values: Sequence[Value], /) -> bytes:
        """Authenticate values: 16 bytes that nobody without the key can make, others for another purpose."""

    def seal(self, purpose: str, secret: bytes, /) -> bytes:
        """Encrypt a secret, bound to its purpose."""

    def open(self, purpose: str, sealed: bytes, /) -> bytes:
        """Decrypt what `seal` returned for the same purpose; raises `StoreCorrupt` for all else."""


class MacKeys:
    """The keys of a store that offers a MAC alone.

    The key that seals is derived from it: two blocks of 16 bytes, a key derivation in counter mode (NIST SP 800-108).
    It stays the same under another key-encryption key, so that a rotation has nothing of the audit to write.

    Args:
        mac: authenticates values under the store's own key, of 128 bits and a pseudorandom function, as keyed BLAKE2b
            is.
    """

    def __init__(self, mac: Callable[[str, Sequence[Value]], bytes]) -> None:
        self.mac = mac
        self._cipher = AESGCM(mac("audit seal", (1,)) + mac("audit seal", (2,)))

    def seal(self, purpose: str, secret: bytes) -> bytes:
        """See `AuditKeys`; returns nonce, ciphertext and tag (AES-256-GCM)."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """See `AuditKeys`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError):
            raise StoreCorrupt("A key of the audit was altered.", check="audit_key") from None
