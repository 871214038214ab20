"""Detects whether the order of people's photos is visible in them, if the data set states no conditions.

In a folder of people, everybody's first photo may be neutral and the second smiling. Then the position of a photo is
its condition, even if the data set does not say so. The model's embeddings show it: the difference between the first
and the second photo then has a similar direction for everybody, and otherwise a different one for each person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fr_training.bank.difficulty import F64
from fr_training.bank.pool import Pool, PoolPerson

FEWEST = 20
"""Fewest people with two photos in a data set; with fewer, the order shows nothing."""
LEAST_SHARE = 0.7
"""Share of people whose own difference points the same way as that of all others; by chance it is half."""
CHANCE = 1e-3
"""Probability below which the order is not chance."""

_MOST = 300  # people to check
_DRAWS = 1_999


def with_order_as_condition(pool: Pool) -> tuple[Pool, bool]:
    """Return the pool, with conditions "photo 1", "photo 2", ... in data sets whose order shows; and whether any does.

    Args:
        pool: its people are distinct, and in an order of their own.
    """
    by_source: dict[str, list[PoolPerson]] = {}
    for person in pool.people:
        by_source.setdefault(person.source, []).append(person)
    shown = {source for source, people in by_source.items() if _order_shows(people)}
    placed = tuple(_by_place(person) if person.source in shown else person for person in pool.people)
    return replace(pool, people=placed), bool(shown)


def _by_place(person: PoolPerson) -> PoolPerson:
    photos = enumerate(person.photos, 1)
    return replace(person, photos=tuple(replace(photo, condition=f"photo {place}") for place, photo in photos))


def _order_shows(people: Sequence[PoolPerson]) -> bool:
    if any(any(person.photo_conditions) for person in people):
        return False  # the data set states the conditions
    ways = [
        person.photos[1].embedding.astype(np.float64) - person.photos[0].embedding
        for person in people
        if len(person.photos) > 1
    ][:_MOST]
    return len(ways) >= FEWEST and _alike(np.stack(ways))


def _alike(ways: F64) -> bool:
    """Return whether most of the differences, f64[n, D], point along the sum of the others, unlike in random orders."""
    along = ways @ ways.T
    np.fill_diagonal(along, 0.0)
    if np.mean(along.sum(axis=0) > 0.0) < LEAST_SHARE:
        return False
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_DRAWS, len(ways)))
    drawn = np.einsum("dn,dn->d", signs @ along, signs)
    return bool((1 + (drawn >= along.sum()).sum()) / (1 + _DRAWS) < CHANCE)
