"""Pairs of your own: a CSV file with the columns a, b, mated, and fold where there are folds."""

from __future__ import annotations

from pathlib import Path

from fr_datasets.errors import DatasetMalformed, require_file
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import read_header, read_table, whole_number
from fr_datasets.values import Counts, PairSet, VerificationPair, count_pairs

COLUMNS = ("a", "b", "mated")


def pairs(root: Path) -> PairSet:
    """The pairs of `root`/pairs.csv; errors are those of `read_pairs_csv`."""
    return PairSet("pairs_csv", load_manifest("pairs_csv").terms, read_pairs_csv(root / "pairs.csv"))


def read_pairs_csv(path: Path) -> tuple[VerificationPair, ...]:
    """Read a CSV of pairs: `a` and `b` are photos, from the folder of the list, `mated` is 0 or 1, `fold` from 1.

    Raises:
        DatasetMissing: the list, or a photo that it names, is absent.
        DatasetMalformed: other columns, `mated` neither 0 nor 1, a fold that is no number, or a pair of one photo.
    """
    with_folds = read_header(path) == [*COLUMNS, "fold"]
    found = []
    for line, row in read_table(path, (*COLUMNS, "fold") if with_folds else COLUMNS):
        if row["mated"] not in ("0", "1"):
            raise DatasetMalformed(path, line, f"`mated` must be 0 or 1, and is {row['mated']!r}")
        a, b = (require_file(path.parent / row[column], f"line {line} of {path.name}") for column in ("a", "b"))
        if a == b:
            raise DatasetMalformed(path, line, "the pair names one photo twice")
        fold = whole_number(path, line, row["fold"]) if with_folds else None
        found.append(VerificationPair(a, b, row["mated"] == "1", fold))
    return tuple(found)


def contents(root: Path) -> Counts:
    """Read the list, and count; errors are those of `read_pairs_csv`."""
    return count_pairs(pairs(root).pairs)
