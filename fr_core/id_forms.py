"""The Unicode forms of ids that people type.

Keyboards, files and systems write one name in several ways: macOS gives the names of folders in NFD.
"""

from __future__ import annotations

import unicodedata

MAX_COMPOSED = 512
"""Characters of an id that is brought into another form: NFD may take four for one."""
# Of combining marks in a row, none of which an id needs (UAX 15, 13): to sort them takes a time that is their square.
_ENDLESS_MARKS = b"\1" * 31


def composed(own_id: str) -> str:
    """Return an id in the one form that is kept, Unicode's NFC (UAX 15)."""
    return unicodedata.normalize("NFC", own_id) if _has_forms(own_id) else own_id


def forms_of(own_id: str) -> tuple[str, ...]:
    """Return the forms that an id may have been kept in, each once: as it is, `composed`, and NFD.

    Earlier versions kept ids as they were sent, so that one of these may be there where the composed one is not.
    """
    if not _has_forms(own_id):
        return (own_id,)
    return tuple(dict.fromkeys((own_id, *(unicodedata.normalize(form, own_id) for form in ("NFC", "NFD")))))


def _has_forms(own_id: str) -> bool:
    if own_id.isascii() or len(own_id) > MAX_COMPOSED:
        return False
    return _ENDLESS_MARKS not in bytes(unicodedata.combining(character) > 0 for character in own_id)
