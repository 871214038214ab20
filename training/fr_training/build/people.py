"""Reads the people of data sets, without known label errors, and analyses their photos to a pool for a course."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Protocol

from fr_core.engine import Engine
from fr_core.errors import InputRefused, InvalidField, NoFaceFound, message
from fr_core.pipeline import Pipeline
from fr_core.types import F32
from fr_datasets.errors import DatasetError, DatasetUnknown, DatasetUnreadable, of_dataset, read_photo
from fr_datasets.manifests import load_manifest
from fr_datasets.values import Person
from fr_evaluation.photos import EmbeddedPhoto, in_threads, most_central
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto
from fr_training.build.footage import frames_of, numbered_track, tracks_of
from fr_training.build.pictures import looks_of
from fr_training.build.sources import COURSE_READERS, UNUSABLE, PhotoSource

# Why a photo was left out.
LABEL_ERROR = "LABEL_ERROR"  # its label is known to be wrong
TWO_PEOPLE = "TWO_PEOPLE"  # the same file is there under two people
SAME_PHOTO = "SAME_PHOTO"  # the same file is there twice under one person
NO_PHOTO_LEFT = "NO_PHOTO_LEFT"  # of a person: no photo can be used

# Sets that hold the same people, so that a course of two of them would show one person as two. The people of YouTube
# Faces are some of LFW (Wolf, Hassner, Maoz, "Face recognition in unconstrained videos with matched background
# similarity", CVPR 2011).
_SAME_PEOPLE = (frozenset({"lfw", "lfw_funneled", "lfw_original", "youtube_faces"}),)


@dataclass(frozen=True, slots=True)
class NamedPeople:
    """The people of a data set, at least one, and the terms on which its photos may be used.

    `label_errors` counts the photos that were left out as their labels are known to be wrong.
    """

    name: str
    terms: str
    people: tuple[Person, ...]
    label_errors: int = 0


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """The known label errors of a data set: names of photo files, without folder and end, and identities of people.

    All photos of these people are left out.
    """

    photos: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()


def read_named_people(name: str, root: Path) -> NamedPeople:
    """Read the people of a data set, by the name of its manifest, without known label errors.

    Raises `DatasetUnknown` where no data set of that name names people with their photos, and `DatasetError` where a
    list or a photo is absent, a list breaks its format, or nobody is left.
    """
    if name not in COURSE_READERS:
        load_manifest(name)  # raises for a name of no set
        raise DatasetUnknown(message("error.build.no_named_people", name=name, names=", ".join(COURSE_READERS)))
    with of_dataset(name):
        read = COURSE_READERS[name](root)
        wrong = label_errors(name)
        people, count = _without(read.people, wrong)
        if not people:
            raise DatasetError(message("error.build.only_wrong_labels", name=name))
    return NamedPeople(name, read.terms, people, count)


def read_datasets(named: Iterable[tuple[str, Path]]) -> tuple[NamedPeople, ...]:
    """Read the people of several data sets, by names and folders.

    Raises what `require_different_people` and `read_named_people` do.
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
        raise InvalidField(message("error.build.no_dataset"), field="datasets")
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidField(message("error.build.dataset_twice", name=name), field="datasets")
    for same in _SAME_PEOPLE:
        named = sorted(same.intersection(names))
        if len(named) > 1:
            raise InvalidField(message("error.build.same_people", named=" and ".join(named)), field="datasets")


