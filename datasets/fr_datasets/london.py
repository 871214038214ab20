"""The Face Research Lab London Set: a folder per person with a neutral and a smiling photo."""

from collections.abc import Mapping
from pathlib import Path

from fr_datasets.errors import DatasetMissing, require_file, require_folder
from fr_datasets.labels import read_labels
from fr_datasets.manifests import load_manifest
from fr_datasets.people_folder import pairs_of_people
from fr_datasets.values import PairSet, PeopleSet, Person
from fr_locales.messages import message

# The set's own numbering of expressions; front view.
NEUTRAL = "03"
SMILING = "08"
CONDITIONS = {NEUTRAL: "neutral", SMILING: "smiling"}
"""The condition that each number stands for; nobody has two photos of one condition."""


def people(root: Path) -> PeopleSet:
    """The people of the folders `root`/NNN, in their order; photos are NNN_03.jpg (neutral) and NNN_08.jpg (smiling).

    `root`/london_info.csv, where it is there, gives the labels `face_age`, `face_gender` and `face_eth`; people whom it
    leaves out have none.
    """
    folders = sorted(folder for folder in require_folder(root).iterdir() if folder.is_dir() and folder.name.isdigit())
    if not folders:
        raise DatasetMissing(message("error.dataset.folder_holds_no_folder", root=root))
    table = root / "london_info.csv"
    labels = read_labels(table, "face_id") if table.exists() else {}
    found = tuple(_person(folder, root, labels.get(folder.name, {})) for folder in folders)
    return PeopleSet("london", load_manifest("london").terms, found)


def _person(folder: Path, root: Path, labels: Mapping[str, str]) -> Person:
    conditions = {
        require_file(folder / f"{folder.name}_{number}.jpg", f"the rule of the set for {folder.name}", root): condition
        for number, condition in CONDITIONS.items()
    }
    return Person(folder.name, tuple(conditions), labels, conditions)


def pairs(root: Path) -> PairSet:
    """Pairs of the photos of `people`, as `pairs_of_people` makes them."""
    return pairs_of_people(people(root))
