"""The first bytes of an HTTP/2 client: the preface, and its SETTINGS frame (RFC 9113, sections 3.4, 4.1 and 6.5)."""

from __future__ import annotations

from enum import Enum, auto

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9
_SETTINGS = 4
# A setting has six bytes. Clients send fewer than ten; what is longer is no greeting.
_MAX_PAYLOAD_BYTES = 6 * 64


class Greeting(Enum):
    """What the first bytes of a client are."""

    WHOLE = auto()
    UNFINISHED = auto()
    WRONG = auto()


def greeting(first: bytes) -> Greeting:
    """Tell whether a client has greeted.

    Args:
        first: what it has sent so far; more may follow the greeting.
    """
    if first[: len(PREFACE)] != PREFACE[: len(first)]:
        return Greeting.WRONG
    header = first[len(PREFACE) : len(PREFACE) + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES:
        return Greeting.UNFINISHED
    length = int.from_bytes(header[:3], "big")
    kind, flags, stream = header[3], header[4], int.from_bytes(header[5:], "big")
    if kind != _SETTINGS or flags & 1 or stream != 0 or length % 6 or length > _MAX_PAYLOAD_BYTES:
        return Greeting.WRONG
    whole = len(first) >= len(PREFACE) + _HEADER_BYTES + length
    return Greeting.WHOLE if whole else Greeting.UNFINISHED