def identities_of(numbers: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Numbers of people by identity, with the name of the data set before it, and without where that is clear."""
    times = Counter(identity for _, identity in numbers)
    alone = {identity: number for (_, identity), number in numbers.items() if times[identity] == 1}
    return alone | {f"{dataset}:{identity}": number for (dataset, identity), number in numbers.items()}


def _without(people: Sequence[Person], wrong: LabelErrors) -> tuple[tuple[Person, ...], int]:
    """The people with photos whose labels are not known to be wrong, and how many photos were left out."""
    left: list[Person] = []
    count = 0
    for person in people:
        named = person.identity in wrong.people
        photos = () if named else tuple(photo for photo in person.photos if photo.stem not in wrong.photos)
        count += len(person.photos) - len(photos)
        if photos or (person.videos and not named):
            left.append(replace(person, photos=photos))
    return tuple(left), count


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedPeople:
    """People to make a course of, numbered from 0 in the order of the data sets."""

    pool: Pool
    sources: Mapping[int, PhotoSource]  # of each photo, by its number in the pool
    # Of the people, by data set and identity in it; those without a usable photo have none.
    numbers: Mapping[tuple[str, str], int]
    # Photos that were left out by reason, and people by `NO_PHOTO_LEFT`; empty where none was.
    excluded: Mapping[str, int]


# The face of a photo, and where it is; no pixel is kept, as a data set has more photos than memory holds.
_Usable = tuple[PoolPhoto, F32]


def analyse_people(
    datasets: Sequence[NamedPeople], engine: Engine, workers: int, on_progress: Callable[[int, int], None]
) -> AnalysedPeople:
    """Analyse all photos of data sets, `workers` at a time; of several faces in a photo, that of `most_central` counts.

    Tracks of videos stand behind the photos of a person. `on_progress` is called with photos and frames done, at first
    0, and all of them.

    Raises:
        InvalidField: by `require_different_people`.
        CallEnded: the caller's ticket is no longer wanted.
        DatasetUnreadable: a photo has gone since the lists were read.
    """
    require_different_people([dataset.name for dataset in datasets])
    people = [(dataset.name, person) for dataset in datasets for person in dataset.people]
    paths = [photo for _, person in people for photo in person.photos]
    everybody = [person for _, person in people]
    frames = len(frames_of(everybody))

    def photos_done(done: int, total: int) -> None:
        on_progress(done, total + frames)

    def frames_done(done: int, total: int) -> None:
        if total:
            on_progress(len(paths) + done, len(paths) + total)

    seen = dict(zip(paths, in_threads(partial(_see, engine.pipeline), paths, workers, photos_done), strict=True))
    tracks = list(tracks_of(everybody, engine.pipeline, workers, frames_done))
    excluded = Counter({LABEL_ERROR: sum(dataset.label_errors for dataset in datasets)})
    kept = _kept(everybody, seen, excluded)
    pool_people: list[PoolPerson] = []
    sources: dict[int, PhotoSource] = {}
    numbers: dict[tuple[str, str], int] = {}
    for (dataset, person), photos, followed in zip(people, kept, tracks, strict=True):
        if not photos and not followed:
            excluded[NO_PHOTO_LEFT] += 1
            continue
        first, number = len(sources), len(pool_people)
        for i, (path, (photo, landmarks)) in enumerate(photos):
            sources[first + i] = PhotoSource(path, photo.sha256, landmarks)
        pool_photos = tuple(
            replace(
                photo,
                number=first + i,
                condition=person.conditions.get(path, ""),
                session=person.sessions.get(path, ""),
            )
            for i, (path, (photo, _)) in enumerate(photos)
        )
        pool_tracks = tuple(numbered_track(track, sources) for track in followed)
        pool_people.append(PoolPerson(number, (*pool_photos, *pool_tracks), person.labels, dataset))
        numbers[dataset, person.identity] = number
    pool = Pool(tuple(pool_people), engine.pipeline.model, engine.calibration)
    return AnalysedPeople(pool, sources, numbers, {reason: count for reason, count in excluded.items() if count})


class Analyse(Protocol):
    """Analyses data sets, as `analyse_people` does."""

    def __call__(
        self, datasets: Sequence[NamedPeople], engine: Engine, workers: int, on_progress: Callable[[int, int], None]
    ) -> AnalysedPeople:
        """See `analyse_people`."""


class LastAnalysis:
    """Analyses data sets, and keeps the last result in memory: a forecast, and then the course, need the same.

    What was kept is used again for the same files, by their paths, sizes and times. One call at a time.
    """

    def __init__(self) -> None:
        self._of: object = None
        self._found: AnalysedPeople | None = None

    def __call__(
        self, datasets: Sequence[NamedPeople], engine: Engine, workers: int, on_progress: Callable[[int, int], None]
    ) -> AnalysedPeople:
        """See `analyse_people`."""
        now = (engine.pipeline.model, tuple(datasets), tuple(map(_state, datasets)))
        if self._found is None or self._of != now:
            self._found = None  # before another takes as much memory
            self._found, self._of = analyse_people(datasets, engine, workers, on_progress), now
        return self._found


def _state(dataset: NamedPeople) -> tuple[tuple[int, int], ...]:
    """Sizes and times of the photos; raises `DatasetUnreadable` where one has gone."""
    photos = [photo for person in dataset.people for photo in person.photos]
    photos += [frame.photo for person in dataset.people for video in person.videos for frame in video.frames]
    found = []
    with of_dataset(dataset.name):
        for path in photos:
            try:
                state = path.stat()
            except OSError as error:
                text = message("error.dataset.photo_gone", path=path, reason=str(error.strerror))
                raise DatasetUnreadable(text) from error
            found.append((state.st_size, state.st_mtime_ns))
    return tuple(found)


def _see(pipeline: Pipeline, path: Path) -> _Usable | str:
    """The face of a photo, or why it has none that can be used."""
    data = read_photo(path, pipeline.image_limits.max_bytes)
    try:
        photo = pipeline.analyze(data)
    except InputRefused as refusal:
        return refusal.reason
    face = most_central(EmbeddedPhoto((photo.image.width, photo.image.height), photo.faces))
    if face is None:
        return NoFaceFound.reason
    quality = face.face.quality
    for reason in UNUSABLE:
        if reason in quality.reasons:
            return str(reason)
    landmarks = face.face.detection.landmarks
    looks, bare = looks_of(photo.image.pixels, landmarks)
    vector = face.embedding.vector
    found = PoolPhoto(0, photo.image.sha256, vector, quality.yaw, quality.score, looks=looks, bare=bare)
    return found, landmarks


def _kept(
    people: Sequence[Person], seen: Mapping[Path, _Usable | str], excluded: Counter[str]
) -> list[list[tuple[Path, _Usable]]]:
    """The photos of each person that can be used, each file once; what is left out is counted."""
    owners: dict[str, set[int]] = {}
    for number, person in enumerate(people):
        for face in map(seen.__getitem__, person.photos):
            if not isinstance(face, str):
                owners.setdefault(face[0].sha256, set()).add(number)
    kept = []
    for person in people:
        photos: dict[str, tuple[Path, _Usable]] = {}
        for path in person.photos:
            face = seen[path]
            if isinstance(face, str):
                excluded[face] += 1
            elif len(owners[face[0].sha256]) > 1:
                excluded[TWO_PEOPLE] += 1
            elif face[0].sha256 in photos:
                excluded[SAME_PHOTO] += 1
            else:
                photos[face[0].sha256] = path, face
        kept.append(list(photos.values()))
    return kept
