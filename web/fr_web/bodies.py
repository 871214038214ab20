"""Turns the bodies of requests into messages: JSON, forms and protobuf."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from fr_client.errors import FrApiError
from fr_web.backend import Call
from fr_web.misfits import UNREADABLE, expected, field_of, misfit
from fr_web.room import invalid

JSON, PROTO, FORM = "application/json", "application/proto", "multipart/form-data"

# Of a JSON text: reading each takes about 5 microseconds and some hundred bytes. The largest lists of the API are the
# 100,000 subjects of a filter.
_MOST_VALUES = 120_000
_MOST_DIGITS = 20  # of a whole number of 64 bits: the time of reading a longer one grows with their square
# What is longer is read apart, while other calls go on.
_LONG_BYTES, _MANY_VALUES = 32 * 1024, 1_000
_MOST_PARTS = 256
MOST_PART_HEAD = 8 * 1024
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))""", re.IGNORECASE)
_NAME = re.compile(
    rb"""^content-disposition:[ \t]*form-data[ \t]*;(?:[^\r\n]*?;)?[ \t]*name="([^"\r\n]*)"([^\r\n]*)""",
    re.IGNORECASE | re.MULTILINE,
)
_PATH = re.compile(r"\w{1,64}(?:\.\w{1,64}){0,15}")
_NUMBERS = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_ENUM)


def kind_of(content_type: str) -> str | None:
    """Return JSON, PROTO or FORM for a Content-Type; None for another, or for a text that is not UTF-8."""
    kind, _, rest = content_type.partition(";")
    kind = kind.strip().lower()
    charset = re.search(r"charset=\"?([\w-]*)", rest, re.IGNORECASE)
    if kind not in (JSON, PROTO, FORM) or (charset and charset[1].lower() not in ("utf-8", "utf8")):
        return None
    return kind


def is_long(body: bytes) -> bool:
    """Return whether a body, or an answer, takes long to read."""
    return len(body) > _LONG_BYTES or _values_in(body) > _MANY_VALUES


def encoded(call: Call, content_type: str, body: bytes) -> bytes:
    """Return the request of a JSON text or a form as gRPC sends it.

    Raises `FrApiError`, whose words repeat nothing of the body.
    """
    made = _of_form(call, content_type, body) if kind_of(content_type) == FORM else _of_json(call, body)
    return made.SerializeToString()


