"""Photos without a human face: easy ones, and hard ones such as apes, cats, dolls and pumpkins, listed in index.csv."""

from pathlib import Path

from fr_datasets.errors import DatasetMalformed, require_file
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import read_table
from fr_datasets.values import CountedPhoto, CountedSet, Counts
from fr_locales.messages import message

COLUMNS = ("file", "source", "terms")
PARTS = ("easy", "hard")


def parts(root: Path) -> dict[str, CountedSet]:
    """The photos of `root`/index.csv by part, "easy" and "hard"; each holds 0 faces."""
    path = root / "index.csv"
    found: dict[str, list[CountedPhoto]] = {part: [] for part in PARTS}
    for line, row in read_table(path, COLUMNS):
        part = row["file"].partition("/")[0]
        if part not in found:
            raise DatasetMalformed(path, line, message("error.dataset.file_must_lie_easy"))
        photo = require_file(root / row["file"], f"line {line} of {path.name}", root)
        found[part].append(CountedPhoto(photo, (0,)))
    terms = load_manifest("nonface").terms
    return {part: CountedSet(f"nonface/{part}", terms, tuple(photos)) for part, photos in found.items()}


def contents(root: Path) -> Counts:
    """Read the list, and count."""
    return {"photos": sum(len(part.photos) for part in parts(root).values())}
