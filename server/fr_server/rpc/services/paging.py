"""Where a page begins, for lists that go by a number."""

from __future__ import annotations

from fr_core.errors import InvalidPage

# So many hold every millisecond and every number that a store gives, and fit into what databases count with.
_MOST_DIGITS = 16


def number_of(text: str) -> int:
    """Return the number that a page token holds; raises `InvalidPage` for what is none that a call returned."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise InvalidPage("The page token is not one that this call returned.")
    return int(text)
