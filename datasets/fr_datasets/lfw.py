"""Labeled Faces in the Wild: the pairs of View 1 and View 2, and the people sets, by the official lists.

The root holds the lists. The people's folders lie in it, or in `images`, or in the folder of one of LFW's archives.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from fr_datasets.errors import DatasetMalformed, DatasetMissing
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import choose_folder, listed_photo, read_filled_lines, suggest_folder, whole_number
from fr_datasets.values import Counts, PairSet, PeopleSet, Person, VerificationPair
from fr_locales.messages import message


def photo_name(name: str, number: int) -> str:
    """Return where photo `number`, from 1, of the person `name` lies: NAME/NAME_0001.jpg."""
    return f"{name}/{name}_{number:04d}.jpg"


def read_pairs(pairs_file: Path, images: Path) -> tuple[VerificationPair, ...]:
    """Read a list of pairs by the rule of View 2.

    The header holds the number of folds F and of pairs of each class N, such as "10 300". F blocks follow, each with N
    lines "name number number" (mated), then N lines "name number name number" (not mated).
    """
    lines = read_filled_lines(pairs_file)
    header = lines[0].split()
    if len(header) != 2:
        raise DatasetMalformed(pairs_file, 1, message("error.dataset.header_must_hold_two"))
    folds, per_class = (whole_number(pairs_file, 1, text) for text in header)
    return _blocks(pairs_file, lines, images, folds, per_class)


def read_dev_pairs(pairs_file: Path, images: Path) -> tuple[VerificationPair, ...]:
    """Read a list of pairs by the rule of View 1: that of View 2 with one block, and a header of N alone.

    The pairs have no fold. Errors are those of `read_pairs`.
    """
    lines = read_filled_lines(pairs_file)
    header = lines[0].split()
    if len(header) != 1:
        raise DatasetMalformed(pairs_file, 1, message("error.dataset.header_must_hold_number"))
    return _blocks(pairs_file, lines, images, None, whole_number(pairs_file, 1, header[0]))


def read_people(people_file: Path, images: Path) -> tuple[Person, ...]:
    """Read a list of people sets: the number of sets, then for each set its size and as many lines "name photos"."""
    lines = read_filled_lines(people_file)
    sets = whole_number(people_file, 1, lines[0])
    found: list[Person] = []
    at = 1
    for _ in range(sets):
        if at >= len(lines):
            raise DatasetMalformed(people_file, len(lines), message("error.dataset.list_ends_before_sets", sets=sets))
        size = whole_number(people_file, at + 1, lines[at])
        if at + size >= len(lines):
            raise DatasetMalformed(people_file, at + 1, message("error.dataset.fewer_people_follow", size=size))
        found += [_person(people_file, n + 1, lines[n], images) for n in range(at + 1, at + 1 + size)]
        at += 1 + size
    if at != len(lines):
        raise DatasetMalformed(people_file, at + 1, message("error.dataset.list_goes_after_sets", sets=sets))
    return tuple(found)


def read_dev_people(people_file: Path, images: Path) -> tuple[Person, ...]:
    """Read a people set of View 1: its size, then as many lines "name photos"; errors are those of `read_people`."""
    lines = read_filled_lines(people_file)
    size = whole_number(people_file, 1, lines[0])
    if len(lines) != 1 + size:
        raise DatasetMalformed(
            people_file, 1, message("error.dataset.promised_people", size=size, lines=len(lines) - 1)
        )
    return tuple(_person(people_file, number, text, images) for number, text in enumerate(lines[1:], 2))


def _blocks(
    path: Path, lines: list[str], images: Path, folds: int | None, per_class: int
) -> tuple[VerificationPair, ...]:
    promised = (folds or 1) * 2 * per_class
    if len(lines) != 1 + promised:
        raise DatasetMalformed(
            path, len(lines), message("error.dataset.promised_pairs", promised=promised, lines=len(lines) - 1)
        )
    pairs = []
    for index, text in enumerate(lines[1:]):
        block, place = divmod(index, 2 * per_class)
        fold = None if folds is None else block + 1
        pairs.append(_pair(path, index + 2, text, images, fold, mated=place < per_class))
    return tuple(pairs)


def _pair(path: Path, line: int, text: str, images: Path, fold: int | None, *, mated: bool) -> VerificationPair:
    fields = text.split()
    if len(fields) != (3 if mated else 4):
        form = "name number number" if mated else "name number name number"
        raise DatasetMalformed(path, line, message("error.dataset.fields", form=form, fields=len(fields)))
    name_a, number_a = fields[:2]
    name_b, number_b = (name_a, fields[2]) if mated else fields[2:]
    if not mated and name_a == name_b:
        raise DatasetMalformed(path, line, message("error.dataset.pair_two_people_names"))
    a = listed_photo(images, photo_name(name_a, whole_number(path, line, number_a)), path, line)
    b = listed_photo(images, photo_name(name_b, whole_number(path, line, number_b)), path, line)
    return VerificationPair(a, b, mated, fold, (name_a, name_b))


def _person(path: Path, line: int, text: str, images: Path) -> Person:
    fields = text.split()
    if len(fields) != 2:
        raise DatasetMalformed(path, line, message("error.dataset.expected_name_photos_found", fields=len(fields)))
    name, count = fields[0], whole_number(path, line, fields[1])
    numbers = range(1, count + 1)
    return Person(name, tuple(listed_photo(images, photo_name(name, n), path, line) for n in numbers))


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
