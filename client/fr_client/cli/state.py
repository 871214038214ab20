"""What the commands share: where the server is, and how an error ends a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from fr_client.cli.show import print_json
from fr_client.client import Client
from fr_client.errors import FrApiError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
GalleryId = Annotated[str, typer.Argument(metavar="GALLERY", help="Id of the gallery.", show_default=False)]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `fr` itself.

    Attributes:
        server: HOST:PORT of the server.
        timeout_s: seconds that one call may take.
    """

    server: str
    timeout_s: float


class Unusable(Exception):
    """Something on this machine keeps the command from being done.

    Args:
        reason: stable, for programs, such as "FILE_UNREADABLE".
        message: one sentence for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """End the command with one sentence on standard error where it cannot be done.

    With `as_json`, the error goes to standard output too, so that a program finds a document there in any case.
    """
    try:
        yield
    except (FrApiError, Unusable) as error:
        if as_json:
            print_json({"error": error_keys(error)})
        fail(error)


@contextmanager
def connected(context: typer.Context, as_json: bool) -> Iterator[Client]:
    """Open the client for the server of `context`, and report errors as `reporting` does."""
    settings: Settings = context.obj
    with reporting(as_json), Client(settings.server, timeout_s=settings.timeout_s) as client:
        yield client


def error_keys(error: FrApiError | Unusable) -> dict[str, Any]:
    """Return an error as JSON has it."""
    if isinstance(error, Unusable):
        return {"reason": error.reason, "message": error.message}
    return {
        "reason": error.reason,
        "message": error.message,
        "code": error.code.name,
        "metadata": error.metadata,
        "request_id": error.request_id,
    }


def fail(error: FrApiError | Unusable) -> NoReturn:
    """Write the sentence of an error and end the command with exit status 1."""
    reason = f"{error.reason}: " if error.reason else ""
    request = f" (request {error.request_id})" if isinstance(error, FrApiError) and error.request_id else ""
    typer.echo(f"{reason}{error.message}{request}", err=True)
    raise typer.Exit(1)
