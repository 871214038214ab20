"""Writes docs/errors.md from the docstrings of the errors and the server's table of status codes."""

from collections.abc import Iterator

from docs_pages import filled
from fr_core.errors import FrError, Unrecoverable
from fr_datasets.errors import DatasetError
from fr_locales.rendering import render
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
    return filled(
        "errors",
        domain=DOMAIN,
        photos=MESSAGE_PHOTOS,
        calls="".join(calls),
        starting="".join(starting),
        datasets=_datasets(),
    )


def _meaning(error: type[FrError]) -> str:
    return " ".join((error.__doc__ or "").split())


def _datasets() -> str:
    kinds: list[type[DatasetError]] = [DatasetError, *_below(DatasetError)]
    rows = [
        f"| `{one.code}` | {(one.__doc__ or '').splitlines()[0]} | {render(one.remedy) if one.remedy else 'See the sentence.'} |\n"
        for one in sorted(kinds, key=lambda one: (one.code, one.__name__))
    ]
    return "".join(rows)


def _below(kind: type[DatasetError]) -> Iterator[type[DatasetError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
