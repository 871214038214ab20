"""Cross-Pose LFW: 3,000 mated pairs with a difference of pose, and 3,000 others of one sex and race."""

from __future__ import annotations

from pathlib import Path

from fr_datasets.folders import choose_folder
from fr_datasets.manifests import load_manifest
from fr_datasets.two_line_pairs import read_two_line_pairs
from fr_datasets.values import Counts, PairSet, count_pairs

FOLDERS = ("aligned images", "images")


def pairs(root: Path) -> PairSet:
    """The pairs of `root`/pairs_CPLFW.txt, with photos in `root`/aligned images or `root`/images, one of the two.

    Errors are those of `read_two_line_pairs`, and of `choose_folder`.
    """
    found = read_two_line_pairs(root / "pairs_CPLFW.txt", choose_folder(root, FOLDERS))
    return PairSet("cplfw", load_manifest("cplfw").terms, found)


def contents(root: Path) -> Counts:
    """Read the list, and count; errors are those of `pairs`."""
    return count_pairs(pairs(root).pairs)
