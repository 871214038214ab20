"""Finds the folder of a set whose copies use different names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fr_datasets.errors import DatasetError, require_folder


def choose_folder(root: Path, names: Sequence[str]) -> Path:
    """The folder of `root` that has one of these names, else `root` itself.

    Raises:
        DatasetError: several are there, and nothing says which is meant.
        DatasetMissing, DatasetUnreadable: as for `require_folder`.
    """
    require_folder(root)
    found = [root / name for name in names if (root / name).is_dir()]
    if len(found) > 1:
        listed = ", ".join(folder.name for folder in found)
        raise DatasetError(f"{root} holds photos in several folders: {listed}. Keep each of them in a root of its own.")
    return found[0] if found else root
