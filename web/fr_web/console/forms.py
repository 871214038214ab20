"""Reads a posted form into a dataclass: each field is a text, a number, a choice, a checkbox or a file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints
from urllib.parse import parse_qsl

from google.protobuf.duration_pb2 import Duration

from fr_locales.messages import message
from fr_web.bodies import FORM, MOST_PART_HEAD, boundary_of, part_of, parts_of
from fr_web.room import Receive, Share, invalid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    FormT = TypeVar("FormT", bound=DataclassInstance)

_URLENCODED = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000
_LARGEST_PIECE = 256 * 1024  # bytes of a body that come at once
_WHOLE = re.compile(r"-?[0-9]{1,9}")
# A browser sends a line break as two characters. Other control characters are nothing that a person types.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# A name of a file is without folders, which some browsers tell; a quotation mark comes as in an address.
_FILE_NAME = re.compile(rb'(?:^|[;\s])filename="([^"\r\n]*)"', re.IGNORECASE)

Fields = Mapping[str, "list[bytes]"]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of a form that is read piece by piece: a field has no `file`; nothing is kept of too large a file."""

    name: str
    file: str | None
    content: bytes
    is_too_large: bool = False


async def parts_as_they_come(content_type: str, share: Share, receive: Receive) -> AsyncIterator[Part]:
    """Yield the parts of a form one by one, and hold only one; raises `FrApiError`, and `ClientGone`.

    A part that the room cannot hold comes without its content.
    """
    mark, most = boundary_of(content_type), share.room.most_bytes - _LARGEST_PIECE
    held, searched, is_too_large, first = bytearray(), 0, False, True
    async for piece in share.pieces(receive):
        held += piece
        while (at := held.find(sought := mark[2:] if first else mark, max(searched - len(mark), 0))) >= 0:
            if not first:
                yield _part(bytes(held[:at]), is_too_large)
            share.room.free(share, at + len(sought))
            del held[: at + len(sought)]
            searched, is_too_large, first = 0, False, False
        if len(held) > most:
            is_too_large = True
            share.room.free(share, len(held) - len(mark) - MOST_PART_HEAD)
            del held[MOST_PART_HEAD : len(held) - len(mark)]
        searched = len(held)
    if first or not held.startswith(b"--"):
        raise invalid(message("web.form_cut_off"))


def _part(piece: bytes, is_too_large: bool) -> Part:
    line, name, content = part_of(piece[: MOST_PART_HEAD + 4] if is_too_large else piece)
    named = _FILE_NAME.search(line)
    if named is None:
        return Part(name, None, content, is_too_large)
    file = named[1].decode("utf-8", "replace").replace("%22", '"')
    return Part(name, _CONTROL.sub("", re.split(r"[/\\]", file)[-1]), b"" if is_too_large else content, is_too_large)


def fields_of(content_type: str, body: bytes) -> Fields:
    """Return the values of each field of a posted form; raises `FrApiError` if it cannot be read."""
    kind = content_type.partition(";")[0].strip().lower()
    found: dict[str, list[bytes]] = {}
    if kind == FORM:
        for name, _, content in parts_of(content_type, body):
            found.setdefault(name, []).append(content)
    elif kind == _URLENCODED:
        try:
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise invalid(message("web.form_fields", most=_MOST_FIELDS)) from error
        for name_bytes, value in pairs:
            found.setdefault(name_bytes.decode("utf-8", "replace"), []).append(value)
    else:
        raise invalid(message("web.form_kind"))
    return found


def text_of(fields: Fields, name: str) -> str:
    """Return a field of one line or several, without spaces at its ends; "" if it is absent."""
    values = fields.get(name, [])
    try:
        text = values[0].decode().replace("\r\n", "\n").strip() if values else ""
    except UnicodeDecodeError as error:
        raise invalid(message("web.form_no_text"), name) from error
    if _CONTROL.search(text):
        raise invalid(message("web.form_character"), name)
    return text


def read(kind: type[FormT], fields: Fields) -> FormT:
    """Return the form of a class; raises `FrApiError` (INVALID_FIELD) for a field that does not fit.

    The types of fields: str, int (an empty one has the default), bool (of a checkbox), bytes (of a file), and
    dict[str, int] (of fields "NAME.KEY"). A field without a default has to be filled in.
    """
    hints = get_type_hints(kind)
    values = {field.name: _value(fields, field, hints[field.name]) for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in values.items() if value is not dataclasses.MISSING})


def _value(fields: Fields, field: dataclasses.Field[Any], kind: Any) -> Any:
    if kind is bool:
        return field.name in fields
    if kind is bytes:
        return _filled(field, next((one for one in fields.get(field.name, []) if one), b""))
    if kind is int:
        text = _filled(field, text_of(fields, field.name))
        return _number(field.name, text) if isinstance(text, str) else text
    if kind is str:
        return _filled(field, text_of(fields, field.name))
    beginning = f"{field.name}."
    named = {name.removeprefix(beginning): name for name in fields if name.startswith(beginning)}
    return {key: _number(field.name, text_of(fields, name)) for key, name in named.items()}


def _filled(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return a value; for an empty one, MISSING, so that the default counts, or a refusal if there is none."""
    if value:
        return value
    if field.default is dataclasses.MISSING:
        raise invalid(message("web.form_empty"), field.name)
    return dataclasses.MISSING


def _number(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise invalid(message("web.form_whole_number"), name)
    return int(text)


def duration_of(days: int, most: int = 36_500) -> Duration | None:
    """Return a duration of days, `most` at most; None for 0, which is no limit. The server refuses fewer."""
    return Duration(seconds=min(days, most) * 86_400) if days else None
