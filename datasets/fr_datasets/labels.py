"""Reads labels of people: a CSV with a row for each person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fr_core.id_forms import composed
from fr_datasets.errors import DatasetError, DatasetMalformed
from fr_datasets.tables import quoted, read_header, read_table
from fr_datasets.values import PairSet


def read_labels(path: Path, key: str) -> dict[str, dict[str, str]]:
    """Read a CSV whose first column, `key`, names each person once, and whose further columns are labels.

    Returns identity -> (label -> text).
    """
    columns = read_header(path)
    if columns[:1] != [key]:
        what = f"the columns must be {key}, then at least one label, and are {quoted(','.join(columns))}"
        raise DatasetMalformed(path, 1, what)
    return {identity: labels for _, identity, labels in _rows(path)}


def with_labels(pairs: PairSet, path: Path) -> PairSet:
    """The pairs with what a CSV says of their people, in place of what the set says.

    Its first column names the person as the list of pairs does, and the further ones are labels. People of the list who
    have no row have no labels.

    Raises:
        DatasetMalformed: a row names somebody whom the list does not, or the CSV is out of form.
        DatasetError: the list names nobody.
    """
    named = [pair.people for pair in pairs.pairs]
    if None in named:
        raise DatasetError(f"The list of {pairs.name} names no people, so that labels of people cannot be used.")
    people = {composed(name): name for both in named if both is not None for name in both}
    return replace(pairs, labels=_labels_of(path, people))


def _labels_of(path: Path, people: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found = {}
    for line, identity, labels in _rows(path):
        if identity not in people:
            raise DatasetMalformed(path, line, "the list of pairs names no such person")
        found[people[identity]] = labels
    return found


def _rows(path: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Line number, identity and labels of each row."""
    columns = read_header(path)
    if len(columns) < 2:
        what = f"the columns must be the person, then at least one label, and are {quoted(','.join(columns))}"
        raise DatasetMalformed(path, 1, what)
    if len(set(columns)) != len(columns):
        raise DatasetMalformed(path, 1, "a column is listed twice")
    seen: set[str] = set()
    for line, row in read_table(path, columns):
        identity = composed(row.pop(columns[0]))
        if identity in seen:
            raise DatasetMalformed(path, line, "the person is listed twice")
        seen.add(identity)
        yield line, identity, row
