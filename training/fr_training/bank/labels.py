"""Compares the labels of people: sex, ethnicity and age must not reveal that a pair shows two people.

Of LFW's own pairs of two people many differ in sex, which makes them trivial; here such pairs are the last resort.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fr_training.bank.pool import F32, PoolPerson

I32 = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]
T = TypeVar("T", str, tuple[str, ...])

SEX_KINDS = ("face_gender", "gender", "sex")
ETHNICITY_KINDS = ("face_eth", "ethnicity", "race")
AGE_KINDS = ("face_age", "age")
AGE_BAND_YEARS = 10  # two people are of one age band if their ages differ by at most so many years

# A similarity lies in [-1, 1], so that each step outweighs every similarity, and all steps below it.
_OTHER_AGE = 2.5
_OTHER_ETHNICITY = 5.0
_OTHER_SEX = 10.0
_OTHER_SOURCE = 20.0
UNKNOWN = -1
_WORDS = {"f": "female", "w": "female", "woman": "female", "m": "male", "man": "male"}


def sex_of(labels: Mapping[str, str]) -> str:
    """The sex from the labels, in lower case; "" if there is none."""
    word = _said(labels, SEX_KINDS)
    return _WORDS.get(word, word)


def ethnicity_of(labels: Mapping[str, str]) -> str:
    """The ethnicity from the labels, in lower case; "" if there is none."""
    return _said(labels, ETHNICITY_KINDS)


def _said(labels: Mapping[str, str], kinds: Sequence[str]) -> str:
    return next((labels[kind].strip().casefold() for kind in kinds if labels.get(kind, "").strip()), "")


def age_of(labels: Mapping[str, str]) -> float | None:
    """The age from the labels, in years; None if there is none, or no number from 0 up."""
    text = next((labels[kind] for kind in AGE_KINDS if labels.get(kind, "").strip()), "")
    try:
        age = float(text)
    except ValueError:
        return None
    return age if isfinite(age) and age >= 0.0 else None


def shared_labels(people: Sequence[PoolPerson]) -> dict[str, str]:
    """The labels that all of the people have in common, by kind; an age as its ten years, such as "30-39"."""
    first, *others = (_banded(person.labels) for person in people)
    return {kind: text for kind, text in sorted(first.items()) if all(one.get(kind) == text for one in others)}


def _banded(labels: Mapping[str, str]) -> dict[str, str]:
    age = age_of(labels)
    if age is None:
        return dict(labels)
    low = int(age) // 10 * 10
    return {kind: f"{low}-{low + 9}" if kind in AGE_KINDS else text for kind, text in labels.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """The labels of n people: i32[n], a number for each data set and word or `UNKNOWN`; age f32[n] in years, or NaN."""

    source: I32
    sex: I32
    ethnicity: I32
    age: F32

    @property
    def known(self) -> bool:
        """True if sex, ethnicity or age of somebody is known."""
        return bool((self.sex != UNKNOWN).any() or (self.ethnicity != UNKNOWN).any() or not np.isnan(self.age).all())

    def unlike(self, rows: Index, columns: Index) -> F32 | None:
        """f32[r, c]: the penalty of a pair of two people that is trivially different; None where there is no penalty.

        More than 2 for another age band. Another ethnicity, sex and data set each count more than all before them, if
        both are known. 0 otherwise.
        """
        lost: F32 | None = None
        for values, step in ((self.source, _OTHER_SOURCE), (self.sex, _OTHER_SEX), (self.ethnicity, _OTHER_ETHNICITY)):
            if np.ptp(values) == 0:
                continue
            differs = values[rows][:, None] != values[columns][None, :]
            if (values == UNKNOWN).any():
                differs &= (values[rows] != UNKNOWN)[:, None] & (values[columns] != UNKNOWN)[None, :]
            lost = _added(lost, differs, step)
        if not np.isnan(self.age).all():
            differs = np.abs(self.age[rows][:, None] - self.age[columns][None, :]) > AGE_BAND_YEARS
            lost = _added(lost, differs, _OTHER_AGE)
        return lost


def traits_of(people: Sequence[PoolPerson]) -> Traits:
    """Read the labels of at least one person."""
    ages = [age_of(person.labels) for person in people]
    return Traits(
        source=numbered([person.source or " " for person in people]),
        sex=numbered([sex_of(person.labels) for person in people]),
        ethnicity=numbered([ethnicity_of(person.labels) for person in people]),
        age=np.array([np.nan if age is None else age for age in ages], dtype=np.float32),
    )


def _added(lost: F32 | None, differs: npt.NDArray[np.bool_], step: float) -> F32:
    more = differs.astype(np.float32)
    more *= np.float32(step)
    return more if lost is None else np.add(lost, more, out=lost)


def numbered(values: Sequence[T]) -> I32:
    """A number from 0 for each value, in their order; `UNKNOWN` for ""."""
    numbers = {value: number for number, value in enumerate(sorted(filter(None, set(values))))}
    return np.array([numbers.get(value, UNKNOWN) for value in values], dtype=np.int32)
