"""Runs the study: simulated people take a course through the real sessions, and the real estimators measure them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fr_core.scoring.checks import F64
from fr_training.courses import Course
from fr_training.grading.kinds import CHANCE, ability
from fr_training.grading.rates import Known, sensitivity_of
from fr_training.grading.values import Undefined
from fr_training.plan import CoursePlan
from fr_training.plan_reading import read_plan
from fr_training.sessions.results import results
from fr_training.simulation.runner import Items, Seat, items_of, made_course, run_sitting
from fr_training.simulation.saving import Measured, measured
from fr_training.simulation.trainee import Abilities, Population, SimulatedTrainee
from fr_training.simulation.worlds import (
    GAIN,
    WORLDS,
    BlockHeld,
    Taken,
    World,
    cohorts_called_better,
    run_blocks,
    run_world,
)
from fr_training.statistics.advice import Aided, ByLabel, automation_bias, by_label
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import Ability
from fr_training.statistics.signal_detection import Sensitivity
from fr_training.trials import Result

START_MS = 1_700_000_000_000  # the beginning of every simulated session, milliseconds since 1970, UTC

DRAWS = 4_000
"""Of the posterior behind the interval of the net change by advice: its ends are then known to some hundredths of its
width, while a report draws more."""

PAIRS, AIDED, FORM, ADAPTIVE, TRIADS = "pairs", "aided", "form", "adaptive", "triads"
"""Sittings of the study, each with one block of the same id."""

FIXED_THETAS = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # abilities of which some people each are looked at apart
MOST_HELD = 200  # trainees whose share of right answers in each adaptive block of a shipped plan is counted
COHORTS = 4_000  # cohorts with a gain, and as many without, whose mean change is judged
REPLICATES = 16  # people of each of FIXED_THETAS


@dataclass(frozen=True, slots=True)
class Sizes:
    """The number of trials that everybody is shown; the defaults are those of shipped plans, or larger."""

    pairs: int = 20  # pairs of one person, and as many of two, behind d' and c
    aided: int = 40  # likewise, behind the change by advice; a quarter of the advice is wrong
    form: int = 20  # likewise, in the fixed form behind an ability
    pool: int = 100  # likewise, from which the adaptive block chooses
    adaptive: int = 50  # trials of the adaptive block
    target: float = 0.8  # share of right answers that it aims at, in (.5, 1)
    triads: int = 20  # triads

    @property
    def fixed(self) -> int:
        """Items of the fixed form."""
        return 2 * self.form


@dataclass(frozen=True, slots=True)
class Recovered:
    """A simulated person, and what was found out."""

    abilities: Abilities  # the truth
    pairs: Sensitivity  # d' and c, without advice
    advice: ByLabel  # what advice moved
    net: Estimate  # how far it moved c
    ability: Measured  # from pairs by difficulty
    triads: Ability  # ability from triads, as reports give it


@dataclass(frozen=True, slots=True)
class Study:
    """All of it."""

    seed: int  # decided everything
    population: Population  # whom the people were drawn from
    sizes: Sizes  # how much they were shown
    people: tuple[Recovered, ...]  # who took the whole course
    # By ability, further people of exactly that, who took the fixed form and the adaptive block.
    at_theta: dict[float, tuple[Measured, ...]]
    form_b: F64  # f64[n], difficulties of the fixed form
    # Mated pairs and non-mated pairs that the advice called "same", then those it called "different".
    advice_cells: tuple[tuple[int, int], tuple[int, int]]
    worlds: tuple[tuple[World, tuple[Taken, ...]], ...]  # who took a sitting of a shipped plan, by world
    blocks: tuple[BlockHeld, ...]  # every adaptive block of a shipped plan
    power: float  # share of cohorts with a gain that are called better
    false_gain: float  # share of cohorts without one that are


@dataclass(slots=True)
class _Desk:
    """The parts that let people take the course."""

    course: Course  # that they take
    items: Items  # of it
    population: Population  # gives the prior of abilities
    known: Known = field(default_factory=dict)  # figures of counts that came before

    def rows(self, seat: Seat, sitting: str, rng: np.random.Generator) -> tuple[Result, ...]:
        """Take a sitting, and say what became of it."""
        return results(self.course, run_sitting(self.course, self.items, seat, sitting, rng, START_MS))


def run_study(
    trainees: int,
    seed: int,
    *,
    population: Population | None = None,
    sizes: Sizes | None = None,
    replicates: int = REPLICATES,
    worlds: Sequence[World] = WORLDS,
    cohorts: int = COHORTS,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Study:
    """Let people take the course; the same seed gives the same study with one version of NumPy.

    Args:
        trainees: drawn from the population, at least 2.
        seed: at least 0.
        population: whom they are drawn from.
        sizes: how much they are shown.
        replicates: people of each of FIXED_THETAS, at least 2.
        worlds: in each of them, as many trainees take a sitting of a shipped plan.
        cohorts: with a gain, and as many without, at least 1.
        on_progress: called with how many people are done, of how many.

    Raises:
        ValueError: a number is out of its range.
    """
    if trainees < 2 or seed < 0 or replicates < 2:
        raise ValueError("A study has at least 2 trainees, a seed of at least 0, and 2 replicates.")
    population, sizes = population or Population(), sizes or Sizes()
    course = made_course(study_plan(sizes), seed, START_MS)
    desk = _Desk(course, items_of(course), population)
    alone = trainees + replicates * len(FIXED_THETAS)
    held = min(trainees, MOST_HELD)
    total = alone + trainees * len(worlds) + held
    people = []
    for number in range(trainees):
        rng = np.random.default_rng([seed, 0, number])
        people.append(_recovered(desk, _seat(f"S-{number}", number, population.draw(rng)), rng))
        on_progress(number + 1, total)
    at_theta: dict[float, tuple[Measured, ...]] = {}
    for place, theta in enumerate(FIXED_THETAS):
        seats = [_seat(f"F-{n}", n, Abilities(population.dprime.mean, theta=theta)) for n in range(replicates)]
        rngs = [np.random.default_rng([seed, 1, place, n]) for n in range(replicates)]
        at_theta[theta] = tuple(_measured(desk, seat, rng) for seat, rng in zip(seats, rngs, strict=True))
        on_progress(trainees + replicates * (place + 1), total)
    taken = []
    for place, world in enumerate(worlds):

        def of_world(done: int, before: int = alone + trainees * place) -> None:
            on_progress(before + done, total)

        taken.append((world, run_world(world, population, trainees, seed, of_world)))
    blocks = run_blocks(population, held, seed)
    on_progress(total, total)
    power, false_gain = (cohorts_called_better(population, gain, cohorts, seed) for gain in (GAIN, 0.0))
    form_b = np.array([item.b or 0.0 for item in course.forms[FORM].items], dtype=np.float64)
    wrong = _wrong(sizes)
    cells = (sizes.aided - wrong, wrong), (wrong, sizes.aided - wrong)
    return Study(
        seed, population, sizes, tuple(people), at_theta, form_b, cells, tuple(taken), blocks, power, false_gain
    )


def study_plan(sizes: Sizes) -> CoursePlan:
    """The plan of the study's course."""
    adaptive = f"same = {sizes.pool}\ndifferent = {sizes.pool}\nadaptive = true\ntrials = {sizes.adaptive}\n"
    blocks = {
        PAIRS: ("verification", f"same = {sizes.pairs}\ndifferent = {sizes.pairs}\n"),
        AIDED: ("aided", f"same = {sizes.aided}\ndifferent = {sizes.aided}\nwrong = {2 * _wrong(sizes)}\n"),
        FORM: ("verification", f"same = {sizes.form}\ndifferent = {sizes.form}\n"),
        ADAPTIVE: ("verification", f"{adaptive}target = {sizes.target}\n"),
        TRIADS: ("triad", f"trials = {sizes.triads}\n"),
    }
    return read_plan(
        'format = 1\ntitle = "Simulated trainees"\n'
        + "".join(
            f'[[sittings]]\nname = "{name}"\n[[sittings.blocks]]\nid = "{name}"\nexercise = "{exercise}"\n{counts}'
            for name, (exercise, counts) in blocks.items()
        )
    )


