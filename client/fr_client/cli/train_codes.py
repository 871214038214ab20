"""The codes of trainees: a file for its owner alone, since whoever has a code answers in the trainee's place."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.show import console, plain, shown, table
from fr_client.cli.state import Unusable
from fr_client.cli.train_labels import counted
from fr_client.private import private_file

PRINTED = "-"
CodesTo = Annotated[
    str,
    typer.Option(
        "--codes",
        metavar="FILE.csv",
        help="File for the codes, which are told this once; it must not exist. - prints them instead.",
        show_default=False,
    ),
]
# Is given the trainees whose codes are to be kept, once.
Write = Callable[[Sequence[training_pb2.Enrolled]], None]


@contextmanager
def codes_file(codes: str) -> Iterator[Write]:
    """Make sure that codes can be written before there are any; the file is there when the block ends well.

    Args:
        codes: name of the file; "-" for none.

    Raises:
        Unusable: it is there already, or cannot be written.
    """
    if codes == PRINTED:
        yield lambda enrolled: None
        return
    path = Path(codes)
    try:
        if os.path.lexists(path):
            raise FileExistsError
        with private_file(path, replace=False) as file:
            yield lambda enrolled: _write_all(file.write, enrolled)
    except FileExistsError as error:
        raise Unusable("FILE_EXISTS", f"{shown(path)} is there already; choose another name.") from error
    except OSError as error:
        raise Unusable("FILE_UNWRITABLE", f"{shown(path)} cannot be written: {error.strerror}.") from error


def _write_all(write: Callable[[bytes], object], enrolled: Sequence[training_pb2.Enrolled]) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(("trainee_id", "code"))
    rows.writerows((one.trainee_id, one.code) for one in enrolled)
    write(text.getvalue().encode())


def print_codes(codes: str, enrolled: Sequence[training_pb2.Enrolled]) -> None:
    """Say where the codes are, or print them where that was asked for."""
    if codes != PRINTED:
        words = f"{shown(Path(codes))}: {counted(len(enrolled), 'code')}. They are nowhere else; give each trainee one."
        console().print(plain(words))
        return
    rows = table("Trainee", "Code")
    for one in enrolled:
        rows.add_row(plain(one.trainee_id), plain(one.code))
    console().print(rows)
