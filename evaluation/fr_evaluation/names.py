"""Names of photos in the hash of a list: the same wherever a set lies, and whichever of its layouts it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from fr_datasets import agedb30, cross_lfw, lfw

# Of sets whose photos lie in the root or in a folder of one of these names: that folder is no part of a photo's name.
_FOLDERS: Mapping[str, Sequence[str]] = {
    "agedb30": agedb30.FOLDERS,
    **dict.fromkeys(("calfw", "cplfw"), cross_lfw.FOLDERS),
    **dict.fromkeys(("lfw", "lfw_funneled", "lfw_original"), lfw.FOLDERS),
}


def photo_namer(dataset: str, root: Path) -> Callable[[Path], str]:
    """Return what names the photos of a data set, by their paths below the folder in its root that holds them."""
    folders = _FOLDERS.get(dataset, ())

    @cache
    def name(photo: Path) -> str:
        first, *rest = photo.relative_to(root).parts
        return "/".join(rest if rest and first in folders else (first, *rest))

    return name
