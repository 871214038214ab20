"""Page tokens: where a list goes on, bound to the call that gave it."""

import base64
import binascii
import hashlib

from fr_core.errors import InvalidPage, message
from fr_core.gallery.values import MAX_PAGE_SIZE

_CHECK_BYTES = 12


def require_page_size(page_size: int) -> None:
    """Raise `InvalidPage`, which names the field, unless 1 <= page_size <= MAX_PAGE_SIZE."""
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidPage(
            message("error.gallery.page_asked_allowed", page_size=page_size, most=MAX_PAGE_SIZE),
            field="page_size",
            limit=str(MAX_PAGE_SIZE),
        )


def page_token(call: str, last: str) -> str:
    """Return the token of the page after the item `last` of a call.

    The checksum tells a token that was cut, changed or taken from another call. It is no secret and need not be one: a
    token that somebody composes leads nowhere that the call itself would not.

    `call`: names the list and, by its number, the gallery; `last`: id of the last item of the page before.
    """
    payload = last.encode()
    return base64.urlsafe_b64encode(_check(call, payload) + payload).decode().rstrip("=")


def last_of(call: str, token: str) -> str:
    """Return the id after which the page of a token begins; "" for the empty token of the first page.

    Raises `InvalidPage`: the call did not give this token.
    """
    if not token:
        return ""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        last = raw[_CHECK_BYTES:].decode()
    except (binascii.Error, ValueError):
        raise InvalidPage(message("error.gallery.page_token_cannot_read")) from None
    if not last or page_token(call, last) != token:
        raise InvalidPage(message("error.rpc.page_token_not_call"))
    return last


def _check(call: str, payload: bytes) -> bytes:
    return hashlib.blake2s(call.encode() + b"\0" + payload, digest_size=_CHECK_BYTES, person=b"fr-page").digest()
