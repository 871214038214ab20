"""People of your own: a folder with a folder for each person, in which the photos lie."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from fr_datasets.people_pairs import pairs_of_people
from fr_datasets.tables import quoted, read_table
from fr_datasets.values import PairSet, PeopleSet, Person
from fr_locales.messages import message

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