def _recovered(desk: _Desk, seat: Seat, rng: np.random.Generator) -> Recovered:
    rated = desk.rows(seat, AIDED, rng)
    aided = Aided(
        before=np.array([one.rating_before or 0 for one in rated], dtype=np.int64),
        after=np.array([one.rating or 0 for one in rated], dtype=np.int64),
        mated=np.array([one.truth == "same" for one in rated], dtype=np.bool_),
        aid_same=np.array([one.advice == "same" for one in rated], dtype=np.bool_),
    )
    triads = ability(desk.rows(seat, TRIADS, rng), CHANCE)
    if isinstance(triads, Undefined):
        raise AssertionError(triads.reason)
    return Recovered(
        abilities=seat.trainee.abilities,
        pairs=sensitivity_of(desk.rows(seat, PAIRS, rng), desk.known),
        advice=by_label(aided),
        net=automation_bias(aided, rng, draws=DRAWS),
        ability=_measured(desk, seat, rng),
        triads=triads,
    )


def _measured(desk: _Desk, seat: Seat, rng: np.random.Generator) -> Measured:
    form, adaptive = (desk.rows(seat, block, rng) for block in (FORM, ADAPTIVE))
    return measured(seat.trainee.abilities.theta, form, adaptive, desk.population)


def _seat(trainee_id: str, number: int, abilities: Abilities) -> Seat:
    return Seat(trainee_id, number % 2, SimulatedTrainee(replace(abilities, median_ms=3_000.0), frozenset({FORM})))


def _wrong(sizes: Sizes) -> int:
    """Wrong advice to the pairs of each truth."""
    return sizes.aided // 4