def from_query(call: Call, query: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the kind and the body that the query of a GET holds; raises `FrApiError`."""
    kind = {"json": JSON, "proto": PROTO}.get(query.get("encoding", ""))
    if kind is None or "message" not in query:
        raise invalid("The query needs encoding=json or encoding=proto, and message.")
    if query.get("compression", "identity") != "identity":
        raise invalid("The message of a query is not compressed here.")
    text = query["message"]
    if query.get("base64") != "1":
        return kind, text.encode("utf-8", "surrogateescape")
    try:
        return kind, urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except ValueError as error:
        raise invalid("The message of the query is not base64.") from error


def as_json(call: Call, answer: bytes) -> bytes:
    """Return an answer of gRPC in JSON."""
    message = call.response.FromString(answer)
    vectors = list(_taken_vectors(message))
    told = json_format.MessageToDict(message)
    for path, vector in vectors:
        into = told
        for step in path[:-1]:
            into = into[step]
        into[path[-1]] = vector
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _taken_vectors(message: Any) -> Iterator[tuple[list[Any], list[float]]]:
    """Take the vectors out of a message, with the place of each in its JSON.

    protobuf's own writer looks for the shortest text of each number, which takes longer than all the rest of an answer.
    """
    if not _holds_vectors(message.DESCRIPTOR):
        return
    for field, value in message.ListFields():
        if field.is_repeated and field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            yield [field.json_name], list(value)
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for number, one in enumerate(value if field.is_repeated else [value]):
                place = [field.json_name, number] if field.is_repeated else [field.json_name]
                yield from (([*place, *path], vector) for path, vector in _taken_vectors(one))


@cache
def _holds_vectors(message: Descriptor) -> bool:
    """Return whether a message, or one within it, has lists of 32-bit numbers; no message of the API holds itself."""
    return any(
        _holds_vectors(field.message_type)
        if field.message_type is not None
        else field.is_repeated and field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
        for field in message.fields
    )


def _of_json(call: Call, body: bytes) -> Message:
    _require_few_values(_values_in(body))
    if not body.strip():
        raise invalid("The body is empty: it cannot be read as JSON. A request without fields is {}.")
    try:
        told = _read(body.decode())
    except UnicodeDecodeError as error:
        raise invalid("The body is not text in UTF-8: it cannot be read as JSON.") from error
    except json.JSONDecodeError as error:
        words = f"The body is not JSON: it cannot be read from line {error.lineno}, column {error.colno}."
        raise invalid(words) from error
    except RecursionError as error:
        raise invalid("The body is nested too deeply: it cannot be read as JSON.") from error
    return _filled(call, told)


def _filled(call: Call, told: Any) -> Message:
    message = call.request()
    if not isinstance(told, dict):  # protobuf's own reader takes an empty list
        raise misfit(message.DESCRIPTOR, told)
    try:
        json_format.ParseDict(told, message)
    except UNREADABLE as error:
        raise misfit(message.DESCRIPTOR, told) from error
    return message


def _values_in(body: bytes) -> int:
    return sum(map(body.count, (b",", b"[", b"{")))


def _require_few_values(number: int) -> None:
    if number > _MOST_VALUES:
        raise invalid(f"The body has more than {_MOST_VALUES:,} values: it cannot be read as one request.")


def _read(text: str) -> Any:
    """Return the value of a JSON text.

    Raises `ValueError`, `RecursionError`, or `FrApiError` if an object has two members of one name.
    """
    return json.loads(text, object_pairs_hook=_once, parse_int=_number)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(members)
    if len(made) != len(members):
        raise invalid("An object in the request has two members of the same name: it cannot be read as JSON.")
    return made


def _number(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _of_form(call: Call, content_type: str, body: bytes) -> Message:
    """Return the message of a form: each part names a field, such as `probe.image.data`; a file gives its bytes."""
    texts: dict[str, Any] = {}
    files, values = [], 0
    for name, is_file, content in parts_of(content_type, body):
        if not _PATH.fullmatch(name):
            raise invalid("A part of the form has no name of a field, such as probe.image.data.")
        field = _field_at(call.request.DESCRIPTOR, name)
        named = re.sub(r"\.\d+", "", name) if field is not None else ""
        if field is not None and field.type == FieldDescriptor.TYPE_BYTES:
            files.append((name, content))
            continue
        if is_file:
            raise _misplaced(call, name, field, named)
        values += _values_in(content)
        _require_few_values(values)
        try:
            _put(texts, name.split("."), _value(field, content))
        except UnicodeDecodeError as error:
            raise invalid(f"The part {named} of the form is not text in UTF-8.".replace("  ", " "), named) from error
        except KeyError as error:
            raise invalid(f"Two parts of the form set the same field {named}".rstrip() + ".", named) from error
    message = _filled(call, _listed(texts))
    for name, content in files:
        _set_bytes(message, name.split("."), content)
    return message


def _misplaced(call: Call, name: str, field: FieldDescriptor | None, named: str) -> FrApiError:
    """Return the refusal of a file whose part does not name a field for bytes."""
    advice = "A file names a field for bytes, such as probe.image.data."
    if field is not None:
        words = f"The part {named} of the form is a file, and the field takes {expected(field)}. {advice}"
        return invalid(words, named)
    told: Any = []  # fits no field that a path without a field passes
    for step in reversed(name.split(".")):
        told = {step: told}
    found = misfit(call.request.DESCRIPTOR, told)
    return invalid(f"{found.message} {advice}", found.metadata.get("field", ""))


def parts_of(content_type: str, body: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """Yield name, whether it is a file, and content of each part of a form (RFC 7578); raises `FrApiError`."""
    pieces = (b"\r\n" + body).split(boundary_of(content_type), _MOST_PARTS + 2)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--") or len(pieces) > _MOST_PARTS + 2:
        raise invalid(f"The form is cut off, or it has more than {_MOST_PARTS} parts.")
    for piece in pieces[1:-1]:
        line, name, content = part_of(piece)
        yield name, b"filename" in line.lower(), content


def boundary_of(content_type: str) -> bytes:
    """Return the line that stands before each part of a form; raises `FrApiError`."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise invalid("The form has no boundary in its Content-Type.")
    return b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")


def part_of(piece: bytes) -> tuple[bytes, str, bytes]:
    """Return the line of a part's head that names it, the name, and the content; raises `FrApiError`."""
    head, end, content = piece.partition(b"\r\n\r\n")
    named = _NAME.search(head) if end and len(head) <= MOST_PART_HEAD else None
    if named is None:
        raise invalid("A part of the form has no name.")
    return named[0], named[1].decode("utf-8", "replace"), content


def _field_at(at: Any, name: str) -> FieldDescriptor | None:
    """Return the field that a path leads to; None if there is none, and within a map or a list of values."""
    field: FieldDescriptor | None = None
    for step in name.split("."):
        if step.isdecimal() and field is not None and field.is_repeated:
            continue
        field = None if at is None else field_of(at, step)
        if field is None or (field.message_type is not None and field.message_type.GetOptions().map_entry):
            return None
        at = field.message_type
    return field


def _value(field: FieldDescriptor | None, content: bytes) -> Any:
    """Return the value of a part: text for fields of text, and within maps; otherwise JSON, or text that is none.

    Raises `UnicodeDecodeError`.
    """
    text = content.decode()
    if field is None or field.cpp_type in _NUMBERS:
        return text
    try:
        return _read(text)
    except (ValueError, RecursionError):
        return text  # a time, for instance


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a value below a path; raises `KeyError` if another part set it."""
    for step in path[:-1]:
        into = into.setdefault(step, {})
        if not isinstance(into, dict):
            raise KeyError
    if path[-1] in into:
        raise KeyError
    into[path[-1]] = value


def _listed(value: Any) -> Any:
    """Make lists of the tables whose keys are 0, 1 and so on."""
    if not isinstance(value, dict):
        return value
    made = {key: _listed(one) for key, one in value.items()}
    return list(made.values()) if made and list(made) == [str(i) for i in range(len(made))] else made


def _set_bytes(message: Any, path: list[str], content: bytes) -> None:
    for at, step in enumerate(path):
        field: Any = field_of(message.DESCRIPTOR, step)
        if field.message_type is None:
            setattr(message, field.name, content)
            return
        if field.is_repeated:
            entries = getattr(message, field.name)
            number = path[at + 1] if at + 1 < len(path) else ""
            if not number.isdecimal() or int(number) > len(entries):
                raise invalid("The parts of a list in a form are numbered from 0, in order.")
            if int(number) == len(entries):
                entries.add()
            _set_bytes(entries[int(number)], path[at + 2 :], content)
            return
        message = getattr(message, field.name)
