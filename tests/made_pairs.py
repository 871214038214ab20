"""Compared pairs without photos: people with drawn similarities."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fr_datasets.values import VerificationPair
from fr_evaluation.verification.compare import AcrossPeople, ComparedPairs


def made_pairs(people: int = 60, folds: int = 2, seed: int = 1) -> tuple[ComparedPairs, AcrossPeople]:
    """One mated pair of each person, one non-mated pair with the next of the same fold, and every two people."""
    chance = np.random.default_rng(seed)
    names = [f"P{number}" for number in range(people)]
    size = people // folds
    mated, nonmated = [], []
    for number, name in enumerate(names):
        fold = number // size
        other = names[fold * size + (number + 1) % size]
        mated.append(VerificationPair(Path(f"{name}/1"), Path(f"{name}/2"), True, fold + 1, (name, name)))
        nonmated.append(VerificationPair(Path(f"{name}/1"), Path(f"{other}/2"), False, fold + 1, (name, other)))
    similarities = np.concatenate([chance.normal(0.5, 0.15, people), chance.normal(0.0, 0.15, people)])
    pairs = (*mated, *nonmated)
    compared = ComparedPairs(
        similarities,
        np.arange(2 * people) < people,
        np.array([pair.fold for pair in pairs], dtype=np.int64),
        pairs,
        (),
    )
    photos = tuple(Path(f"{name}/1") for name in names)
    return compared, AcrossPeople(chance.normal(0.0, 0.15, people * (people - 1) // 2), tuple(names), photos)
