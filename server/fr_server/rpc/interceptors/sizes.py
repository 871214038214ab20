"""Limits the requests of each call: they are parsed on the event loop, and all other calls wait for it."""

from dataclasses import dataclass
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

MOST_BYTES = 256 * 1024  # of a request that holds neither a photo nor a vector

# Of those that hold long texts: a plan with the hashes of 10,000 photos, a calibration, 27,000 checkpoints. A server
# writes 35,040 in a year: `fr audit verify` sends them in several requests.
_TEXTS = {
    "/fr_api.v1.TrainingService/CheckPlan": 2 * 2**20,
    "/fr_api.v1.TrainingService/CreateCourse": 2 * 2**20,
    "/fr_api.v1.GalleryService/SetCalibration": 8 * 2**20,
    "/fr_api.v1.AuditService/VerifyAudit": 8 * 2**20,
}
MOST_FIELDS = 2_000
"""Of a request, with those of the messages in it: fields of two bytes take up to 70 bytes each when they are read."""

# Of those that hold lists: the 100,000 subjects of a filter; 1,000 subjects with their metadata.
_LISTS = {"SubjectFilter": 120_000, "EmbeddingSubject": 60_000}
# A field that the API does not have counts for so many: a client that is newer than the server sends a few.
_UNKNOWN = 20

# Of protobuf's encoding: https://protobuf.dev/programming-guides/encoding/
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """The limits on the requests of a method."""

    message: Descriptor
    stream: bool  # whether there may be more than one in a call
    most_bytes: int | None  # of one; None = as many as any message
    most_fields: int | None  # of one; None = as many as go into so many bytes

    def takes(self, encoded: bytes) -> bool:
        """Return whether a request is short enough to be read."""
        if self.most_bytes is not None and len(encoded) > self.most_bytes:
            return False
        return self.most_fields is None or fields_left(encoded, self.message, self.most_fields) >= 0


@cache
def request_of(method: str) -> Request:
    """Return what the requests of a method "/PACKAGE.SERVICE/METHOD" of this API may be; raises `KeyError`."""
    service, _, name = method.removeprefix("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    kinds = {message.name for message in _all_of(found.input_type)}
    if not any(_holds_data(message) for message in _all_of(found.input_type)):
        texts = _TEXTS.get(method)
        most_fields = None if texts is None else max(_LISTS.values())
        return Request(found.input_type, found.client_streaming, texts or MOST_BYTES, most_fields)
    most_fields = max((most for name, most in _LISTS.items() if name in kinds), default=MOST_FIELDS)
    return Request(found.input_type, found.client_streaming, None, most_fields)


def fields_left(encoded: bytes, message: Descriptor, most: int) -> int:
    """Return how many fields fewer than `most` an encoded message has; negative where it has more, or as if it had.

    It takes a quarter of a microsecond for each. What is written longer than any client writes it is taken for too
    much, and what cannot be read is not counted: the reader of the message refuses it.
    """
    left = most
    todo = [(0, len(encoded), message)]
    while todo:
        at, end, of = todo.pop()
        fields = _fields_of(of)
        while at < end:
            left -= 1
            if left < 0:
                return left
            tag = encoded[at]
            at += 1
            if tag > 127 and at < end:
                tag += (encoded[at] - 1) << 7
                at += 1
                if tag > 0x3FFF:
                    return -1
            kind, number = tag & 7, tag >> 3
            if number not in fields:
                left -= _UNKNOWN
            if kind == _LENGTH:
                length, at = _varint(encoded, at, end)
                if (inner := fields.get(number)) is not None:
                    todo.append((at, min(at + length, end), inner))
                at += length
            elif kind == _VARINT:
                _, at = _varint(encoded, at, end)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
    return left


def _varint(encoded: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that stands at a place, and the place after it; the end where none does."""
    value = shift = 0
    while at < end:
        byte = encoded[at]
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
        if shift > 63:
            break
    return 0, end


@cache
def _fields_of(message: Descriptor) -> dict[int, Descriptor | None]:
    """The fields of a message by their numbers, with the message that each holds, if it does."""
    return {field.number: field.message_type for field in message.fields}


def _all_of(message: Descriptor) -> tuple[Descriptor, ...]:
    found = {message.full_name: message}
    todo = [message]
    while todo:
        for field in todo.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in found:
                found[inner.full_name] = inner
                todo.append(inner)
    return tuple(found.values())


def _holds_data(message: Descriptor) -> bool:
    return any(
        field.type == FieldDescriptor.TYPE_BYTES or (field.is_repeated and field.type == FieldDescriptor.TYPE_FLOAT)
        for field in message.fields
    )
