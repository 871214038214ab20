"""How long the requests of each call may be: what they hold is read on the event loop, for which all others wait."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

MOST_BYTES = 256 * 1024
"""Of a request that holds neither a photo nor a vector."""

# Of those that hold long texts: a plan with the hashes of 10,000 photos, a calibration, checkpoints of years.
_TEXTS = {
    "/fr_api.v1.TrainingService/CheckPlan": 2 * 2**20,
    "/fr_api.v1.TrainingService/CreateCourse": 2 * 2**20,
    "/fr_api.v1.GalleryService/SetCalibration": 8 * 2**20,
    "/fr_api.v1.AuditService/VerifyAudit": 8 * 2**20,
}
MOST_FIELDS = 120_000
"""Of a request, with those of the messages in it: fields of two bytes take up to 70 bytes each when they are read. The
fullest request names the 100,000 subjects of a filter."""

# Of protobuf's encoding: https://protobuf.dev/programming-guides/encoding/
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LEAST_FIELD_BYTES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What the requests of a method may be.

    Attributes:
        message: of what type.
        stream: whether there may be more than one in a call.
        most_bytes: of one; None = as many as any message.
    """

    message: Descriptor
    stream: bool
    most_bytes: int | None

    def takes(self, encoded: bytes) -> bool:
        """Whether a request is short enough to be read."""
        if self.most_bytes is not None and len(encoded) > self.most_bytes:
            return False
        return len(encoded) < MOST_FIELDS * _LEAST_FIELD_BYTES or fields_left(encoded, self.message, MOST_FIELDS) >= 0


@cache
def request_of(method: str) -> Request:
    """Return what the requests of a method may be.

    Args:
        method: "/PACKAGE.SERVICE/METHOD" of this API.

    Raises:
        KeyError: there is none of that name.
    """
    service, _, name = method.removeprefix("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    most_bytes = None if _holds_data(found.input_type, frozenset()) else _TEXTS.get(method, MOST_BYTES)
    return Request(found.input_type, found.client_streaming, most_bytes)


def fields_left(encoded: bytes, message: Descriptor, most: int) -> int:
    """Return how many fields fewer than `most` an encoded message has; negative where it has more.

    What cannot be read is not counted: whoever reads the message refuses it.
    """
    left = most
    todo = [(0, len(encoded), message)]
    while todo and left >= 0:
        at, end, of = todo.pop()
        within = _messages_in(of)
        while at < end and left >= 0:
            left -= 1
            tag, at = _varint(encoded, at, end)
            kind = tag & 7
            if kind == _VARINT:
                _, at = _varint(encoded, at, end)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
            elif kind == _LENGTH:
                length, at = _varint(encoded, at, end)
                if (inner := within.get(tag >> 3)) is not None:
                    todo.append((at, min(at + length, end), inner))
                at += length
    return left


def _varint(encoded: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that stands at a place, and the place after it; the end where none does."""
    value = shift = 0
    while at < end:
        byte = encoded[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            break
    return 0, end


@cache
def _messages_in(message: Descriptor) -> dict[int, Descriptor]:
    return {field.number: field.message_type for field in message.fields if field.message_type is not None}


def _holds_data(message: Descriptor, above: frozenset[str]) -> bool:
    """Whether a message, or one within it, has a field of bytes or of many numbers."""
    if message.full_name in above:
        return False
    return any(
        field.type == FieldDescriptor.TYPE_BYTES
        or (field.is_repeated and field.type == FieldDescriptor.TYPE_FLOAT)
        or (field.message_type is not None and _holds_data(field.message_type, above | {message.full_name}))
        for field in message.fields
    )
