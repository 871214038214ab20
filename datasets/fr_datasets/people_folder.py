"""People of your own, a folder of photos for each person, and pairs made of people with photos."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from pathlib import Path

from fr_core.id_forms import composed
from fr_datasets.errors import (
    DatasetError,
    DatasetMalformed,
    DatasetMissing,
    require_folder,
    require_inside,
    require_text,
)
from fr_datasets.labels import read_labels
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import quoted, read_table
from fr_datasets.values import PairSet, PeopleSet, Person, VerificationPair
from fr_locales.messages import message

MOST_NONMATED = 100_000
# Of one person: those of somebody with thousands of photos would drown out all others.
MOST_MATED = 100


def pairs_of_people(
    people: PeopleSet, most_nonmated: int = MOST_NONMATED, most_mated_of_one: int = MOST_MATED
) -> PairSet:
    """Every two photos of one person, and every two people by the first photo of each; somebody must have two photos.

    Where one person has more than `most_mated_of_one` pairs, that many are taken, at even distances in their order.
    Where those are more than `most_nonmated` pairs of people, each person is paired with the people that follow in the
    order of the set, and the last with the first ones: as many for each person as the bound allows, and one at least.
    The pairs have no folds, and the labels of the people go along.
    """
    mated = [
        VerificationPair(a, b, True, people=(person.identity, person.identity))
        for person in people.people
        for a, b in _two_photos(person.photos, most_mated_of_one)
    ]
    if not mated:
        raise DatasetError(message("error.dataset.nobody_set_two_photos"))
    nonmated = [
        VerificationPair(a.photos[0], b.photos[0], False, people=(a.identity, b.identity))
        for a, b in ((people.people[i], people.people[j]) for i, j in _two_people(len(people.people), most_nonmated))
    ]
    labels = {person.identity: person.labels for person in people.people}
    return PairSet(people.name, people.terms, (*mated, *nonmated), labels)


def _two_photos(photos: Sequence[Path], most: int) -> list[tuple[Path, Path]]:
    """Every two of the photos, or `most` of these pairs at even distances in their order."""
    count = len(photos)
    every = comb(count, 2)
    if every <= most:
        return list(combinations(photos, 2))

    def begin(first: int) -> int:
        """Return how many pairs come before those of a photo with the later ones."""
        return first * (2 * count - 1 - first) // 2

    found = []
    for place in (number * every // most for number in range(most)):
        first = bisect_right(range(count), place, key=begin) - 1
        found.append((photos[first], photos[first + 1 + place - begin(first)]))
    return found


def _two_people(count: int, most: int) -> list[tuple[int, int]]:
    if comb(count, 2) <= most:
        return list(combinations(range(count), 2))
    following = max(1, most // count)
    return [(person, (person + step) % count) for person in range(count) for step in range(1, following + 1)]


SUFFIXES = frozenset(
    f".{name}"
    for name in ("avif", "bmp", "gif", "heic", "heif", "hif", "jp2", "jpeg", "jpg", "png", "tif", "tiff", "webp")
)


def people(root: Path) -> PeopleSet:
    """The people of the folders `root`/PERSON, sorted, each with the photos in it, sorted by name.

    A person's identity is the folder's name in Unicode's NFC: macOS writes folder names in NFD. Two folders of one name
    in different forms, a photo beside the folders and something else in them are refused.

    `root`/labels.csv, if it exists, holds the column `person`, with everybody, and a column for each label.
    `root`/conditions.csv, if it exists, holds the columns `person,photo,condition`, and `root`/sessions.csv the columns
    `person,photo,session`; photos that they do not list have no condition and no session. Other files of
    `root` that are not photos, and names that begin with a dot, are ignored.
    """
    folders = []
    for path in _listed(root, root):
        if path.is_dir():
            folders.append(path)
        elif path.suffix.lower() in SUFFIXES:
            raise DatasetError(message("error.dataset.photo_no_person_folder", path=path, root=root))
    if not folders:
        raise DatasetMissing(message("error.dataset.folder_holds_no_folder_person", root=root))
    names = [composed(folder.name) for folder in folders]
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise DatasetError(message("error.dataset.two_folders_name_different", root=root, quoted=quoted(twice[0])))
    labels = _labels(root, names)
    photos = [_photos(folder, root) for folder in folders]
    named = {_name_of(photo): photo for own in photos for photo in own}
    conditions, sessions = (_by_photo(root / f"{word}s.csv", word, named) for word in ("condition", "session"))
    found = tuple(
        Person(name, own, labels.get(name, {}), _own(own, conditions), _own(own, sessions))
        for name, own in zip(names, photos, strict=True)
    )
    return PeopleSet("people_folder", load_manifest("people_folder").terms, found)


def pairs(root: Path) -> PairSet:
    """Pairs of the photos of `people`, as `pairs_of_people` makes them."""
    return pairs_of_people(people(root))


def _photos(folder: Path, root: Path) -> tuple[Path, ...]:
    photos = _listed(folder, root)
    for path in photos:
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            raise DatasetError(message("error.dataset.no_photo", path=path, suffixes=", ".join(sorted(SUFFIXES))))
    if not photos:
        raise DatasetMissing(message("error.dataset.folder_holds_no_photo_2", folder=folder))
    return tuple(photos)


def _listed(folder: Path, root: Path) -> list[Path]:
    """Return what a folder holds, sorted, without names that begin with a dot; none of it may lead out of `root`."""
    listed = sorted(require_text(path) for path in require_folder(folder).iterdir() if path.name[0] != ".")
    return [require_inside(path, root) for path in listed]


def _name_of(photo: Path) -> tuple[str, str]:
    """Return the names of a photo's folder and of the photo, in Unicode's NFC."""
    return composed(photo.parent.name), composed(photo.name)


def _own(photos: Sequence[Path], words: Mapping[Path, str]) -> dict[Path, str]:
    return {photo: words[photo] for photo in photos if photo in words}


def _by_photo(path: Path, column: str, photos: Mapping[tuple[str, str], Path]) -> dict[Path, str]:
    """Read the words of a column of a table, by photo; none where there is no table."""
    found: dict[Path, str] = {}
    if not path.exists():
        return found
    for line, row in read_table(path, ("person", "photo", column)):
        photo = photos.get((composed(row["person"]), composed(row["photo"])))
        if photo is None:
            raise DatasetMalformed(path, line, message("error.dataset.person_no_photo"))
        if photo in found:
            raise DatasetMalformed(path, line, message("error.dataset.photo_listed_twice"))
        found[photo] = row[column].strip()
    return found


def _labels(root: Path, names: list[str]) -> dict[str, dict[str, str]]:
    path = root / "labels.csv"
    if not path.exists():
        return {}
    labels = read_labels(path, "person")
    for name in names:
        if name not in labels:
            raise DatasetMissing(message("error.dataset.folder_no_row", root=root / name, path=path))
    known = set(names)
    strangers = [name for name in labels if name not in known]
    if strangers:
        first = quoted(strangers[0])
        raise DatasetError(message("error.dataset.strangers", path=path, strangers=len(strangers), first=first))
    return labels
