"""IJB-B and IJB-C, 1:1: templates of several photos, and the pairs of templates to compare, by the lists in `meta`.

These are the lists that InsightFace and others pass on beside the photos; the photos come from NIST alone.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_datasets.errors import DatasetMalformed, DatasetMissing, DatasetUnreadable, require_folder, require_inside
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import open_list, read_filled_lines, read_lines
from fr_datasets.values import TemplateSet
from fr_locales.messages import message

_ROW = re.compile(r"at row (\d+)")


def templates(root: Path, name: str) -> TemplateSet:
    """The templates and pairs of "ijbb" or "ijbc", of `root`/meta/NAME_*.txt, with the photos in `root`/loose_crop.

    NAME_face_tid_mid.txt has lines "photo template medium", NAME_name_5pts_score.txt "photo x1 y1 ... x5 y5 score" of
    the same photos in the same order, NAME_template_pair_label.txt "template template label", label 1 = mated.
    """
    meta = root / "meta"
    media_list, points_list = meta / f"{name}_face_tid_mid.txt", meta / f"{name}_name_5pts_score.txt"
    photos, members = _named_rows(media_list, 2, np.int64)
    other, points = _named_rows(points_list, 11, np.float32)
    _require_same(photos, other, points_list)
    folder = require_folder(root / "loose_crop")
    _require_photos(photos, folder, media_list)
    pairs_list = meta / f"{name}_template_pair_label.txt"
    rows = _number_rows(pairs_list, np.arange(3), np.int64)
    _require_pairs(rows, members[:, 0], pairs_list)
    return TemplateSet(
        name,
        load_manifest(name).terms,
        folder,
        photos,
        templates=members[:, 0],
        media=members[:, 1],
        landmarks=points[:, :10].reshape(-1, 5, 2),
        scores=points[:, 10],
        pairs=rows[:, :2],
        mated=rows[:, 2] == 1,
    )


def _named_rows(path: Path, width: int, dtype: type[Any]) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """The names of the first column, and the numbers of the `width` columns after it."""
    names = tuple(line.split(maxsplit=1)[0] if line.strip() else "" for line in read_filled_lines(path))
    if "" in names:
        raise DatasetMalformed(path, names.index("") + 1, message("error.dataset.line_empty"))
    return names, _number_rows(path, np.arange(1, width + 1), dtype)


def _number_rows(path: Path, columns: npt.NDArray[np.int64], dtype: type[Any]) -> npt.NDArray[Any]:
    """These columns of a list of words; `DatasetMalformed` where one is absent or holds no number.

    NumPy parses them, as the pairs of IJB-C are 15 million lines.
    """
    _require_filled(path)
    try:
        rows = np.loadtxt(path, dtype=dtype, comments=None, usecols=columns.tolist(), ndmin=2, encoding="utf-8-sig")
    except UnicodeDecodeError:
        read_lines(path)  # which tells the line
        raise
    except ValueError as error:
        row = _ROW.search(str(error))
        # NumPy counts rows from 0 where a number is at fault, from 1 where a column is.
        line = int(row[1]) + ("could not convert" in str(error)) if row else 1
        raise DatasetMalformed(
            path, line, message("error.dataset.numbers", first=columns[0] + 1, last=columns[-1] + 1)
        ) from error
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        raise DatasetMalformed(path, int(wrong.argmax()) + 1, message("error.dataset.number_not_finite"))
    return rows


def _require_filled(path: Path) -> None:
    with open_list(path) as file:
        try:
            filled = any(line.strip() for line in file)
        except OSError as error:
            raise DatasetUnreadable(
                message("error.dataset.unreadable", path=path, reason=str(error.strerror))
            ) from error
    if not filled:
        raise DatasetMalformed(path, 1, message("error.dataset.list_empty"))


def _require_same(photos: tuple[str, ...], other: tuple[str, ...], path: Path) -> None:
    if photos != other:
        line = next((n for n, (a, b) in enumerate(zip(photos, other, strict=False), 1) if a != b), len(other))
        raise DatasetMalformed(path, line, message("error.dataset.photo_not_same_line"))


def _require_photos(photos: tuple[str, ...], folder: Path, path: Path) -> None:
    with os.scandir(folder) as entries:
        there = {entry.name: entry.is_symlink() for entry in entries}
    for line, photo in enumerate(photos, 1):
        if there.get(photo):
            require_inside(folder / photo, folder)
        if photo not in there:
            raise DatasetMissing(
                message("error.dataset.line_names_none", folder=folder / photo, line=line, path=path.name)
            )


def _require_pairs(rows: npt.NDArray[np.int64], known: npt.NDArray[np.int64], path: Path) -> None:
    wrong = ~np.isin(rows[:, 2], (0, 1))
    if wrong.any():
        raise DatasetMalformed(path, int(wrong.argmax()) + 1, message("error.dataset.label_must"))
    unknown = ~np.isin(rows[:, :2], known).all(axis=1)
    if unknown.any():
        raise DatasetMalformed(path, int(unknown.argmax()) + 1, message("error.dataset.pair_names_template_no"))
