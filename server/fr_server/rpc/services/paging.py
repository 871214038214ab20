"""Says where the pages of lists begin, which go by a number, or by a time and an id."""

from fr_core.errors import InvalidPage, message
from fr_core.gallery.pages import last_of, page_token, require_page_size

_DEFAULT_SIZE = 100
# So many hold every millisecond and every number that a store gives, and fit into what databases count with.
_MOST_DIGITS = 16


def size_of(page_size: int) -> int:
    """Return the size of a page, 100 where it is 0; raises `InvalidPage` for too many."""
    size = page_size or _DEFAULT_SIZE
    require_page_size(size)
    return size


def number_of(text: str) -> int:
    """Return the number that a page token holds; raises `InvalidPage` for what is none that a call returned."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise InvalidPage(message("error.rpc.page_token_not_call"))
    return int(text)


def last_moment(call: str, token: str) -> tuple[int, str] | None:
    """Return the milliseconds and id of the last item of the page before, None = the first; raises `InvalidPage`."""
    text = last_of(call, token)
    if not text:
        return None
    at, _, last = text.partition(" ")
    if not last:
        raise InvalidPage(message("error.rpc.page_token_not_call"))
    return number_of(at), last


def moment_token(call: str, at_ms: int, last: str) -> str:
    """Return the token of the page after an item."""
    return page_token(call, f"{at_ms} {last}")
