"""What people's answers to earlier courses change: difficulties that they move, and items that are set aside.

Who is paired with whom, and which items are chosen, goes by the machine's difficulty alone, so that what was learned of
an item can meet the item again: the same seed chooses the same items, but for those set aside, in whose place `mending`
puts others. Forms are then made equally hard by the difficulties that the answers have moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_training.bank.difficulty import updated
from fr_training.bank.manifest import item_id_of
from fr_training.bank.pictures import Shown
from fr_training.bank.roster import Bools, Roster, subset
from fr_training.courses import Item, Learned
from fr_training.keys import AnswerKey, PairKey, TriadKey

_MATED, _NONMATED = PairKey(mated=True, similarity=0.0), PairKey(mated=False, similarity=0.0)  # an id has no similarity


@dataclass(frozen=True, slots=True)
class Judged:
    """An item that may be shown, in the light of the answers to earlier courses.

    Attributes:
        machine: its difficulty by the machine, by which it is chosen.
        b: its difficulty, once answers have moved it, by which forms are equated.
        suspect: whether it must not be shown.
    """

    machine: float
    b: float
    suspect: bool


def judged(learned: Learned, key: AnswerKey, shown: Sequence[Shown], machine: float) -> Judged:
    """Look an item up.

    Args:
        learned: from earlier courses.
        key: of the item; of a triad, with the place of the odd one in `shown`.
        shown: by the item.
        machine: its difficulty by the machine.
    """
    if not (learned.difficulties or learned.suspects):
        return Judged(machine, machine, suspect=False)
    item_id = item_id_of(key, shown)
    found = learned.difficulties.get(item_id)
    return Judged(machine, machine if found is None else updated(machine, *found), item_id in learned.suspects)


def suspect_people(learned: Learned, roster: Roster) -> Bools:
    """bool[n]: whose two photos are a pair that is set aside; no exercise shows them as those of one person."""
    found = np.zeros(len(roster.people), dtype=np.bool_)
    if learned.suspects:
        for person in subset(roster.two).tolist():
            pairs = ((roster.first[person], roster.second[person]), roster.alike[person])
            ids = {item_id_of(_MATED, tuple(map(Shown, pair))) for pair in pairs if pair is not None}
            found[person] = not learned.suspects.isdisjoint(ids)
    return found


def suspect_pair(learned: Learned, roster: Roster, a: int, b: int) -> bool:
    """Whether a pair of these two people is set aside, whichever photos of theirs it showed."""
    return bool(learned.suspects) and any(
        item_id_of(_NONMATED, (Shown(roster.first[one]), Shown(roster.second[other]))) in learned.suspects
        for one, other in ((a, b), (b, a))
    )


def moved_items(learned: Learned, items: Sequence[Item]) -> int:
    """How many pairs and triads have a difficulty that answers have moved."""
    return sum(isinstance(item.key, PairKey | TriadKey) and item.item_id in learned.difficulties for item in items)
