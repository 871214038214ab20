"""Labeled Faces in the Wild: the pairs of View 2, and the people sets, by the official lists.

A photo's path is built from the name and the number in the list, never by its place in a sorted folder: one missing
file would shift all that follow.
"""

from __future__ import annotations

from pathlib import Path

from fr_datasets.errors import DatasetMalformed, require_file
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import read_lines
from fr_datasets.values import PairSet, PeopleSet, Person, VerificationPair


def view2(root: Path) -> PairSet:
    """The pairs of `root`/pairs.txt, with photos under `root`/images; errors are those of `read_pairs`."""
    return PairSet("lfw", load_manifest("lfw").terms, read_pairs(root / "pairs.txt", root / "images"))


def people(root: Path) -> PeopleSet:
    """The people of `root`/people.txt, with photos under `root`/images; errors are those of `read_people`."""
    return PeopleSet("lfw", load_manifest("lfw").terms, read_people(root / "people.txt", root / "images"))


def photo_path(images: Path, name: str, number: int) -> Path:
    """Where photo `number`, from 1, of the person `name` lies: NAME/NAME_0001.jpg."""
    return images / name / f"{name}_{number:04d}.jpg"


def read_pairs(pairs_file: Path, images: Path) -> tuple[VerificationPair, ...]:
    """Read a list of pairs by the rule of View 2.

    The header holds the number of folds F and of pairs of each class N, such as "10 300". F blocks follow, each with N
    lines "name number number" (mated), then N lines "name number name number" (not mated).

    Raises:
        DatasetMissing: the list, or a photo that it names, is absent.
        DatasetMalformed: a line breaks the rule.
    """
    lines = _lines(pairs_file)
    header = lines[0].split()
    if len(header) != 2:
        raise DatasetMalformed(pairs_file, 1, "the header must hold two numbers: folds, and pairs of each class")
    folds, per_class = (_number(pairs_file, 1, text) for text in header)
    if len(lines) != 1 + folds * 2 * per_class:
        what = f"the header promises {folds * 2 * per_class} pairs, and {len(lines) - 1} follow"
        raise DatasetMalformed(pairs_file, len(lines), what)
    pairs = []
    for index, text in enumerate(lines[1:]):
        fold, place = divmod(index, 2 * per_class)
        pairs.append(_pair(pairs_file, index + 2, text, images, fold + 1, mated=place < per_class))
    return tuple(pairs)


def read_people(people_file: Path, images: Path) -> tuple[Person, ...]:
    """Read a list of people sets: the number of sets, then for each set its size and as many lines "name photos".

    Raises:
        DatasetMissing: the list, or a photo that it names, is absent.
        DatasetMalformed: a line breaks the rule.
    """
    lines = _lines(people_file)
    sets = _number(people_file, 1, lines[0])
    found: list[Person] = []
    at = 1
    for _ in range(sets):
        if at >= len(lines):
            raise DatasetMalformed(people_file, len(lines), f"the list ends before its {sets} sets do")
        size = _number(people_file, at + 1, lines[at])
        if at + size >= len(lines):
            raise DatasetMalformed(people_file, at + 1, f"fewer than {size} people follow")
        found += [_person(people_file, n + 1, lines[n], images) for n in range(at + 1, at + 1 + size)]
        at += 1 + size
    if at != len(lines):
        raise DatasetMalformed(people_file, at + 1, f"the list goes on after its {sets} sets")
    return tuple(found)


def _pair(path: Path, line: int, text: str, images: Path, fold: int, *, mated: bool) -> VerificationPair:
    fields = text.split()
    if len(fields) != (3 if mated else 4):
        form = "name number number" if mated else "name number name number"
        raise DatasetMalformed(path, line, f"expected `{form}`, found {len(fields)} fields")
    name_a, number_a = fields[:2]
    name_b, number_b = (name_a, fields[2]) if mated else fields[2:]
    if not mated and name_a == name_b:
        raise DatasetMalformed(path, line, "a pair of two people names the same person twice")
    named_by = f"line {line} of {path.name}"
    a = require_file(photo_path(images, name_a, _number(path, line, number_a)), named_by)
    b = require_file(photo_path(images, name_b, _number(path, line, number_b)), named_by)
    return VerificationPair(a, b, mated, fold)


def _person(path: Path, line: int, text: str, images: Path) -> Person:
    fields = text.split()
    if len(fields) != 2:
        raise DatasetMalformed(path, line, f"expected `name photos`, found {len(fields)} fields")
    name, count = fields[0], _number(path, line, fields[1])
    named_by = f"line {line} of {path.name}"
    return Person(name, tuple(require_file(photo_path(images, name, n), named_by) for n in range(1, count + 1)))


def _lines(path: Path) -> list[str]:
    lines = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DatasetMalformed(path, 1, "the list is empty")
    return lines


def _number(path: Path, line: int, text: str) -> int:
    """A whole number from 1."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise DatasetMalformed(path, line, f"expected a whole number from 1, found {text!r}")
    return int(text)
