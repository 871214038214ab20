"""Asks for a trainee's code, and writes new codes to a file for its owner alone."""

import csv
import getpass
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.files import new_file
from fr_client.cli.show import console, counted, plain, shown, table
from fr_client.cli.state import Unusable

ASK = "-"
Code = Annotated[
    str,
    typer.Option(
        "--code",
        metavar="CODE",
        envvar="FR_TRAINEE_CODE",
        help="The code from the trainer; - asks for it, to keep it out of the shell's history.",
    ),
]


def asked_code(given: str) -> str:
    """Return the code; if it is "-", ask for it on a terminal, or else read a line of standard input.

    Raises `Unusable` if there is none.
    """
    if given != ASK:
        return given.strip()
    try:
        code = getpass.getpass("Code: ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        code = ""
    if not code.strip():
        raise Unusable("MISSING_FIELD", "There is no code; your trainer gives you one.")
    return code.strip()


PRINTED = "-"
CodesTo = Annotated[
    str,
    typer.Option(
        "--codes",
        metavar="FILE.csv",
        help="New file for the codes, which you see only this once; - prints them instead.",
        show_default=False,
    ),
]
# Takes the trainees whose codes to keep, once.
Write = Callable[[Sequence[training_pb2.Enrolled]], None]


@contextmanager
def codes_file(codes: str) -> Iterator[Write]:
    """Open the file for codes before the server makes any; it appears if the block ends well; "-" for no file.

    Raises `Unusable` if it exists, or cannot be written.
    """
    if codes == PRINTED:
        yield lambda enrolled: None
        return
    with new_file(Path(codes)) as file:
        yield lambda enrolled: _write_all(file.write, enrolled)


def _write_all(write: Callable[[bytes], object], enrolled: Sequence[training_pb2.Enrolled]) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(("trainee_id", "code"))
    rows.writerows((one.trainee_id, one.code) for one in enrolled)
    write(text.getvalue().encode())


def print_codes(codes: str, enrolled: Sequence[training_pb2.Enrolled]) -> None:
    """Say where the codes are, or print them."""
    if codes != PRINTED:
        words = f"{shown(Path(codes))}: {counted(len(enrolled), 'code')}. They are nowhere else; give each trainee one."
        console().print(plain(words))
        return
    rows = table("Trainee", "Code")
    for one in enrolled:
        rows.add_row(plain(one.trainee_id), plain(one.code))
    console().print(rows)
