"""What is left out of a pool: photos that are known to be mislabelled, and photos that two people share."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from fr_training.bank.pool import Pool, PoolPerson


def without(pool: Pool, excluded: Set[str]) -> Pool:
    """The pool without photos of those SHA-256, and without people who have no photo left."""
    people = (
        replace(person, photos=tuple(photo for photo in person.photos if photo.sha256 not in excluded))
        for person in pool.people
    )
    return replace(pool, people=tuple(person for person in people if person.photos))


def told_apart(pool: Pool) -> Pool:
    """The pool with each photo once, in an order that does not depend on the order of its people.

    A photo that a person has twice is kept once: a pair of it with itself would be no test. People who share a photo
    are most likely one person, as where two data sets hold the same people, and must not become two; of them, who has
    most photos is kept alone. People without a photo are left out.
    """
    once = [
        replace(person, photos=tuple({photo.sha256: photo for photo in person.photos}.values()))
        for person in pool.people
        if person.photos
    ]
    once.sort(key=lambda person: (-len(person.photos), person.photos[0].sha256))
    seen: set[str] = set()
    kept: list[PoolPerson] = []
    for person in once:
        hashes = {photo.sha256 for photo in person.photos}
        if seen.isdisjoint(hashes):
            kept.append(person)
            seen |= hashes
    return replace(pool, people=tuple(sorted(kept, key=lambda person: person.photos[0].sha256)))
