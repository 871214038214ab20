"""Whether the order of people's photos shows in them, in a data set that says nothing of how they were taken.

In a folder of people, the first photo of everybody may be neutral and the second smiling. Then the place of a photo is
its condition, whether or not the data set says so. The model's embeddings tell: the way from a first photo to a second
one is then much the same for everybody, and otherwise another for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fr_core.training.bank.difficulty import F64
from fr_core.training.bank.pool import Pool, PoolPerson

FEWEST = 20
"""People with two photos in a data set; the order of fewer says nothing."""
LEAST_SHARE = 0.7
"""Of people whose own way lies along that of all others; half do by chance."""
CHANCE = 1e-3
"""A chance below that is none."""

_MOST = 300  # people that are looked at
_DRAWS = 1_999


def with_order_as_condition(pool: Pool) -> tuple[Pool, bool]:
    """The pool, and whether any condition was added: "photo 1", "photo 2", ..., in data sets whose order shows.

    Args:
        pool: told apart; its people in an order of their own.
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
        return False  # the data set says it
    ways = [
        person.photos[1].embedding.astype(np.float64) - person.photos[0].embedding
        for person in people
        if len(person.photos) > 1
    ][:_MOST]
    return len(ways) >= FEWEST and _alike(np.stack(ways))


def _alike(ways: F64) -> bool:
    """Whether f64[n, D] ways are alike: most lie along the sum of the others, as in hardly any order that is drawn."""
    along = ways @ ways.T
    np.fill_diagonal(along, 0.0)
    if np.mean(along.sum(axis=0) > 0.0) < LEAST_SHARE:
        return False
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_DRAWS, len(ways)))
    drawn = np.einsum("dn,dn->d", signs @ along, signs)
    return bool((1 + (drawn >= along.sum()).sum()) / (1 + _DRAWS) < CHANCE)
