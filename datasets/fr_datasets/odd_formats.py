"""One face in many file formats, sizes and states of damage, with the right answer for each file in index.csv."""

import re
from pathlib import Path

from fr_datasets.errors import DatasetMalformed, require_file
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import quoted, read_table
from fr_datasets.values import CountedPhoto, CountedSet
from fr_locales.messages import message

COLUMNS = ("file", "kind", "expected_faces", "source", "note")
COUNTS = re.compile(r"\d+( or \d+)*")


def photos(root: Path) -> CountedSet:
    """The files of `root`/index.csv. `expected_faces` is a number, numbers joined by " or ", or "error"."""
    path = root / "index.csv"
    found = []
    for line, row in read_table(path, COLUMNS):
        expected = row["expected_faces"]
        if expected != "error" and COUNTS.fullmatch(expected) is None:
            raise DatasetMalformed(path, line, message("error.dataset.expected_faces", quoted=quoted(expected)))
        counts = () if expected == "error" else tuple(int(count) for count in expected.split(" or "))
        photo = require_file(root / row["file"], f"line {line} of {path.name}", root)
        found.append(CountedPhoto(photo, counts, row["kind"]))
    return CountedSet("odd_formats", load_manifest("odd_formats").terms, tuple(found))
