"""Lets simulated classes take a sitting of a shipped plan, in worlds that the product's models fit, and in others.

A model is easily right about people who are made by it. So classes also come from worlds that no model of the product
describes: the machine's difficulty hardly goes with that for people, all pairs are much easier than it says, criteria
drift while a block lasts, some ratings are given without looking, or everybody always rates as surely as can be.
Figures are those of `fr_training.grading`, with a prior that each class teaches, and the truth is what they claim to
estimate: ability beside the mean pair of the course, and d' and c on the very pairs that were shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fr_core.scoring.checks import F64
from fr_locales.messages import Message, message
from fr_training.courses import Course
from fr_training.grading.ability import class_abilities, theta_of
from fr_training.grading.rates import sensitivity_of
from fr_training.grading.values import Undefined, plain_pairs
from fr_training.plan import PAIRS, CoursePlan, SittingPlan
from fr_training.plan_reading import read_plan
from fr_training.sessions.results import results
from fr_training.shipped_plans import plan_names, plan_text
from fr_training.simulation.answers import Scale, strength_of
from fr_training.simulation.runner import Seat, difficulties, items_of, made_course, run_sitting
from fr_training.simulation.trainee import BY_MACHINE, Abilities, Hardness, Population, SimulatedTrainee, Spread
from fr_training.statistics.clustered import mean_of_people
from fr_training.statistics.estimates import Estimate, share_below, z_of
from fr_training.statistics.graded import UNKNOWN_PEOPLE
from fr_training.statistics.item_response import probability
from fr_training.statistics.ordered_probit import GUESS_RATE
from fr_training.statistics.signal_detection import z_rate
from fr_training.trials import Result

CLASS = 25  # trainees of a class, each of whom the others teach what to expect of
COURSE = "three-day"  # the shipped plan whose first sitting with an adaptive block the worlds take


@dataclass(frozen=True, slots=True)
class World:
    """A way in which people answer."""

    key: str  # in JSON
    name: Message
    hardness: Hardness = BY_MACHINE
    drift: float = 0.0  # standard deviation over people of how far the criterion moves within half a block
    slips: float = 0.0  # share of ratings given without looking
    blunt: bool = False  # whether everybody is always sure, and rates 3 or -3
    drawn: bool = False  # whether difficulty and slips are drawn for each class, as the model holds them for possible

    def of_class(self, rng: np.random.Generator) -> World:
        """The world of one class."""
        if not self.drawn:
            return self
        setting, _ = UNKNOWN_PEOPLE.settings[int(rng.integers(len(UNKNOWN_PEOPLE.settings)))]
        return replace(self, hardness=Hardness(setting.correlation), slips=setting.slips)


FITTED = World("fitted", message("world.fitted"), drawn=True)
EXACT = World("exact", message("world.exact"))

WORLDS = (
    FITTED,
    EXACT,
    World("correlated", message("world.correlated"), Hardness(correlation=0.3)),
    World("easier", message("world.easier"), Hardness(easier=3.0)),
    World("drifting", message("world.drifting"), drift=0.4),
    World("slipping", message("world.slipping"), slips=0.05),
    World("blunt", message("world.blunt"), blunt=True),
)
"""The first is the one that the models fit, the second their extreme: the machine is right, and no rating a slip."""


@dataclass(frozen=True, slots=True)
class Found:
    """A figure of a trainee beside the truth."""

    true: float
    target: float  # what the estimator gives on average; the truth where that is not known
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Taken:
    """A trainee who took the sitting."""

    theta: float  # true ability beside the mean pair of the course
    class_number: int  # of those who met the same pairs
    ability: Found
    dprime: Found  # of pairs that no block chose
    criterion: Found


@dataclass(frozen=True, slots=True)
class BlockHeld:
    """An adaptive block of a shipped plan, as trainees were right in it where the machine is."""

    plan: str
    block_id: str
    pool: int  # pairs that it chooses from
    trials: int  # that it shows
    target: float
    looking: int  # first trials that do not count: half of a block before which the sitting has no pair
    theta: F64  # f64[n], true abilities
    right: F64  # f64[n, trials]


def pairs_alone(plan: CoursePlan, sitting: SittingPlan) -> CoursePlan:
    """The plan with one sitting, and of that the blocks of pairs up to the last adaptive one."""
    blocks = [block for block in sitting.blocks if block.exercise in PAIRS and not block.verifies]
    last = max(place for place, block in enumerate(blocks) if block.adaptive)
    kept = tuple(replace(block, minutes=None) for block in blocks[: last + 1])
    return replace(plan, sittings=(replace(sitting, blocks=kept),))


def adaptive_sittings() -> dict[str, list[CoursePlan]]:
    """By shipped plan, the sittings with an adaptive block, as `pairs_alone` makes them."""
    plans = {name: read_plan(plan_text(name)) for name in plan_names()}
    return {
        name: [pairs_alone(plan, one) for one in plan.sittings if any(block.adaptive for block in one.blocks)]
        for name, plan in plans.items()
    }


def run_world(
    world: World, population: Population, trainees: int, seed: int, on_progress: Callable[[int], None]
) -> tuple[Taken, ...]:
    """Let classes take the sitting, each with pairs of its own; `on_progress` is told how many trainees have."""
    plan = adaptive_sittings()[COURSE][0]
    rng = np.random.default_rng([seed, 2, WORLDS.index(world) if world in WORLDS else len(WORLDS)])
    scale = Scale(0.0, 0.0, 0.0) if world.blunt else population.scale
    taken: list[Taken] = []
    for number, part in enumerate(np.array_split(np.arange(trainees), max(1, round(trainees / CLASS)))):
        course, here = made_course(plan, seed + number, 0), world.of_class(rng)
        people = replace(population, drift=Spread(0.0, here.drift), slips=here.slips, scale=scale)
        who = {f"W-{n}": people.draw(rng) for n in part.tolist()}
        rows = {name: _rows(course, name, mine, here.hardness, rng) for name, mine in who.items()}
        taught = class_abilities(rows)
        for name, mine in who.items():
            theta = theta_of(rows[name], taught)
            if isinstance(theta, Undefined):
                raise AssertionError(theta.reason)
            taken.append(_taken(mine, here, number, theta, plain_pairs(rows[name])))
        on_progress(len(taken))
    return tuple(taken)


def run_blocks(population: Population, trainees: int, seed: int) -> tuple[BlockHeld, ...]:
    """Let trainees take every sitting of a shipped plan that has an adaptive block."""
    found = []
    for place, (name, plans) in enumerate(adaptive_sittings().items()):
        for sitting, plan in enumerate(plans):
            course, rng = made_course(plan, seed, 0), np.random.default_rng([seed, 3, place, sitting])
            who = [population.draw(rng) for _ in range(trainees)]
            rows = [_rows(course, f"B-{n}", mine, EXACT.hardness, rng) for n, mine in enumerate(who)]
            theta = np.array([mine.theta for mine in who], dtype=np.float64)
            for number, block in enumerate(plan.blocks):
                if block.adaptive:
                    looking = 0 if number else block.trials // 2
                    right = [[one.correct is True for one in some if one.block_id == block.block_id] for some in rows]
                    held = np.array(right, dtype=np.float64)
                    found.append(
                        BlockHeld(name, block.block_id, block.items, block.trials, block.target, looking, theta, held)
                    )
    return tuple(found)


def _rows(
    course: Course, name: str, mine: Abilities, hardness: Hardness, rng: np.random.Generator
) -> tuple[Result, ...]:
    trainee = SimulatedTrainee(mine, by_ability=None, hardness=hardness)
    seat, sitting = Seat(name, int(name.split("-")[1]) % 2, trainee), course.plan.sittings[0].name
    return results(course, run_sitting(course, items_of(course), seat, sitting, rng, 0))


def _taken(mine: Abilities, world: World, number: int, theta: Estimate, plain: Sequence[Result]) -> Taken:
    true = mine.theta + world.hardness.easier
    chances = {
        truth: [_says_same(mine, world, one) for one in plain if one.truth == truth] for truth in ("same", "different")
    }
    found = sensitivity_of(plain)
    (hits, false_same), expected = (float(np.mean(some)) for some in chances.values()), _expected(chances)
    z_hits, z_false = z_of(hits), z_of(false_same)
    return Taken(
        theta=true,
        class_number=number,
        ability=Found(true, true, theta),
        dprime=Found(z_hits - z_false, expected[0], found.dprime),
        criterion=Found(-(z_hits + z_false) / 2, expected[1], found.criterion),
    )


_DRIFTS = np.linspace(-0.95, 0.95, 20)  # of the way from the begin of a block to its end


def _says_same(mine: Abilities, world: World, one: Result) -> float:
    """The chance that a pair is called the same, at any place of its block."""
    hard = world.hardness.of(one.item_id, one.b or 0.0)
    strength = strength_of(float(probability(mine.theta, hard, GUESS_RATE)))
    mean = (strength if one.truth == "same" else -strength) - mine.says_same_above
    looked = float(np.mean([share_below(mean - mine.drift * place) for place in _DRIFTS]))
    return (1.0 - mine.slips) * looked + mine.slips * 3.0 / 7.0


def _expected(chances: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Mean of the log-linear d' and c over all outcomes of pairs that are not equally hard."""
    means = []
    for some in chances.values():
        shares = np.ones(1)
        for chance in some:
            shares = np.convolve(shares, [1.0 - chance, chance])
        means.append(sum(share * z_rate(count, len(some)) for count, share in enumerate(shares.tolist())))
    return means[0] - means[1], -(means[0] + means[1]) / 2


GAIN = 8.0  # points of percent right that a course brings, in the study of its power
COHORT, TESTED = 12, 40  # trainees of a cohort, and pairs of each test


def cohorts_called_better(population: Population, gain: float, cohorts: int, seed: int) -> float:
    """The share of cohorts whose mean change is said to be above 0, where everybody gains so many points.

    Both tests have pairs as equally hard as those of `runner.difficulties`, and people who gain are right so much more
    often with each.
    """
    rng = np.random.default_rng([seed, 4])
    b = np.array(difficulties(TESTED // 2) * 2, dtype=np.float64)
    better = 0
    for _ in range(cohorts):
        theta = np.array([population.draw(rng).theta for _ in range(COHORT)], dtype=np.float64)
        before = probability(theta[:, None], b[None, :], GUESS_RATE)
        after = np.minimum(before + gain / 100.0, 1.0)
        scores = [100.0 * (rng.random(before.shape) < chance).mean(axis=1) for chance in (before, after)]
        better += mean_of_people(scores[1] - scores[0]).low > 0.0
    return better / cohorts
