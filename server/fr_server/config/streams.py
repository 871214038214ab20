"""Reads the live streams that may be watched: the TOML file of `video.watch`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from fr_core.errors import ConfigInvalid, message
from fr_core.gallery.checks import is_gallery_id
from fr_files.reading import TextRefused, open_regular, open_to_others, read_toml
from fr_video.errors import StreamUnreadable
from fr_video.sources import require_address

_KEY = "video.watch"
_MAX_BYTES = 1_048_576
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEYS = {"address", "galleries", "authority", "until"}
_MAX_AUTHORITY = 200


@dataclass(frozen=True, slots=True)
class AllowedStream:
    """A stream that may be watched."""

    name: str  # 1 to 64 characters of a-z, 0-9, - and _
    address: str = field(
        repr=False
    )  # with the user and the password of the camera; it leaves this process for no caller
    galleries: frozenset[str]  # that may be searched
    authority: str  # the decision that allows it, such as the reference of a court's order; 1 to 200 characters
    until: date  # the last day of the decision


def allowed_streams(path: str) -> Mapping[str, AllowedStream]:
    """Return the streams of a file by name; none for an empty path.

    Raises `ConfigInvalid`: it cannot be read, others than its owner can read it, or an entry is not complete.
    """
    if not path:
        return {}
    try:
        with open_regular(Path(path)) as file:
            data = file.read(_MAX_BYTES + 1)
            if open_to_others(os.fstat(file.fileno())):
                raise _invalid(f"{path} can be read by others than its owner, and may hold passwords of cameras")
        said = read_toml(data.decode(), _MAX_BYTES)
    except OSError as error:
        raise _invalid(f"{path}: {error.strerror}") from error
    except (TextRefused, UnicodeDecodeError) as error:
        raise _invalid(f"{path}: {error}") from error
    return {name: _stream(name, entry) for name, entry in said.items()}


def _stream(name: str, said: Any) -> AllowedStream:
    if not _NAME.fullmatch(name) or not isinstance(said, dict) or said.keys() != _KEYS:
        raise _invalid(f"[{name}] needs a name of a-z, 0-9, - and _, and the keys {', '.join(sorted(_KEYS))}")
    match said:
        case {"address": str(address), "galleries": [*ids], "authority": str(authority), "until": date() as until}:
            pass
        case _:
            raise _invalid(f"[{name}] has a value of another kind")
    if type(until) is not date:  # a date-time is a date, too
        raise _invalid(f"[{name}] must name the last day of its decision without a time, such as {until:%Y-%m-%d}")
    if not ids or not all(isinstance(one, str) and is_gallery_id(one) for one in ids):
        raise _invalid(f"[{name}] names no gallery, or what is no id of one")
    if not 1 <= len(authority) <= _MAX_AUTHORITY or not authority.isprintable() or not authority.strip():
        raise _invalid(f"[{name}] must state the decision that allows it, in 1 to {_MAX_AUTHORITY} characters")
    try:
        require_address(address)
    except StreamUnreadable as error:
        raise _invalid(f"[{name}] {error.what}") from error
    return AllowedStream(name, address, frozenset(ids), authority, until)


def _invalid(why: str) -> ConfigInvalid:
    return ConfigInvalid(message("error.config.watch", why=why), key=_KEY)
