"""Who signs evidence: an Ed25519 key (RFC 8032)."""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fr_core.audit.checkpoints import key_id_of, public_pem
from fr_core.errors import KeyUnavailable


class EvidenceSigner(Protocol):
    """Signs the manifests of bundles."""

    @property
    def public_key(self) -> str:
        """The key that tells the signatures, as PEM (SubjectPublicKeyInfo, RFC 8410)."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature, 64 bytes."""


class Ed25519Signer:
    """Signs with a key that the process holds.

    Args:
        key: the private key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Ed25519Signer:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> Ed25519Signer:
        """Return the signer of a private key in PEM (PKCS #8), without a password.

        Raises:
            KeyUnavailable: it is no such key.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnavailable("The key that signs evidence is no Ed25519 key in PEM.")
        return cls(key)

    @property
    def public_key(self) -> str:
        """See `EvidenceSigner`."""
        return public_pem(self._key.public_key())

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits that tell keys apart."""
        return key_id_of(self._key.public_key())

    def sign(self, data: bytes) -> bytes:
        """See `EvidenceSigner`."""
        return self._key.sign(data)

    def private_pem(self) -> bytes:
        """Return the private key as PEM (PKCS #8), without a password; it is to be kept as a secret."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
