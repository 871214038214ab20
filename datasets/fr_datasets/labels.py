"""Reads labels of people: a CSV with a row for each person."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fr_core.id_forms import composed
from fr_datasets.errors import DatasetError, DatasetMalformed
from fr_datasets.tables import quoted, read_header, read_table
from fr_datasets.values import PairSet
from fr_locales.messages import message


def read_labels(path: Path, key: str) -> dict[str, dict[str, str]]:
    """Read a CSV whose first column, `key`, names each person once, and whose further columns are labels.

    Returns identity -> (label -> text).
    """
    columns = read_header(path)
    if columns[:1] != [key]:
        raise DatasetMalformed(
            path, 1, message("error.dataset.columns_of_labels", key=key, quoted=quoted(",".join(columns)))
        )
    return {identity: labels for _, identity, labels in _rows(path)}


def with_labels(pairs: PairSet, path: Path) -> PairSet:
    """The pairs with what a CSV says of their people, in place of what the set says.

    Its first column names the person as the list of pairs does, and the further ones are labels. People of the list who
    have no row have no labels.

    Raises `DatasetMalformed`: a row names somebody whom the list does not, or the CSV is out of form; `DatasetError`:
    the list names nobody.
    """
    named = [pair.people for pair in pairs.pairs]
    if None in named:
        raise DatasetError(message("error.dataset.list_names_no_people", pairs=pairs.name))
    people = {composed(name): name for both in named if both is not None for name in both}
    return replace(pairs, labels=_labels_of(path, people))


def _labels_of(path: Path, people: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found = {}
    for line, identity, labels in _rows(path):
        if identity not in people:
            raise DatasetMalformed(path, line, message("error.dataset.list_pairs_names_no"))
        found[people[identity]] = labels
    return found


def _rows(path: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Line number, identity and labels of each row."""
    columns = read_header(path)
    if len(columns) < 2:
        raise DatasetMalformed(path, 1, message("error.dataset.columns_of_person", quoted=quoted(",".join(columns))))
    if len(set(columns)) != len(columns):
        raise DatasetMalformed(path, 1, message("error.dataset.column_listed_twice"))
    seen: set[str] = set()
    for line, row in read_table(path, columns):
        identity = composed(row.pop(columns[0]))
        if identity in seen:
            raise DatasetMalformed(path, line, message("error.dataset.person_listed_twice"))
        seen.add(identity)
        yield line, identity, row
