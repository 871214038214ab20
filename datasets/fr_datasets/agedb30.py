"""AgeDB-30: 6,000 pairs of AgeDB in ten folds; the mated ones are thirty years apart."""

from pathlib import Path

from fr_datasets.errors import DatasetMalformed
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import choose_folder, listed_photo, read_filled_lines
from fr_datasets.values import PairSet, VerificationPair, fold_of
from fr_locales.messages import message

FOLDERS = ("images", "AgeDB", "agedb30_align_112")


def pairs(root: Path) -> PairSet:
    """The pairs of `root`/agedb_30_pair.txt, with photos in `root` or in one of `FOLDERS`.

    Each line is "FILE FILE LABEL", label 1 = mated, 0 = not. The folds are ten equal blocks, in the list's order.
    """
    path, images = root / "agedb_30_pair.txt", choose_folder(root, FOLDERS)
    lines = read_filled_lines(path)
    found = []
    for number, text in enumerate(lines, 1):
        fields = text.split()
        if len(fields) != 3 or fields[2] not in ("0", "1"):
            raise DatasetMalformed(path, number, message("error.dataset.expected_file_file_label"))
        a, b = (listed_photo(images, name, path, number) for name in fields[:2])
        found.append(VerificationPair(a, b, fields[2] == "1", fold_of(number - 1, len(lines))))
    return PairSet("agedb30", load_manifest("agedb30").terms, tuple(found))
