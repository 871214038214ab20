"""A trainee's code: given on the command line, in the environment, or asked for without being shown."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from fr_client.cli.state import Unusable

ASK = "-"
Code = Annotated[
    str,
    typer.Option(
        "--code",
        metavar="CODE",
        envvar="FR_TRAINEE_CODE",
        help="As the trainer handed it out; - to be asked for it, so that no history keeps it.",
    ),
]


def asked_code(given: str) -> str:
    """Return the code; where it is "-", ask for it on a terminal, else read the next line of standard input.

    Raises:
        Unusable: there is none.
    """
    if given != ASK:
        return given.strip()
    try:
        code = getpass.getpass("Code: ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        code = ""
    if not code.strip():
        raise Unusable("MISSING_FIELD", "No code was given; it is what the trainer handed out.")
    return code.strip()
