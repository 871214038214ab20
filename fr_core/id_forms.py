"""Converts ids that people type between Unicode forms.

Keyboards, files and systems write the same name in different forms: macOS gives folder names in NFD.
"""

import unicodedata

MAX_COMPOSED = 512  # characters of an id that is normalised: NFD may need four for one
# So many combining marks in a row, which no id needs (UAX 15, 13): sorting them takes quadratic time.
_ENDLESS_MARKS = b"\1" * 31


def composed(own_id: str) -> str:
    """Return an id in Unicode's NFC (UAX 15), the form that FR Core keeps."""
    return unicodedata.normalize("NFC", own_id) if _has_forms(own_id) else own_id


def forms_of(own_id: str) -> tuple[str, ...]:
    """Return the forms that a store may hold an id in, each once: unchanged, `composed`, and NFD.

    Earlier versions kept ids as sent, so a store may hold another form than the composed one.
    """
    if not _has_forms(own_id):
        return (own_id,)
    return tuple(dict.fromkeys((own_id, *(unicodedata.normalize(form, own_id) for form in ("NFC", "NFD")))))


def _has_forms(own_id: str) -> bool:
    if own_id.isascii() or len(own_id) > MAX_COMPOSED:
        return False
    return _ENDLESS_MARKS not in bytes(unicodedata.combining(character) > 0 for character in own_id)
