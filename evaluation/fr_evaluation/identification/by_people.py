"""How sure the rates of searches are when several of them are for one person: intervals by resampling people.

The people who are searched for are drawn with replacement, each with all searches for them. The gallery stays as it is,
so that what another choice of enrolled people would change is not in the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.bootstrap import (
    Bootstrap,
    Statistic,
    fmr_statistic,
    fnmr_at_fmr_statistic,
    share_statistic,
    subject_bootstrap,
)
from fr_core.scoring.intervals import UndefinedRate
from fr_evaluation.identification.searches import Search


@dataclass(frozen=True, slots=True)
class RatesByPeople:
    """Both error rates by people; None where all resamples agree, as those without an error do.

    Attributes:
        fpir: at the threshold that the searches as they are give for the target.
        fnir: at the threshold that each resample gives for the target: the choice of the threshold is in the interval.
    """

    fpir: Bootstrap | None
    fnir: Bootstrap | None


def first_by_people(searches: Sequence[Search], seed: int) -> Bootstrap | None:
    """The share of mated searches whose mate is the first candidate; None as in `RatesByPeople`."""
    mated = [one for one in searches if one.mate is not None]
    return _bootstrap(share_statistic(np.array([one.rank == 1 for one in mated], dtype=np.bool_)), mated, seed)


def rates_by_people(searches: Sequence[Search], target: float, threshold: float, rank: int, seed: int) -> RatesByPeople:
    """Both error rates at a false positive identification rate.

    Args:
        searches: of one gallery, those that could not be done included.
        target: the rate asked for, which the searches support.
        threshold: that they give for it.
        rank: candidates looked at.
        seed: of the draws.
    """
    found, lost, strangers = [], [], []
    mates, tops = [], []
    for one in searches:
        if one.mate is not None:
            if one.similarity is not None and one.rank is not None and one.rank <= rank:
                found.append(one)
                mates.append(one.similarity)
            else:
                lost.append(one)
        elif one.other is not None:
            strangers.append(one)
            tops.append(one.other)
    highest = np.array(tops, dtype=np.float64)
    fnir = fnmr_at_fmr_statistic(np.array(mates, dtype=np.float64), highest, target, len(lost))
    return RatesByPeople(
        _bootstrap(fmr_statistic(highest, threshold), strangers, seed),
        _bootstrap(fnir, (*found, *lost, *strangers), seed),
    )


def _bootstrap(statistic: Statistic, searches: Sequence[Search], seed: int) -> Bootstrap | None:
    people = np.array([one.person for one in searches], dtype=np.int64)
    try:
        return subject_bootstrap(statistic, people, people, seed=seed, check=current_ticket().require_wanted)
    except UndefinedRate:
        return None
