"""Makes pairs of photos from people with photos."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import combinations
from math import comb
from pathlib import Path

from fr_datasets.errors import DatasetError
from fr_datasets.values import PairSet, PeopleSet, VerificationPair
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
