"""People of data sets, as courses use them: by the names of the sets, without what is known to be labelled wrong."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from fr_core.errors import InvalidField
from fr_datasets.errors import DatasetError, DatasetUnknown, of_dataset
from fr_datasets.manifests import load_manifest
from fr_datasets.values import Person
from fr_evaluation.identification.run import PEOPLE_READERS

LABEL_ERROR = "LABEL_ERROR"
"""Why a photo was left out: its label is known to be wrong."""

# Sets that hold the same people, so that a course of two of them would show one person as two.
_SAME_PEOPLE = (frozenset({"lfw", "lfw_funneled", "lfw_original"}),)


@dataclass(frozen=True, slots=True)
class NamedPeople:
    """The people of a data set.

    Attributes:
        name: of the set.
        terms: on which its photos may be used.
        people: with the photos whose labels are not known to be wrong; never empty.
        label_errors: photos that were left out as their labels are known to be wrong.
    """

    name: str
    terms: str
    people: tuple[Person, ...]
    label_errors: int = 0


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """The known label errors of a data set.

    Attributes:
        photos: names of files, without folder and end.
        people: identities, all of whose photos are left out.
    """

    photos: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()


def read_named_people(name: str, root: Path) -> NamedPeople:
    """Read the people of a data set, without known label errors.

    Args:
        name: of its manifest.
        root: its folder.

    Raises:
        DatasetUnknown: there is no data set of that name that names people with their photos.
        DatasetError: a list or a photo is absent, a list breaks its format, or nobody is left.
    """
    if name not in PEOPLE_READERS:
        load_manifest(name)  # raises for a name of no set
        raise DatasetUnknown(f"The data set {name} names no people; those that do are {', '.join(PEOPLE_READERS)}.")
    with of_dataset(name):
        read = PEOPLE_READERS[name](root)
        wrong = label_errors(name)
        people, count = _without(read.people, wrong)
        if not people:
            raise DatasetError(f"The data set {name} holds only photos whose labels are known to be wrong.")
    return NamedPeople(name, read.terms, people, count)


def read_datasets(named: Iterable[tuple[str, Path]]) -> tuple[NamedPeople, ...]:
    """Read the people of several data sets, by names and folders; raises what `read_named_people` does.

    Raises:
        InvalidField: as `require_different_people`.
    """
    folders = tuple(named)
    require_different_people([name for name, _ in folders])
    return tuple(read_named_people(name, root) for name, root in folders)


def label_errors(name: str) -> LabelErrors:
    """Return the known label errors of a data set; none if none are known."""
    text = (resources.files("fr_training") / "label_errors.toml").read_text(encoding="utf-8")
    for table in tomllib.loads(text)["errors"]:
        if name in table["datasets"]:
            return LabelErrors(frozenset(table["photos"]), frozenset(table["people"]))
    return LabelErrors()


def require_different_people(names: Sequence[str]) -> None:
    """Raise `InvalidField` where no data set is named, one is named twice, or two hold the same people."""
    if not names:
        raise InvalidField("A course is made of at least one data set.", field="datasets")
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidField(f"The data set {name} is named twice.", field="datasets")
    for same in _SAME_PEOPLE:
        named = sorted(same.intersection(names))
        if len(named) > 1:
            what = f"The data sets {' and '.join(named)} hold the same people: name one of them."
            raise InvalidField(what, field="datasets")


def identity_of(dataset: str, identity: str) -> str:
    """The id of a person among the people of all data sets."""
    return f"{dataset}:{identity}"


def identities_of(numbers: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Numbers of people by their identities, with the name of the set before it, and without where that is clear.

    Args:
        numbers: by data set and identity in it.
    """
    times = Counter(identity for _, identity in numbers)
    alone = {identity: number for (_, identity), number in numbers.items() if times[identity] == 1}
    return alone | {identity_of(dataset, identity): number for (dataset, identity), number in numbers.items()}


def _without(people: Sequence[Person], wrong: LabelErrors) -> tuple[tuple[Person, ...], int]:
    """The people with photos whose labels are not known to be wrong, and how many photos were left out."""
    left: list[Person] = []
    count = 0
    for person in people:
        named = person.identity in wrong.people
        photos = () if named else tuple(photo for photo in person.photos if photo.stem not in wrong.photos)
        count += len(person.photos) - len(photos)
        if photos:
            left.append(replace(person, photos=photos))
    return tuple(left), count
