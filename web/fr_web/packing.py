"""Writes values of pages as JSON and reads them again: plain values, and classes that are marked as `shared`."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeVar

from fr_locales.messages import Audience, Message

T = TypeVar("T", bound=type)

STAYS = {"stays": True}
"""Metadata of a field of a `shared` dataclass that stays in its process; it has a default."""

_shared: dict[str, type] = {}


class Unreadable(Exception):
    """A value that this version of FR Core cannot read."""


def shared(kind: T) -> T:
    """Let values of a dataclass or an enumeration be packed: a decorator."""
    _shared[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return kind


shared(Message)
shared(Audience)


def packed(value: object) -> str:
    """Return a value as JSON; raises `TypeError` for one of another class."""
    return json.dumps(_plain(value), separators=(",", ":"))


def unpacked(text: str) -> Any:
    """Return what `packed` was given; raises `Unreadable`."""
    try:
        return _value(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable from error


def _plain(value: Any) -> Any:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Enum) and name in _shared:
        return {name: value.value}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value) and name in _shared:
        return {name: {one.name: _plain(getattr(value, one.name)) for one in fields(value) if not one.metadata}}
    match value:
        case bytes():
            return {"bytes": b64encode(value).decode()}
        case list() | tuple() | frozenset():
            return {type(value).__name__: [_plain(one) for one in value]}
        case dict():
            return {"dict": [[_plain(key), _plain(one)] for key, one in value.items()]}
        case date():
            return {"date": value.isoformat()}
        case PurePath():
            return str(value)
    raise TypeError(name)


def _value(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((name, said),) = plain.items()
    match name:
        case "bytes":
            return b64decode(said)
        case "list":
            return [_value(one) for one in said]
        case "tuple":
            return tuple(_value(one) for one in said)
        case "frozenset":
            return frozenset(_value(one) for one in said)
        case "dict":
            return {_value(key): _value(one) for key, one in said}
        case "date":
            return date.fromisoformat(said)
    kind = _shared[name]
    if issubclass(kind, Enum):
        return kind(said)
    return kind(**{one: _value(text) for one, text in said.items()})
