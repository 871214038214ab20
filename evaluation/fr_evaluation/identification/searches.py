"""Identification: half of a set's people enrolled, the photos of all others searched for, in galleries of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.gallery_sizes import mated_at_sizes, nonmated_at_sizes
from fr_core.scoring.identification import MatedSearches, NonmatedSearches
from fr_core.scoring.intervals import UndefinedRate
from fr_core.types import I64, Embedding
from fr_datasets.values import Person
from fr_locales.messages import message

# Strangers that are drawn and compared at once.
BLOCK = 4096
# People, one template each, that strangers are modelled on at most.
MOST_PEOPLE = 5000
# Of the comparisons of real people, shares at whose thresholds drawn ones are held against them.
SHARES = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, slots=True)
class Likeness:
    """The frequency at which drawn strangers are as similar to people as real strangers are."""

    real: float  # share of the comparisons of every two people that reach `threshold`
    count: int  # of these comparisons
    threshold: float
    drawn: float  # likewise of the comparisons of people with drawn strangers


class Strangers:
    """Draws templates from a normal distribution with the mean and the covariance of the people's, brought to length 1.

    The covariance is drawn towards that of a sphere, as far as it takes for strangers to be as alike to people, by the
    mean square of their similarities, as people are to each other: that of few people has too few directions. Tails are
    not matched: see `likeness`. `people` are unit vectors f32[n, D], n >= 1, of which the first `MOST_PEOPLE` count.
    """

    def __init__(self, people: F32, seed: int) -> None:
        self._people = people[:MOST_PEOPLE]
        self._seed = seed
        exact = self._people.astype(np.float64)
        self._mean = exact.mean(axis=0)
        covariance = np.cov(exact, rowvar=False, bias=True)
        sphere = float(np.trace(covariance)) / len(covariance)
        self.shrinkage = _shrinkage(exact, self._mean, covariance, sphere)
        values, axes = np.linalg.eigh(
            (1 - self.shrinkage) * covariance + self.shrinkage * sphere * np.eye(len(covariance))
        )
        self._scaled_axes = (axes * np.sqrt(np.maximum(values, 0.0))).T.astype(np.float32)

    def blocks(self, count: int) -> Iterator[F32]:
        """The first `count` strangers, always the same, in blocks f32[b, D]; raises `CallEnded`."""
        chance = np.random.default_rng(self._seed)
        mean = self._mean.astype(np.float32)
        for start in range(0, count, BLOCK):
            current_ticket().require_wanted()
            normal = chance.standard_normal((min(BLOCK, count - start), len(mean)), dtype=np.float32)
            drawn = normal @ self._scaled_axes + mean
            yield drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def likeness(self) -> tuple[Likeness, ...]:
        """Drawn strangers held against real ones, for those of `SHARES` that this many people show."""
        similarities = self._people @ self._people.T
        real = np.sort(similarities[np.triu_indices(len(similarities), 1)])
        drawn = np.concatenate([(self._people @ block.T).ravel() for block in self.blocks(BLOCK)])
        found = []
        for share in SHARES:
            reached = int(share * len(real))
            if reached:
                threshold = float(real[-reached])
                found.append(Likeness(share, reached, threshold, float((drawn >= threshold).mean())))
        return tuple(found)


def _shrinkage(people: F64, mean: F64, covariance: F64, sphere: float) -> float:
    """In [0, 1]: how far the covariance must go towards the sphere for the mean square similarity of real people."""
    n = len(people)
    if n < 2:
        return 1.0
    similarities = people @ people.T
    real = (float((similarities**2).sum()) - float((np.diag(similarities) ** 2).sum())) / (n * (n - 1))
    along = float(((people @ covariance) * people).sum(axis=1).mean())
    modelled = float(((people @ mean) ** 2).mean()) + along
    return float(np.clip((modelled - real) / (along - sphere), 0.0, 1.0)) if along > sphere else 0.0


F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Similarities of probes to people that are in memory at once, in several copies: 128 MiB each.
CELLS = 2**24

# Of a search: the last four of `Search`.
_Answer = tuple[int | None, float | None, Path | None, float | None]
_UNDONE: _Answer = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class OpenSet:
    """The people who are enrolled, and those who are searched for."""

    enrolled: tuple[Path, ...]  # with a photo each, in order of enrolment
    mated: tuple[tuple[int, Path], ...]  # (number in `enrolled`, photo) of each further photo of them
    nonmated: tuple[tuple[int, Path], ...]  # (number among those who are not enrolled, photo)

    @property
    def photos(self) -> tuple[Path, ...]:
        """All of them, each once."""
        return (*self.enrolled, *(photo for _, photo in (*self.mated, *self.nonmated)))


@dataclass(frozen=True, slots=True)
class Search:
    """A search of the gallery of real people for a photo; None where there is none, or it could not be done."""

    photo: Path
    person: int  # number of its person
    # The photo with which its person was, or should have been, enrolled; None for somebody who is not.
    mate: Path | None
    rank: int | None  # of the mate, from 1
    similarity: float | None  # of the mate
    nearest: Path | None  # photo of the best candidate who is somebody else
    other: float | None  # similarity of `nearest`


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """The searches of galleries of several sizes; each gallery is part of each larger one."""

    mated: tuple[MatedSearches, ...]
    nonmated: tuple[NonmatedSearches, ...]
    people: int  # the enrolled ones who are real
    not_enrolled: int  # whose photo gave no template: every search for them is a miss
    made: tuple[Search, ...]  # of the smallest gallery, also those that could not be done: mated ones, then the others
    likeness: tuple[Likeness, ...] = ()


def open_set(people: Sequence[Person], seed: int) -> OpenSet:
    """Enrol half of the people, rounded up, drawn by chance, each with the first photo."""
    order = np.random.default_rng(seed).permutation(len(people))
    half = (len(people) + 1) // 2
    chosen = [people[number] for number in order[:half]]
    others = [people[number] for number in order[half:]]
    return OpenSet(
        tuple(person.photos[0] for person in chosen),
        tuple((number, photo) for number, person in enumerate(chosen) for photo in person.photos[1:]),
        tuple((number, photo) for number, person in enumerate(others) for photo in person.photos),
    )


def search(given: OpenSet, embeddings: Mapping[Path, Embedding | None], sizes: Sequence[int], seed: int) -> Searches:
    """Search for every probe in galleries of the enrolled people, then of these with ever more strangers.

    Strangers are drawn like the people of the set, see `Strangers`. Real ones are most likely mistaken for somebody
    more often (`Likeness` tells), so that a curve over them shows less than a real gallery of that size costs.
    `embeddings` are of each photo of `given`; None where it gave none. `sizes` are of the larger galleries, ascending;
    those that are no larger than the enrolled people are left out. `seed` is of the strangers. Raises `UndefinedRate`
    if nobody could be enrolled.
    """
    columns: dict[int, int] = {}  # of the enrolled people whose photo gave a template, in `gallery`
    for number, photo in enumerate(given.enrolled):
        if embeddings[photo] is not None:
            columns[number] = len(columns)
    if not columns:
        raise UndefinedRate(message("undefined.core.nobody_could_enrolled_so"))
    mated = [(number, photo) for number, photo in given.mated if number in columns and embeddings[photo] is not None]
    nonmated = [photo for _, photo in given.nonmated if embeddings[photo] is not None]
    gallery = _vectors(embeddings, given.enrolled)
    probes = _vectors(embeddings, [photo for _, photo in mated], gallery.shape[1])
    unknown = _vectors(embeddings, nonmated, gallery.shape[1])
    galleries = [len(gallery), *(size for size in sizes if size > len(gallery))]
    count = galleries[-1] - len(gallery)
    strangers = None
    if count:
        strangers = Strangers(np.concatenate([gallery, _firsts(given, embeddings, gallery.shape[1])]), seed)
    width = max(len(gallery), BLOCK if count else 0)
    people = [given.enrolled[number] for number in columns]
    own = np.array([columns[number] for number, _ in mated], dtype=np.int64)
    of_mated, of_nonmated = [], []
    answered: dict[Path, _Answer] = {}
    for part in _parts(len(probes), width):
        similarities = (probes[part] @ gallery.T).astype(np.float64)
        mates, others = _apart(similarities, own[part])
        found = mated_at_sizes(mates, _with_strangers(probes[part], others, strangers, count), galleries)
        of_mated.append(found)
        similarities[np.arange(len(mates)), own[part]] = -np.inf
        answers = zip(found[0].ranks.tolist(), mates.tolist(), _nearest(similarities, people), strict=True)
        for (_, photo), (rank, mate, nearest) in zip(mated[part], answers, strict=True):
            answered[photo] = (rank, mate, *nearest)
    for part in _parts(len(unknown), width):
        similarities = (unknown[part] @ gallery.T).astype(np.float64)
        of_nonmated.append(nonmated_at_sizes(_with_strangers(unknown[part], similarities, strangers, count), galleries))
        for photo, nearest in zip(nonmated[part], _nearest(similarities, people), strict=True):
            answered[photo] = (None, None, *nearest)
    return Searches(
        _all_mated(of_mated, len(given.mated) - len(mated)),
        _all_nonmated(of_nonmated, len(given.nonmated) - len(nonmated)),
        len(gallery),
        len(given.enrolled) - len(gallery),
        tuple(_told(given, answered)),
        strangers.likeness() if strangers else (),
    )


def _parts(probes: int, width: int) -> Iterator[slice]:
    """The probes in parts, one at least, of no more than `CELLS` similarities to `width` people; raises `CallEnded`."""
    step = max(1, CELLS // width)
    for start in range(0, max(1, probes), step):
        current_ticket().require_wanted()
        yield slice(start, min(probes, start + step))


def _all_mated(parts: Sequence[Sequence[MatedSearches]], failures: int) -> tuple[MatedSearches, ...]:
    """The searches of all parts, by size."""
    return tuple(
        MatedSearches(
            np.concatenate([one.ranks for one in size]),
            np.concatenate([one.similarities for one in size]),
            size[0].gallery_size,
            size[0].list_length,
            failures,
        )
        for size in zip(*parts, strict=True)
    )


def _all_nonmated(parts: Sequence[Sequence[NonmatedSearches]], failures: int) -> tuple[NonmatedSearches, ...]:
    """The searches of all parts, by size."""
    return tuple(
        NonmatedSearches(np.concatenate([one.top_similarities for one in size]), size[0].gallery_size, failures)
        for size in zip(*parts, strict=True)
    )


def _told(given: OpenSet, answered: Mapping[Path, _Answer]) -> Iterator[Search]:
    """Every search, in the order of `given`; those without an answer could not be done."""
    for number, photo in given.mated:
        yield Search(photo, number, given.enrolled[number], *answered.get(photo, _UNDONE))
    for number, photo in given.nonmated:
        yield Search(photo, len(given.enrolled) + number, None, *answered.get(photo, _UNDONE))


def _nearest(similarities: F64, people: Sequence[Path]) -> list[tuple[Path, float] | tuple[None, None]]:
    """The best candidate of each row of f64[n, N], with its similarity; none where that is -inf."""
    best = similarities.argmax(axis=1)
    top = similarities[np.arange(len(best)), best]
    return [
        (None, None) if similarity == -np.inf else (people[column], similarity)
        for column, similarity in zip(best.tolist(), top.tolist(), strict=True)
    ]


def _vectors(embeddings: Mapping[Path, Embedding | None], photos: Iterable[Path], dimension: int = 0) -> F32:
    """f32[n, D], of the photos that have an embedding; `dimension` is D where none has."""
    found = [embedding.vector for photo in photos if (embedding := embeddings[photo]) is not None]
    return np.array(found, dtype=np.float32).reshape(len(found), -1 if found else dimension)


def _apart(similarities: F64, mates: I64) -> tuple[F64, F64]:
    """f64[n] to the mate of each probe, and f64[n, N - 1] to everybody else in order of enrolment."""
    rows = np.arange(len(similarities))
    other = np.ones(similarities.shape, dtype=np.bool_)
    other[rows, mates] = False
    return similarities[rows, mates], similarities[other].reshape(len(similarities), similarities.shape[1] - 1)


def _firsts(given: OpenSet, embeddings: Mapping[Path, Embedding | None], dimension: int) -> F32:
    """f32[n, D]: the first template of each person who is not enrolled."""
    firsts: dict[int, Path] = {}
    for number, photo in given.nonmated:
        if embeddings[photo] is not None:
            firsts.setdefault(number, photo)
    return _vectors(embeddings, firsts.values(), dimension)


def _with_strangers(probes: F32, others: F64, strangers: Strangers | None, count: int) -> Iterator[F64]:
    """The similarities to the others, then to `count` strangers, in blocks f64[n, b]; raises `CallEnded`."""
    yield others
    if strangers is not None:
        for block in strangers.blocks(count):
            yield (probes @ block.T).astype(np.float64)
