"""Checks the claims about classes of shipped plans, also in worlds that no model of the product fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fr_locales.messages import Message, message
from fr_training.simulation.claims import Claim, Series, bias_claim, coverage_claim, parts_of, right_claim
from fr_training.simulation.study import Study
from fr_training.simulation.worlds import EXACT, FITTED, Found, Taken, World

LEAST_POWER = 0.85  # of a cohort whose trainees all gain: the share that is called better
MOST_FALSE = 0.05  # share of cohorts without a gain that may be called better; 2.5 % are, by the interval


def world_claims(study: Study) -> tuple[Claim, ...]:
    """Coverage in every world, and bias in the one that the models fit: of ability, and of d' and c of the headline.

    Ability is averaged over all that the model holds for possible, and right on average over that. Where the machine is
    right and no rating a slip, all else that is held for possible lies to one side: the bias there has no bar.

    d' and c take all pairs for equally hard. Counts of right answers to pairs that are not scatter less than that (W.
    Hoeffding, "On the distribution of the number of successes in independent trials", Annals of Mathematical Statistics
    27 (1956) 713-721), so that their intervals may be too wide in every world with items, and never too narrow.
    """
    claims: list[Claim] = []
    for world, people in study.worlds:
        found = series_of_world(world, people)
        ability, *counted = found
        if world == EXACT:
            ability = replace(ability, biased=message("bar.extreme"))
        if world in (FITTED, EXACT):
            claims += [bias_claim(one) for one in (ability, *counted)]
        claims.append(coverage_claim(ability, may_be_wide=world not in (FITTED, EXACT)))
        claims += [coverage_claim(one, may_be_wide=True) for one in counted]
    return tuple(claims)


def series_of_world(world: World, people: Sequence[Taken]) -> tuple[Series, ...]:
    """The estimates of everybody in a world."""
    figures = (
        ("ability", message("figure.ability"), [one.ability for one in people]),
        ("dprime", message("figure.headline_dprime"), [one.dprime for one in people]),
        ("criterion", message("figure.headline_criterion"), [one.criterion for one in people]),
    )
    ability, *counted = (
        _series(message("figure.in_world", figure=name, world=world.name), f"{world.key}.{key}", found)
        for key, name, found in figures
    )
    return replace(ability, classes=np.array([one.class_number for one in people])), *counted


def _series(name: Message, key: str, found: Sequence[Found]) -> Series:
    columns = [(one.true, one.target, one.estimate.value, one.estimate.low, one.estimate.high) for one in found]
    true, target, estimate, low, high = np.array(columns, dtype=np.float64).T
    return Series(name, key, true, target, estimate, low, high)


def block_claims(study: Study) -> tuple[Claim, ...]:
    """The share of right answers in every adaptive block of a shipped plan."""
    return tuple(
        right_claim(
            message(
                "figure.in_block", people=name, plan=one.plan, block=one.block_id, trials=one.trials, pool=one.pool
            ),
            one.right[chosen],
            one.target,
            one.looking,
        )
        for one in study.blocks
        for name, chosen in parts_of(one.theta)
    )


def cohort_claims(study: Study) -> tuple[Claim, ...]:
    """The claims on a cohort's mean change: that a gain is seen, and that none is seen where there is none."""
    return (
        Claim(
            message("claim.power"),
            message("bar.least", least=f"{LEAST_POWER:.0%}"),
            f"{study.power:.1%}",
            study.power >= LEAST_POWER,
            {"power": study.power},
        ),
        Claim(
            message("claim.false_gain"),
            message("bar.most", most=f"{MOST_FALSE:.0%}"),
            f"{study.false_gain:.1%}",
            study.false_gain <= MOST_FALSE,
            {"called_better": study.false_gain},
        ),
    )
