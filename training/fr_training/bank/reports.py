"""What a trainer reads of the forms that were made: how hard they are, and how alike the people of different pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_training.bank.difficulty import F64
from fr_training.bank.equate import Differences, differences
from fr_training.bank.likeness import same_age_band, same_sex
from fr_training.bank.manifest import truth_of
from fr_training.bank.pool import PoolPerson
from fr_training.bank.shares import FormSet
from fr_training.courses import Item
from fr_training.keys import PairKey


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a number.

    Attributes:
        count: those of which it holds.
        total: those of which it is known whether it holds; 0 where the labels say nothing.
    """

    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Of some items of a form.

    Attributes:
        items: how many have a difficulty, at least 1.
        mean: of b.
        sd: of b, n below the line.
    """

    items: int
    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class FormReport:
    """A form, as a trainer reads it.

    Attributes:
        form: its name.
        items: how many.
        difficulty: by truth, "same", "different", "odd", "mate" or "absent", and of "all"; empty where items have none.
        same_sex: of pairs of two people, those of one sex.
        same_age_band: of pairs of two people, those whose ages differ by at most ten years.
    """

    form: str
    items: int
    difficulty: Mapping[str, Difficulty]
    same_sex: Part
    same_age_band: Part


@dataclass(frozen=True, slots=True)
class EquatedForms:
    """How far apart forms are that are to be equally hard.

    Attributes:
        name: of the set.
        forms: their names, at least two.
        differences: by truth and over "all".
    """

    name: str
    forms: tuple[str, ...]
    differences: Mapping[str, Differences]

    @property
    def within(self) -> bool:
        """Whether all differences are below the tolerances of `fr_training.bank.equate`."""
        return all(one.within for one in self.differences.values())


def report_of(form: str, items: Sequence[Item], people: Mapping[int, PoolPerson]) -> FormReport:
    """Describe a form.

    Args:
        form: its name.
        items: of it.
        people: by number.
    """
    by_truth = _by_truth(items)
    if by_truth:
        by_truth["all"] = np.concatenate(list(by_truth.values()))
    return FormReport(
        form=form,
        items=len(items),
        difficulty={truth: Difficulty(len(b), float(np.mean(b)), float(np.std(b))) for truth, b in by_truth.items()},
        same_sex=_part(items, people, same_sex),
        same_age_band=_part(items, people, same_age_band),
    )


def equated_forms(one: FormSet, items: Mapping[str, Sequence[Item]]) -> EquatedForms:
    """Compare the forms of a set of at least two."""
    forms = [_by_truth(items[name]) for name in one.forms]
    truths = sorted(forms[0])
    found = differences([[form[truth] for truth in truths] for form in forms])
    named = {truth: found[str(number)] for number, truth in enumerate(truths)}
    return EquatedForms(one.name, one.forms, named | ({"all": found["all"]} if found else {}))


def _by_truth(items: Sequence[Item]) -> dict[str, F64]:
    found: dict[str, list[float]] = {}
    for item in items:
        if item.b is not None:
            found.setdefault(truth_of(item.key).partition(":")[0], []).append(item.b)
    return {truth: np.array(b, dtype=np.float64) for truth, b in sorted(found.items())}


def _part(
    items: Sequence[Item],
    people: Mapping[int, PoolPerson],
    alike: Callable[[PoolPerson, PoolPerson], bool | None],
) -> Part:
    pairs = [item.people for item in items if isinstance(item.key, PairKey) and not item.key.mated]
    known = [answer for a, b in pairs if (answer := alike(people[a], people[b])) is not None]
    return Part(sum(known), len(known))
