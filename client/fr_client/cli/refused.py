"""What was refused, as a CSV file that grows while the command runs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.private import private_opener

# Is told the cells of a row.
Write = Callable[[Sequence[str]], None]


@contextmanager
def refused_file(path: Path | None, columns: Sequence[str]) -> Iterator[Write]:
    """Open the file, of mode 0600, for as long as the block lasts; each row is there as soon as it was told.

    Args:
        path: is replaced where it is there; None = nothing is written.
        columns: the header.

    Raises:
        Unusable: it cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        # Names of files are often names of people.
        with open(path, "w", 1, "utf-8", errors="replace", newline="", opener=private_opener) as lines:
            writer = csv.writer(lines)
            writer.writerow(columns)
            yield writer.writerow
    except OSError as error:
        raise Unusable("FILE_UNWRITABLE", f"{shown(path)} cannot be written: {error.strerror}.") from error
