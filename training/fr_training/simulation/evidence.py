"""What two photos tell a simulated trainee, how that is rated, and how the rating changes with a machine's advice."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import exp, inf, sqrt

import numpy as np

from fr_training.answers import PairRating
from fr_training.statistics.estimates import share_below, z_of

_LEAST = 1e-300  # of a share, so that its z is finite
_MOST = 1.0 - 1e-15  # likewise
_FELT = (0.3, 0.7, 1.2, 1.8)  # distances from the criterion below which a pair is felt as hard as 5, 4, 3 and 2
_LARGEST = 700.0  # of an exponent


@dataclass(frozen=True, slots=True)
class Scale:
    """How evidence becomes one of the seven ratings: by its distance from the criterion, to both sides alike.

    Distances are in standard deviations of the evidence, that is in units of d'; they do not fall.

    Attributes:
        undecided: up to this distance the rating is 0, as which 0 leaves none.
        unsure: up to this, 1 or -1.
        fairly: up to this, 2 or -2; beyond, 3 or -3.
    """

    undecided: float = 0.1
    unsure: float = 0.6
    fairly: float = 1.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.undecided <= self.unsure <= self.fairly < inf:
            raise ValueError("The thresholds of ratings are finite, at least 0, and do not fall.")

    @property
    def cuts(self) -> tuple[float, ...]:
        """The six ends of the seven ratings, as distances from the criterion."""
        return (-self.fairly, -self.unsure, -self.undecided, self.undecided, self.unsure, self.fairly)

    def rating(self, distance: float) -> int:
        """The rating, -3 to 3, of evidence that lies so far above the criterion; at an end, the lower one."""
        return bisect_left(self.cuts, distance) - 3

    def range_of(self, rating: int) -> tuple[float, float]:
        """The distances from the criterion that get a rating, -3 to 3."""
        ends = (-inf, *self.cuts, inf)
        return ends[rating + 3], ends[rating + 4]


USUAL_SCALE = Scale()


def strength_of(right: float) -> float:
    """m at which an unbiased trainee is right with a chance in [0, 1]: z of it, at most some 8."""
    return z_of(min(max(right, 1.0 - _MOST), _MOST))


def first_sight(mated: bool, strength: float, rng: np.random.Generator) -> float:
    """Draw the evidence of a pair: N(+m, 1) for one person, N(-m, 1) for two."""
    return float(rng.normal(strength if mated else -strength))


def second_sight(
    mated: bool, strength: float, low: float, high: float, memory: float, rng: np.random.Generator
) -> float:
    """Draw the evidence of a pair that is looked at again, of which a first rating told that it lay in (low, high].

    What was seen at first is drawn anew from what the first rating left open, so that a trainee needs no memory of its
    own, and both looks together are spread as if it had one. By itself the second look is spread as the first.
    Source of the draw: inversion, L. Devroye, "Non-Uniform Random Variate Generation", Springer (1986), section 2.2.

    Args:
        mated: whether both photos show one person.
        strength: m.
        low: lower end, may be infinite.
        high: upper end, above `low`.
        memory: correlation of the two looks, in [0, 1].
        rng: draws.
    """
    mean = strength if mated else -strength
    above = low > mean  # then from the other tail, where shares are precise
    first = -_between(mean - high, mean - low, rng) if above else _between(low - mean, high - mean, rng)
    return mean + memory * first + sqrt(1.0 - memory**2) * float(rng.standard_normal())


def rated(evidence: float, criterion: float, strength: float, scale: Scale) -> PairRating:
    """The rating, and P(same) as an unbiased observer of that strength would state it, in steps of .01.

    The likelihood ratio of evidence x is exp(2 m x): Green and Swets (1966), see
    `fr_training.statistics.signal_detection`.
    """
    p_same = 1.0 / (1.0 + exp(min(-2.0 * strength * evidence, _LARGEST)))
    return PairRating(scale.rating(evidence - criterion), round(p_same, 2))


def felt_difficulty(distance: float) -> int:
    """1, easy, to 5, hard: the nearer the evidence is to the criterion, the harder."""
    return 5 - bisect_left(_FELT, abs(distance))


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """A standard normal draw within (low, high], low <= 0."""
    below, above = share_below(low), share_below(high)
    share = below + (above - below) * float(rng.random())
    drawn = z_of(min(max(share, _LEAST), _MOST))
    return min(max(drawn, low), high)
