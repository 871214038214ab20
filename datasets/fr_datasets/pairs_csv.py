"""Pairs of your own: a CSV file with the columns a, b, mated, and fold where there are folds."""

from pathlib import Path

from fr_datasets.errors import DatasetMalformed
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import listed_photo, quoted, read_header, read_table, whole_number
from fr_datasets.values import PairSet, VerificationPair
from fr_locales.messages import message

COLUMNS = ["a", "b", "mated"]


def pairs(root: Path) -> PairSet:
    """The pairs of `root`/pairs.csv."""
    return PairSet("pairs_csv", load_manifest("pairs_csv").terms, read_pairs_csv(root / "pairs.csv"))


def read_pairs_csv(path: Path) -> tuple[VerificationPair, ...]:
    """Read a CSV of pairs: `a` and `b` are photos, from the folder of the list, `mated` is 0 or 1, `fold` from 1.

    A pair is of two photos, and not there already, in either order.
    """
    columns = read_header(path)
    if columns not in (COLUMNS, [*COLUMNS, "fold"]):
        raise DatasetMalformed(path, 1, message("error.dataset.columns_must_b_mated", quoted=quoted(",".join(columns))))
    found = []
    photos: dict[str, tuple[Path, tuple[int, int]]] = {}
    lines: dict[frozenset[tuple[int, int]], int] = {}
    for line, row in read_table(path, columns):
        if row["mated"] not in ("0", "1"):
            raise DatasetMalformed(path, line, message("error.dataset.mated_must", quoted=quoted(row["mated"])))
        for name in (row["a"], row["b"]):
            if name not in photos:
                photos[name] = _photo(path, line, name)
        (a, file_a), (b, file_b) = photos[row["a"]], photos[row["b"]]
        if file_a == file_b:
            raise DatasetMalformed(path, line, message("error.dataset.pair_names_photo_twice"))
        first = lines.setdefault(frozenset((file_a, file_b)), line)
        if first != line:
            raise DatasetMalformed(path, line, message("error.dataset.pair_already_line", first=first))
        fold = whole_number(path, line, row["fold"]) if "fold" in row else None
        found.append(VerificationPair(a, b, row["mated"] == "1", fold))
    return tuple(found)


def _photo(path: Path, line: int, name: str) -> tuple[Path, tuple[int, int]]:
    """The photo, and the file that it is, by device and number: links and other spellings of its name are the same."""
    photo = listed_photo(path.parent, name, path, line)
    status = photo.stat()
    return photo, (status.st_dev, status.st_ino)
