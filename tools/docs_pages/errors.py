"""Writes docs/errors.md from the docstrings of the errors and the server's table of status codes."""

from docs_pages import filled
from fr_core.errors import FrError, Unrecoverable
from fr_server.config.tree import MESSAGE_PHOTOS
from fr_server.errors import DOMAIN, RETRY_AFTER_S, STATUS, all_errors


def page() -> str:
    """Return the page."""
    calls, starting = [], []
    for error in all_errors():
        if issubclass(error, Unrecoverable):
            starting.append(f"| `{error.reason}` | {_meaning(error)} | {error('').advice} |\n")
        else:
            retry = f" RetryInfo: {RETRY_AFTER_S[error]:g} s." if error in RETRY_AFTER_S else ""
            calls.append(
                f"| `{error.reason}` | `{STATUS[error].name}` | {_meaning(error)} | {error('').advice}{retry} |\n"
            )
    return filled("errors", domain=DOMAIN, photos=MESSAGE_PHOTOS, calls="".join(calls), starting="".join(starting))


def _meaning(error: type[FrError]) -> str:
    return " ".join((error.__doc__ or "").split())
