"""Reports the error of a command that uses no server: one sentence, a JSON document if requested, status 1."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


class CommandFailed(Exception):
    """A command failed for a stable reason, such as CHECKPOINT_MISSING, that `fr_core.errors` does not cover."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@contextmanager
def reporting(as_json: bool = False, *, writes: bool = False) -> Iterator[None]:
    """Turn an error into a sentence on standard error and exit status 1.

    `as_json` prints a JSON document on standard output too. With `writes`, for commands that write files, an `OSError`
    is FILE_UNWRITABLE, otherwise FILE_UNREADABLE.
    """
    from fr_core.errors import FrError

    try:
        yield
    except FrError as error:
        _fail(error.reason, error.message, error.metadata, as_json, error)
    except CommandFailed as error:
        _fail(error.reason, error.message, {}, as_json, error)
    except OSError as error:
        reason, done = ("FILE_UNWRITABLE", "written") if writes else ("FILE_UNREADABLE", "read")
        _fail(reason, f"{error.filename or 'A file'} cannot be {done}: {error.strerror}.", {}, as_json, error)


def print_json(content: object) -> None:
    """Print the JSON document of a command."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as "2 files"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _fail(reason: str, message: str, metadata: Mapping[str, str], as_json: bool, error: Exception) -> None:
    if as_json:
        print_json({"error": {"reason": reason, "message": message, "metadata": dict(metadata)}})
    typer.echo(f"{reason}: {message}", err=True)
    raise typer.Exit(1) from error
