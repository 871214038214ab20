"""What can be wrong with a data set on disk.

These errors name files of the set, even where a file is called after a person, as in LFW: whoever runs an evaluation
has to find the file. They are raised on the evaluating machine only and never reach a log of the server.
"""

from __future__ import annotations

from pathlib import Path

from fr_core.errors import FrError


class DatasetError(FrError):
    """A data set cannot be used as it lies there."""


class DatasetMissing(DatasetError):
    """A file or folder of the data set is absent."""

    remedy = "Complete the data set; docs/evaluation.md shows how its folder must look."


class DatasetMalformed(DatasetError):
    """A list of the data set breaks its format.

    Args:
        path: the list.
        line: number of the line, from 1.
        what: what is wrong with it, without a full stop.
    """

    remedy = "Restore the list as its authors published it."

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}, line {line}: {what}.", line=str(line))
        self.path = path
        self.line = line


def require_file(path: Path, named_by: str) -> Path:
    """Return `path`, or raise `DatasetMissing` saying what names it, such as "line 7 of pairs.txt"."""
    if not path.is_file():
        raise DatasetMissing(f"The file {path}, named by {named_by}, is not there.")
    return path


def require_folder(path: Path) -> Path:
    """Return `path`, or raise `DatasetMissing`."""
    if not path.is_dir():
        raise DatasetMissing(f"The folder {path} is not there.")
    return path
