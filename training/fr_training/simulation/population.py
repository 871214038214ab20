"""How abilities are spread over people: what is known of human face matching, and what is assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fr_training.simulation.evidence import USUAL_SCALE, Scale
from fr_training.simulation.trainee import Abilities


@dataclass(frozen=True, slots=True)
class Spread:
    """A normal distribution.

    Attributes:
        mean: of it.
        sd: of it, at least 0.
    """

    mean: float
    sd: float

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return float(rng.normal(self.mean, self.sd))


@dataclass(frozen=True, slots=True)
class Population:
    """People.

    The Glasgow Face Matching Test, 40 pairs, is answered 81 % right with a standard deviation of 9.7 points
    (`fr_training.statistics.change`). The chance of 40 answers alone makes sqrt(.81 * .19 / 40) = 6.2 points of it,
    which leaves 7.5 for people.

    * d' = 2 z(.81) = 1.76 for an unbiased person; 7.5 points are .55 of it, as d(% right)/dd' = phi(.88)/2 = .136;
    * theta: .6 and .8 give 81 % and 7.5 points on a fixed form whose difficulties have mean 0 and SD 1, g = 1/2
      (`tests/unit/test_simulation_trainees.py` adds it up);
    * the spread of c, and what advice weighs, are assumed: Howard and others (2020, see
      `fr_training.statistics.advice`) found criteria moved by a step of their scale, and people who differ;
    * that two looks at a pair agree to .8 is assumed. Of people who see exactly the same twice, the interval of the net
      change by advice covers some 98 of 100 (1,500 simulated): it is then on the safe side.

    Attributes:
        dprime: below 0 it is drawn again.
        criterion: c.
        advice_weight: below 0 are people who lean away from a machine.
        theta: ability.
        memory: correlation of two looks, in [0, 1], the same for all.
        scale: of ratings, the same for all.
    """

    dprime: Spread = Spread(1.76, 0.55)
    criterion: Spread = Spread(0.0, 0.25)
    advice_weight: Spread = Spread(0.3, 0.2)
    theta: Spread = Spread(0.6, 0.8)
    memory: float = 0.8
    scale: Scale = USUAL_SCALE

    def draw(self, rng: np.random.Generator) -> Abilities:
        """Draw a person; the four figures do not go together."""
        dprime = self.dprime.draw(rng)
        while dprime < 0.0:
            dprime = self.dprime.draw(rng)
        return Abilities(
            dprime=dprime,
            criterion=self.criterion.draw(rng),
            advice_weight=self.advice_weight.draw(rng),
            memory=self.memory,
            theta=self.theta.draw(rng),
            scale=self.scale,
        )
