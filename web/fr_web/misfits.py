"""Says which field of a JSON request does not fit, by names of the API."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from fr_client.errors import FrApiError
from fr_web.room import invalid

# Some values of other types pass the checks of protobuf's own reader, and fail in it.
UNREADABLE = (json_format.ParseError, ValueError, TypeError, OverflowError, RecursionError)

# What is no plain name of a program may be the data of a person.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TIMES = {
    "google.protobuf.Timestamp": 'a time such as "2026-01-31T12:00:00Z"',
    "google.protobuf.Duration": 'a duration such as "3600s"',
    "google.protobuf.FieldMask": 'names of fields such as "name,retention"',
}
_WHOLE = "a whole number"
_TYPES = {
    FieldDescriptor.CPPTYPE_INT32: f"{_WHOLE} of 32 bits",
    FieldDescriptor.CPPTYPE_INT64: f"{_WHOLE} of 64 bits",
    FieldDescriptor.CPPTYPE_UINT32: f"{_WHOLE} from 0, of 32 bits",
    FieldDescriptor.CPPTYPE_UINT64: f"{_WHOLE} from 0, of 64 bits",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: "a text",
}


def misfit(root: Any, told: Any) -> FrApiError:
    """Return the refusal of a value that is not the JSON of a message.

    Of the value, it repeats only names of the API, and the name of an unknown field if that is a plain identifier.
    """
    place, words = next(_misfits(root, told, ""), ("", f"The request does not fit {root.full_name}."))
    return invalid(f"{words} /openapi.json has all fields and their types.", place)


def field_of(at: Descriptor, name: str) -> FieldDescriptor | None:
    """Return the field with a name, in the form of the .proto files or that of JSON."""
    return at.fields_by_name.get(name) or at.fields_by_camelcase_name.get(name)


def expected(field: FieldDescriptor) -> str:
    """Return the type of the JSON that a field takes, in words."""
    if field.message_type is not None and _is_map(field):
        return f"a JSON object, and each of its values is {expected(field.message_type.fields_by_name['value'])}"
    one = _expected_one(field)
    return f"a list, and each of its entries is {one}" if field.is_repeated else one


def _expected_one(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return _TIMES.get(field.message_type.full_name, "a JSON object")
    if field.enum_type is not None:
        return "one of " + ", ".join(value.name for value in field.enum_type.values)
    return "bytes in base64" if field.type == FieldDescriptor.TYPE_BYTES else _TYPES[field.cpp_type]


def _misfits(at: Descriptor, told: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield place and description of what does not fit, down to the fields; no message of the API holds itself."""
    if not isinstance(told, dict):
        yield place, f"The field {place} takes a JSON object." if place else "The request is not a JSON object."
        return
    before: dict[str, str] = {}
    for name, value in told.items():
        field = field_of(at, name)
        if field is None:
            yield place, _unknown(at, name, place)
            continue
        path = f"{place}.{field.json_name}" if place else field.json_name
        one_of = field.containing_oneof
        other = before.setdefault(field.name if one_of is None else one_of.name, name)
        if other != name:
            yield path, f"The request sets {name} and {other}: only one of them may be set."
        elif value is not None:
            yield from _misfits_of_value(at, field, value, path)


def _misfits_of_value(at: Descriptor, field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, str]]:
    inner = field.message_type
    plain = inner is None or _is_map(field) or inner.full_name in _TIMES
    if inner is not None and not plain and isinstance(value, list) == field.is_repeated:
        for one in value if field.is_repeated else [value]:
            yield from _misfits(inner, one, path)
    elif not plain or not _fits(at, field, value):
        yield path, f"The value of {path} does not fit: the field takes {expected(field)}."


def _fits(at: Descriptor, field: FieldDescriptor, value: Any) -> bool:
    try:
        json_format.ParseDict({field.json_name: value}, GetMessageClass(at)())
    except UNREADABLE:
        return False
    return True


def _unknown(at: Descriptor, name: str, place: str) -> str:
    within = f" of the field {place}" if place else ""
    if not _PLAIN.fullmatch(name):
        return f"The request names a field that {at.full_name}{within} does not have."
    close = get_close_matches(name, [field.json_name for field in at.fields], 1)
    return f"{at.full_name}{within} has no field {name}." + (f" Is {close[0]} meant?" if close else "")


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
