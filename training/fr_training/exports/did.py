"""An RSA key as a decentralised identifier that is the key itself: the method `did:key` of the W3C's community group.

The id is "did:key:z" and, in base58 of Bitcoin's alphabet, the multicodec `rsa-pub` (0x1205, as a varint) before the
key in DER of PKCS #1.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_RSA_PUB: Final = bytes((0x85, 0x24))  # 0x1205 as an unsigned varint, seven bits a byte, the low ones first
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def did_key(key: rsa.RSAPublicKey) -> str:
    """The id of a public key; it begins with "did:key:z4MX" where the key has 2048 bits."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return f"did:key:z{base58(_RSA_PUB + der)}"


def base58(data: bytes) -> str:
    """Bytes in base58 of Bitcoin's alphabet; each zero byte in front is a "1"."""
    whole, digits = int.from_bytes(data), ""
    while whole:
        whole, digit = divmod(whole, len(_BASE58))
        digits = _BASE58[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits
