"""Addresses: those of this site, and those that hold a picture."""

import base64
from urllib.parse import quote

from markupsafe import Markup

_SHOWN = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}


def address(path: str, /, **query: str) -> str:
    """Return an address of this site; each part of the query is escaped, and an empty one is left out."""
    told = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in query.items() if value)
    escaped = quote(path, safe="/%~?&=")
    return f"{escaped}?{told}" if told else escaped


def local(path: str) -> str:
    """Return an address of this site, "/" for one that browsers could take for another site's."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


def kind_of_photo(data: bytes) -> str:
    """Return the media type of a photo that browsers show, "" of another."""
    return next((kind for start, kind in _SHOWN.items() if data.startswith(start)), "")


def data_address(kind: str, content: bytes) -> Markup:
    """Return an address that holds a picture."""
    return Markup("data:{};base64,{}").format(kind, base64.b64encode(content).decode())


def embedded(data: bytes) -> Markup:
    """Return a photo as an address that holds it, "" if browsers do not show its format."""
    kind = kind_of_photo(data)
    return data_address(kind, data) if kind else Markup()
