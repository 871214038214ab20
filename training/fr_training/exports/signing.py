"""Signs credentials: JSON Web Signatures in compact form, RS256 alone (RFC 7515, RFC 7518).

Check a credential like this, with the key of the server that is believed to have made it:

    credential = verify(jwt, jwk)  # ValueError where the signature is not of that key

A key that comes in the header of the text itself proves nothing about who made it; `verify` does not look at it.

The id of a key is the key itself, by the method `did:key` of the W3C's community group: it is "did:key:z" and, in
base58 of Bitcoin's alphabet, the multicodec `rsa-pub` (0x1205, as a varint) before the key in DER of PKCS #1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_RSA_PUB: Final = bytes((0x85, 0x24))  # 0x1205 as an unsigned varint, seven bits a byte, the low ones first
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


ALGORITHM: Final = "RS256"
KEY_BITS: Final = 2048  # of a new key, and the least of any: RFC 7518, section 3.3, wants no shorter one for RS256

_EXPONENT: Final = 65537
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key that signs; its secret part shows in no text of it.

    Raises:
        ValueError: it is shorter.
    """

    private: rsa.RSAPrivateKey = field(repr=False)  # of 2048 bits or more

    def __post_init__(self) -> None:
        if self.private.key_size < KEY_BITS:
            raise ValueError(f"a signing key has {KEY_BITS} bits or more")

    @classmethod
    def load(cls, pem: bytes) -> SigningKey:
        """The key that `new_signing_key` wrote; ValueError for anything but an RSA key in PEM without a password."""
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
            raise ValueError("a signing key is an RSA key in PEM without a password") from None
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError("a signing key is an RSA key in PEM without a password")
        return cls(private)

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key (RFC 7517), with its thumbprint as `kid`; nothing in it is secret."""
        numbers = self.private.public_key().public_numbers()
        needed = {"kty": "RSA", "n": _encode(_bytes(numbers.n)), "e": _encode(_bytes(numbers.e))}
        return {**needed, "alg": ALGORITHM, "use": "sig", "kid": thumbprint(needed)}

    @property
    def did(self) -> str:
        """The public key as a `did:key`, an id that is the key itself; see `fr_training.exports.signing`."""
        return did_of(self.public_jwk)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign claims as a JSON Web Token: header, claims and signature in base64url, joined by dots.

        The same claims give the same text (RSASSA-PKCS1-v1_5 draws nothing). The header holds the public key as `jwk`.
        A number that is not finite is a ValueError.
        """
        header = {"alg": ALGORITHM, "typ": "JWT", "jwk": self.public_jwk}
        signed = f"{_encode(_json(header))}.{_encode(_json(claims))}"
        return f"{signed}.{_encode(self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def new_signing_key() -> bytes:
    """Draw an RSA key of 2048 bits from the system's randomness, as PKCS #8 in PEM for `SigningKey.load`.

    It is not encrypted: keep it where nobody else can read it.
    """
    private = rsa.generate_private_key(public_exponent=_EXPONENT, key_size=KEY_BITS)
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The SHA-256 thumbprint of an RSA key in base64url, 43 characters (RFC 7638); of the needed members alone."""
    return _encode(hashlib.sha256(_json({name: jwk[name] for name in ("e", "kty", "n")})).digest())


def did_of(jwk: Mapping[str, str]) -> str:
    """The `did:key` of a public key, "did:key:z4MX..." for 2048 bits; ValueError for a shorter one, or no RSA key."""
    der = _public_key(jwk).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    whole, digits = int.from_bytes(_RSA_PUB + der), ""
    while whole:
        whole, digit = divmod(whole, len(_BASE58))
        digits = _BASE58[digit] + digits
    return f"did:key:z{digits}"


def verify(jwt: str, jwk: Mapping[str, str]) -> dict[str, Any]:
    """Check the signature of a text that `SigningKey.sign` made, and return the claims; their times are not looked at.

    Each character counts, also those whose last bits base64 does not use. The key is a trusted `SigningKey.public_jwk`;
    a key in the text itself is not looked at.

    Raises:
        ValueError: the signature is not that of the key, or the text is no signed token of RS256.
    """
    key = _public_key(jwk)
    parts = jwt.split(".")
    if len(parts) != 3:
        raise ValueError("a signed token has three parts")
    header, claims, signature = (_decode(part) for part in parts)
    try:
        key.verify(signature, f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ValueError("the signature is not that of the key") from None
    if _object(header).get("alg") != ALGORITHM:
        raise ValueError(f"a signed token is of {ALGORITHM}")
    return _object(claims)


def _public_key(jwk: Mapping[str, str]) -> rsa.RSAPublicKey:
    if jwk.get("kty") != "RSA" or "n" not in jwk or "e" not in jwk:
        raise ValueError("the key is no RSA key")
    numbers = rsa.RSAPublicNumbers(*(int.from_bytes(_decode(jwk[name])) for name in ("e", "n")))
    if numbers.n.bit_length() < KEY_BITS:
        raise ValueError(f"a signing key has {KEY_BITS} bits or more")
    return numbers.public_key()


def _bytes(whole: int) -> bytes:
    """Big-endian without leading zeros, as RFC 7518 has it."""
    return whole.to_bytes((whole.bit_length() + 7) // 8)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _object(text: bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("a part of a signed token is no JSON object")
    return found


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Bytes of base64url without padding; a text that `_encode` would write otherwise is refused."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError("a part of a signed token is no base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("a part of a signed token is no base64url") from None
    if _encode(data) != text:  # the bits that the last character does not use are not 0
        raise ValueError("a part of a signed token is no base64url")
    return data
