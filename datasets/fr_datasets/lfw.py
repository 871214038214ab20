"""Labeled Faces in the Wild: the pairs of View 1 and View 2, and the people sets, by the official lists.

The root holds the lists. The people's folders lie in it, or in `images`, or in the folder of one of LFW's archives.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from fr_datasets.errors import DatasetMissing
from fr_datasets.lfw_lists import read_dev_pairs, read_dev_people, read_pairs, read_people
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import choose_folder, suggest_folder
from fr_datasets.values import Counts, PairSet, PeopleSet
from fr_locales.messages import message

Part = Literal["train", "test"]

# The folders that the archives unpack to, and the spellings under which they are passed on.
FOLDERS = ("images", "lfw", "lfw_funneled", "lfw-funneled", "lfw-deepfunneled", "lfw_deepfunneled")
# The part of View 1, and the end of the names of its lists.
DEV_PARTS: Mapping[Part, str] = {"train": "DevTrain.txt", "test": "DevTest.txt"}


def view1(root: Path, part: Part) -> PairSet:
    """The pairs of `root`/pairsDevTrain.txt or pairsDevTest.txt, for development."""
    pairs = read_dev_pairs(root / f"pairs{DEV_PARTS[part]}", choose_folder(root, FOLDERS))
    return PairSet(f"lfw/view1-{part}", load_manifest("lfw").terms, pairs)


def view1_people(root: Path, part: Part) -> PeopleSet:
    """The people of `root`/peopleDevTrain.txt or peopleDevTest.txt, disjoint."""
    found = read_dev_people(root / f"people{DEV_PARTS[part]}", choose_folder(root, FOLDERS))
    return PeopleSet(f"lfw/view1-{part}", load_manifest("lfw").terms, found)


def view2(root: Path) -> PairSet:
    """The pairs of `root`/pairs.txt, in folds, for the figures that are reported."""
    return PairSet("lfw", load_manifest("lfw").terms, read_pairs(root / "pairs.txt", choose_folder(root, FOLDERS)))


def people(root: Path) -> PeopleSet:
    """The people of `root`/people.txt."""
    return PeopleSet("lfw", load_manifest("lfw").terms, read_people(root / "people.txt", choose_folder(root, FOLDERS)))


def contents(root: Path) -> Counts:
    """Read every list that is there, of View 1, View 2 and people, and count."""
    counts: dict[str, int] = {}
    if (root / "pairs.txt").is_file():
        counts |= view2(root).counts
    if (root / "people.txt").is_file():
        counts |= people(root).counts
    for part, name in DEV_PARTS.items():
        if (root / f"pairs{name}").is_file():
            counts[f"view1_{part}_pairs"] = len(view1(root, part).pairs)
        if (root / f"people{name}").is_file():
            counts[f"view1_{part}_people"] = len(view1_people(root, part).people)
    if not counts:
        hint = suggest_folder(root, "pairs.txt")
        raise DatasetMissing(message("error.dataset.folder_holds_none_lfw", root=root, hint=hint))
    return counts
