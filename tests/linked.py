"""A data set of coloured squares where a server looks for one: `lfw`, with pairs and people."""

from __future__ import annotations

from pathlib import Path

from fr_datasets.links import Link, datasets_folder, write_link
from squares import face

PEOPLE = 6


def link_lfw(root: Path) -> None:
    """Draw two folds of three mated and three non-mated pairs, of six people with two photos each, and link them.

    `FR_HOME` tells where the link is kept.
    """
    names = [f"Jane_Roe_{number}" for number in range(PEOPLE)]
    for number, name in enumerate(names):
        for photo in (1, 2):
            face(root / "images" / name / f"{name}_{photo:04d}.jpg", 40 * number)
    lines = ["2\t3"]
    for fold in (0, 3):
        lines += [f"{names[number]}\t1\t2" for number in range(fold, fold + 3)]
        lines += [f"{names[number]}\t1\t{names[(number + 1) % PEOPLE]}\t2" for number in range(fold, fold + 3)]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    people = ["1", str(PEOPLE), *(f"{name}\t2" for name in names)]
    (root / "people.txt").write_text("\n".join(people) + "\n", encoding="utf-8")
    write_link("lfw", Link(root), datasets_folder())
