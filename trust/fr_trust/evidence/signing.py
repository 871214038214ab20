"""Signs evidence with an Ed25519 key (RFC 8032)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_core.storage.audit.checkpoints import public_pem


class EvidenceSigner:
    """Signs the manifests of bundles with a key that the process holds.

    Args:
        key: the private key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> str:
        """The key that tells the signatures, as PEM (SubjectPublicKeyInfo, RFC 8410)."""
        return public_pem(self._key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(data)
