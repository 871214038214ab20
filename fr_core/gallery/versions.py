"""Makes and reads version tokens: a caller has seen a version of a gallery, and a later call must see no older one."""

import base64
import binascii
import hashlib
import struct

from fr_core.errors import InvalidField, message

_CHECK_BYTES = 12
_VERSION = struct.Struct("<qq")


def version_token(gallery_no: int, version: int) -> str:
    """Return the token of a version of the gallery of a number.

    The checksum detects a token that was cut or changed. It is no secret and need not be: a forged token only makes the
    forger's own calls wait.
    """
    payload = _VERSION.pack(gallery_no, version)
    return base64.urlsafe_b64encode(_check(payload) + payload).decode().rstrip("=")


def version_of(token: str) -> tuple[int, int]:
    """Return the number of the gallery and the version of a token.

    Raises `InvalidField`: no server has given this token.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        gallery_no, version = _VERSION.unpack(raw[_CHECK_BYTES:])
    except (binascii.Error, ValueError, struct.error):
        raise _invalid() from None
    if version_token(gallery_no, version) != token:
        raise _invalid()
    return gallery_no, version


def _check(payload: bytes) -> bytes:
    return hashlib.blake2s(payload, digest_size=_CHECK_BYTES, person=b"fr-vers").digest()


def _invalid() -> InvalidField:
    return InvalidField(message("error.gallery.version_token"), field="at_least")
