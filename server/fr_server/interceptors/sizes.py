"""How long the requests of each call may be: what they hold is read on the event loop, for which all others wait."""

from __future__ import annotations

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


@cache
def most_bytes(method: str) -> int | None:
    """Return how many bytes a request of a method may have; None = as many as any message.

    Args:
        method: "/PACKAGE.SERVICE/METHOD" of this API.

    Raises:
        KeyError: there is none of that name.
    """
    service, _, name = method.removeprefix("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    if _holds_data(found.input_type, frozenset()):
        return None
    return _TEXTS.get(method, MOST_BYTES)


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
