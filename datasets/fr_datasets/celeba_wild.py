"""Uncropped CelebA photos of 30 people with 300 mated and 300 non-mated pairs, listed in pairs.csv."""

from pathlib import Path

from fr_datasets.errors import DatasetMalformed
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import listed_photo, quoted, read_table
from fr_datasets.values import PairSet, VerificationPair
from fr_locales.messages import message

COLUMNS = ("same", "identity_a", "file_a", "identity_b", "file_b")


def pairs(root: Path) -> PairSet:
    """The pairs of `root`/pairs.csv, with photos in `root`/images/IDENTITY/FILE; `same`, 0 or 1, agrees with the
    identities.
    """
    path = root / "pairs.csv"
    found = []
    for line, row in read_table(path, COLUMNS):
        if row["same"] not in ("0", "1"):
            raise DatasetMalformed(path, line, message("error.dataset.same_must", quoted=quoted(row["same"])))
        mated = row["same"] == "1"
        if mated != (row["identity_a"] == row["identity_b"]):
            raise DatasetMalformed(path, line, message("error.dataset.same_contradicts_identities"))
        names = (f"{row[f'identity_{which}']}/{row[f'file_{which}']}" for which in "ab")
        a, b = (listed_photo(root / "images", name, path, line) for name in names)
        found.append(VerificationPair(a, b, mated, people=(row["identity_a"], row["identity_b"])))
    return PairSet("celeba_wild", load_manifest("celeba_wild").terms, tuple(found))
