"""The pairs of DeepFace's own tests: 300 pairs of 25 web photos, listed in pairs_master.csv."""

from pathlib import Path

from fr_datasets.errors import DatasetMalformed
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import listed_photo, quoted, read_table
from fr_datasets.values import PairSet, VerificationPair
from fr_locales.messages import message

COLUMNS = ("file_x", "file_y", "Decision")
DECISIONS = {"Yes": True, "No": False}


def pairs(root: Path) -> PairSet:
    """The pairs of `root`/pairs_master.csv, with the photos beside it; a decision is Yes or No."""
    path = root / "pairs_master.csv"
    found = []
    for line, row in read_table(path, COLUMNS):
        mated = DECISIONS.get(row["Decision"])
        if mated is None:
            raise DatasetMalformed(path, line, message("error.dataset.decision", quoted=quoted(row["Decision"])))
        a, b = (listed_photo(root, row[column], path, line) for column in ("file_x", "file_y"))
        found.append(VerificationPair(a, b, mated))
    return PairSet("deepface", load_manifest("deepface").terms, tuple(found))
