"""Celebrities in Frontal-Profile: 7,000 pairs of a frontal and a profile photo, and as many of two frontal ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fr_datasets.errors import DatasetMalformed, DatasetMissing, require_folder, require_inside
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import listed_photo, read_filled_lines, whole_number
from fr_datasets.values import Counts, PairSet, VerificationPair
from fr_locales.messages import message

Protocol = Literal["FP", "FF"]


def pairs(root: Path, protocol: Protocol = "FP") -> PairSet:
    """The pairs of `root`/Protocol/Split/FP, frontal with profile, or of Split/FF, frontal with frontal.

    Split/FP holds a folder for each fold, with same.txt (mated) and diff.txt; each line is "number,number". The first
    number counts in Pair_list_F.txt, the second in Pair_list_P.txt, or in F again for FF. These say where photos lie,
    from the folder `Protocol`.
    """
    folder = root / "Protocol"
    frontal = _photos(folder / "Pair_list_F.txt")
    second = frontal if protocol == "FF" else _photos(folder / "Pair_list_P.txt")
    found: list[VerificationPair] = []
    for number, fold in enumerate(_folds(folder / "Split" / protocol), 1):
        for name, mated in (("same.txt", True), ("diff.txt", False)):
            found += (VerificationPair(a, b, mated, number) for a, b in _pairs(fold / name, frontal, second))
    return PairSet(f"cfp_{protocol.lower()}", load_manifest("cfp").terms, tuple(found))


def contents(root: Path) -> Counts:
    """Read the lists of FP, and of FF where they are there, and count."""
    counts = pairs(root).counts
    if (root / "Protocol" / "Split" / "FF").is_dir():
        counts["frontal_pairs"] = len(pairs(root, "FF").pairs)
    return counts


def _photos(path: Path) -> dict[int, Path]:
    """The photos of a list of lines "number path"."""
    photos: dict[int, Path] = {}
    for line, text in enumerate(read_filled_lines(path), 1):
        fields = text.split(maxsplit=1)
        if len(fields) != 2:
            raise DatasetMalformed(path, line, message("error.dataset.expected_number_path"))
        number = whole_number(path, line, fields[0])
        if number in photos:
            raise DatasetMalformed(path, line, message("error.dataset.number_given_twice", number=number))
        photos[number] = listed_photo(path.parent.parent, f"{path.parent.name}/{fields[1].strip()}", path, line)
    return photos


def _folds(folder: Path) -> list[Path]:
    folds = sorted(fold for fold in require_folder(folder).iterdir() if fold.name.isdigit() and fold.is_dir())
    if not folds:
        raise DatasetMissing(message("error.dataset.folder_holds_no_fold", folder=folder))
    return [require_inside(fold, folder) for fold in folds]


def _pairs(path: Path, first: dict[int, Path], second: dict[int, Path]) -> Iterator[tuple[Path, Path]]:
    for line, text in enumerate(read_filled_lines(path), 1):
        fields = text.split(",")
        if len(fields) != 2:
            raise DatasetMalformed(path, line, message("error.dataset.expected_number_number"))
        a, b = (whole_number(path, line, field) for field in fields)
        if a not in first or b not in second:
            number = a if a not in first else b
            raise DatasetMalformed(path, line, message("error.dataset.no_list_photos_number", number=number))
        yield first[a], second[b]
