"""Whether adaptive blocks hold the share of right answers that they aim at, for able and for less able people."""

from __future__ import annotations

import numpy as np

from fr_core.scoring.checks import F64
from fr_training.sessions.adaptive import GUESS_RATE
from fr_training.simulation.claims import Claim
from fr_training.simulation.study import Study
from fr_training.statistics.item_response import probability

MOST_OFF = 0.05
"""That the share of right answers may be off the target."""

FIRST = 10
"""Trials of a block that are left out, in which the ability is still looked for."""

THIRDS = ("lowest third", "middle third", "highest third")
"""Of the trainees, by true ability."""


def holding(study: Study) -> tuple[Claim, ...]:
    """The claims on the share of right answers after the first trials: over all trainees, and over each third."""
    right = np.array([one.ability.right for one in study.people])[:, FIRST:]
    target, third = study.sizes.target, thirds(study)
    parts = {"all trainees": right, **{name: right[third == place] for place, name in enumerate(THIRDS)}}
    return tuple(_claim(name, part, target) for name, part in parts.items())


def thirds(study: Study) -> F64:
    """f64[n]: 0, 1 or 2 for each trainee, by true ability."""
    theta = np.array([one.ability.theta for one in study.people])
    rank = np.argsort(np.argsort(theta, kind="stable"), kind="stable")
    return np.asarray(rank * len(THIRDS) // len(theta), dtype=np.float64)


def chances(study: Study) -> F64:
    """f64[trainees, trials]: the true chance of a right answer to each pair of the adaptive blocks."""
    theta = np.array([one.ability.theta for one in study.people])
    return probability(theta[:, None], np.array([one.ability.b for one in study.people]), GUESS_RATE)


def _claim(name: str, right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], target: float) -> Claim:
    share = float(right.mean())
    return Claim(
        f"Right answers in adaptive blocks after the first {FIRST} trials, {name}",
        f"within {MOST_OFF:g} of {target:g}",
        f"{share:.3f}",
        abs(share - target) <= MOST_OFF,
        {"share": share, "answers": float(right.size)},
    )
