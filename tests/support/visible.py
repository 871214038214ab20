"""Extracts what photos show apart from the identity of the face, as rows for classifiers that look for answers."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fr_training.bank.labels import age_of, ethnicity_of, sex_of
from fr_training.bank.pool import PoolPerson
from fr_training.build.people import AnalysedPeople
from fr_training.build.pictures import SIDE, shown
from fr_training.courses import Item
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from support.leaks import Row, bare

F64 = npt.NDArray[np.float64]

_FACE = shown("oval") > 0.99
_AROUND = shown("oval") < 0.01


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo as seen by a person who ignores whose face it is.

    Attributes:
        told: data set, condition, whether the person has several photos, format, sex, ethnicity and ten years of age:
            each a number that is equal where the thing is. The place among the photos of a person is none of them:
            where it shows in the photos, it is the condition.
        file: the photo's own file: bytes, width, height.
        picture: of the JPEG that is sent: light, colour, sharpness, noise, size.
    """

    told: tuple[float, ...]
    file: tuple[float, ...]
    picture: tuple[float, ...]


class Photos:
    def __init__(self, gathered: AnalysedPeople, shown: Sequence[int], pictures: Sequence[bytes] = ()) -> None:
        """Numbers of photos in the pool, and the JPEGs sent for them; without these, pictures show nothing."""
        people = gathered.pool.people
        self._whose = {photo.number: (person, n) for person in people for n, photo in enumerate(person.photos)}
        self._numbers: dict[object, float] = {}
        self._seen = [
            self._look(*self._whose[number], gathered.sources[number].path, picture)
            for number, picture in zip(shown, pictures or [b""] * len(shown), strict=True)
        ]

    def of(self, item: Item) -> list[Seen]:
        return [self._seen[number] for number in item.photos]

    def _look(self, person: PoolPerson, place: int, path: Path, picture: bytes) -> Seen:
        labels = person.labels
        told = (person.source, person.photos[place].condition, min(len(person.photos), 2), path.suffix)
        who = (sex_of(labels), ethnicity_of(labels), -1 if (age := age_of(labels)) is None else age // 10)
        with Image.open(path) as image:
            file = (float(path.stat().st_size), float(image.width), float(image.height), float(image.mode == "L"))
        return Seen(tuple(map(self._number, (*told, *who))), file, attributes(picture) if picture else ())

    def _number(self, value: object) -> float:
        return self._numbers.setdefault(value, float(len(self._numbers)))


def attributes(picture: bytes) -> tuple[float, ...]:
    """Brightness, contrast, sharpness, noise, colours, where the light comes from, what is around, and bytes."""
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("YCbCr"), dtype=np.float32)
    grey, blue, red = (pixels[..., channel] for channel in range(3))
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    half = SIDE // 2
    face = grey[_FACE]
    found = (
        face.mean(),
        face.std(),
        np.percentile(face, 2),
        np.percentile(face, 98),
        np.log1p(edges[_FACE].var()),
        np.median(np.abs(edges[_FACE])),
        blue[_FACE].mean(),
        red[_FACE].mean(),
        red[_FACE].std(),
        grey[:, :half][_FACE[:, :half]].mean() - grey[:, half:][_FACE[:, half:]].mean(),
        grey[:half][_FACE[:half]].mean() - grey[half:][_FACE[half:]].mean(),
        grey[_AROUND].mean(),
        grey[_AROUND].std(),
        len(bare(picture)),
    )
    return tuple(map(float, found))


Of = Callable[[Seen], tuple[float, ...]]  # the attributes to check


def told(seen: Seen) -> tuple[float, ...]:
    return (*seen.told, *seen.file)


def picture(seen: Seen) -> tuple[float, ...]:
    return seen.picture


def pair_rows(items: Sequence[Item], photos: Photos, of: Of, stratum: int = 0) -> Iterator[Row]:
    for item in items:
        assert isinstance(item.key, PairKey)
        a, b = (np.array(of(one)) for one in photos.of(item))
        yield Row(stratum, (*a, *b, *np.abs(a - b), *(a != b)), int(item.key.mated))


def triad_rows(items: Sequence[Item], photos: Photos, of: Of) -> Iterator[Row]:
    """Rows to learn the odd photo of a triad: features of each, its distance from the others, and what only it has."""
    for stratum, item in enumerate(items):
        assert isinstance(item.key, TriadKey)
        seen = np.array([of(one) for one in photos.of(item)])
        for place in range(3):
            yield Row(stratum, (*seen[place], *_apart(seen, place)), int(place == item.key.odd))


def list_rows(items: Sequence[Item], photos: Photos, of: Of) -> Iterator[Row]:
    for stratum, item in enumerate(items):
        assert isinstance(item.key, ListKey)
        probe, *seen = (np.array(of(one)) for one in photos.of(item))
        for place, one in enumerate(seen):
            if item.key.mate is not None:
                apart = _apart(np.array(seen), place)
                yield Row(stratum, (*one, *np.abs(one - probe), *(one != probe), *apart), int(place == item.key.mate))


def presence_rows(items: Sequence[Item], photos: Photos, of: Of) -> Iterator[Row]:
    """Rows to learn whether the person is on a list: the probe, the candidates, and their distances from it."""
    for item in items:
        assert isinstance(item.key, ListKey)
        probe, *rest = (np.array(of(one)) for one in photos.of(item))
        seen = np.array(rest)
        apart = np.abs(seen - probe)
        features = (*probe, *seen.mean(axis=0), *seen.std(axis=0), *apart.min(axis=0), *apart.mean(axis=0))
        yield Row(0, features, int(item.key.mate is not None))


def triage_rows(items: Sequence[Item], photos: Photos, of: Of) -> Iterator[Row]:
    for item in items:
        assert isinstance(item.key, TriageKey)
        (one,) = photos.of(item)
        yield Row(0, of(one), int(item.key.usability == "usable"))


def _apart(seen: F64, place: int) -> tuple[float, ...]:
    """The distance by which one of several stands out from the others, and in which measurement it stands out."""
    others = np.delete(seen, place, axis=0)
    between = np.mean([np.abs(a - b) for a, b in combinations(others, 2)] or [np.zeros(seen.shape[1])], axis=0)
    away = np.abs(others - seen[place])
    return (*(away.mean(axis=0) - between), *(away > 0).all(axis=0))


def joint(chances: Sequence[float]) -> float:
    """One chance from those of seeds, whose courses share people: of several twice their mean, whatever they share.

    Twice the mean of p-values is one, however they depend on each other (Vovk and Wang, Biometrika 2020).
    """
    return chances[0] if len(chances) == 1 else min(1.0, 2.0 * float(np.mean(chances)))
