"""The Face Research Lab London Set: a folder per person with a neutral and a smiling photo."""

from __future__ import annotations

from pathlib import Path

from fr_datasets.errors import DatasetMissing, require_file, require_folder
from fr_datasets.manifests import load_manifest
from fr_datasets.values import PeopleSet, Person

# The set's own numbering of expressions; front view.
NEUTRAL = "03"
SMILING = "08"


def people(root: Path) -> PeopleSet:
    """The people of the folders `root`/NNN, in their order; photos are NNN_03.jpg (neutral) and NNN_08.jpg (smiling).

    Raises:
        DatasetMissing: the folder is absent or holds nobody, or a person lacks a photo.
    """
    folders = sorted(folder for folder in require_folder(root).iterdir() if folder.is_dir() and folder.name.isdigit())
    if not folders:
        raise DatasetMissing(f"The folder {root} holds no folder of a person, such as 001.")
    found = tuple(
        Person(
            folder.name,
            tuple(
                require_file(folder / f"{folder.name}_{expression}.jpg", f"the rule of the set for {folder.name}")
                for expression in (NEUTRAL, SMILING)
            ),
        )
        for folder in folders
    )
    return PeopleSet("london", load_manifest("london").terms, found)
