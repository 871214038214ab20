"""What a set says of its people: a CSV with a row for each person."""

from __future__ import annotations

from pathlib import Path

from fr_datasets.errors import DatasetMalformed
from fr_datasets.tables import read_header, read_table


def read_labels(path: Path, key: str) -> dict[str, dict[str, str]]:
    """Read a CSV whose first column, `key`, names the person and whose further columns are labels.

    Returns:
        identity -> (label -> text).

    Raises:
        DatasetMissing: the list is absent.
        DatasetMalformed: another first column, no further one, a column or a person twice, or a row out of form.
    """
    columns = read_header(path)
    if columns[:1] != [key] or len(columns) < 2:
        raise DatasetMalformed(path, 1, f"the columns must be {key}, then at least one label")
    if len(set(columns)) != len(columns):
        raise DatasetMalformed(path, 1, "a column is there twice")
    found: dict[str, dict[str, str]] = {}
    for line, row in read_table(path, columns):
        identity = row.pop(key)
        if identity in found:
            raise DatasetMalformed(path, line, "the person is there twice")
        found[identity] = row
    return found
