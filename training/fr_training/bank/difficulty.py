"""From the similarities of the machine to the difficulty of an item.

With P(same) = logistic(alpha + beta * similarity) and beta > 0, a mated item is the harder the less similar its photos
are, b = -(alpha + beta * s), and a non-mated one the harder the more similar they are, b = +(alpha + beta * s).
Standardised within their class, alpha and beta drop out: b is the similarity, or a margin of similarities, as its
distance from the class's mean in standard deviations, with a sign. b is that of Rasch, "Probabilistic Models for Some
Intelligence and Attainment Tests" (1960). The machine's order of difficulty is a first guess, which `updated` moves
towards what people find hard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fr_training.statistics.item_response import update_difficulty

F64 = npt.NDArray[np.float64]
Sign = Literal[-1, 1]

DECIMALS = 3
"""Of a difficulty: the last digits of a similarity differ from one processor to another."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Difficulties of one class of items.

    Attributes:
        mean: of the class's similarities or margins.
        sd: their standard deviation, with n below the line; 0 where all are equal, and then b is 0.
        sign: -1 where more similar is easier (mated pairs, margins), 1 where it is harder (non-mated pairs).
    """

    mean: float
    sd: float
    sign: Sign

    def b(self, value: float) -> float:
        """The difficulty of an item by its similarity or margin: positive = harder; rounded to `DECIMALS`."""
        if self.sd == 0.0:
            return 0.0
        return round(self.sign * (value - self.mean) / self.sd, DECIMALS) + 0.0  # no -0.0

    def of(self, values: F64) -> F64:
        """f64[n] difficulties of f64[n] similarities or margins."""
        return np.array([self.b(float(value)) for value in values], dtype=np.float64)


def scale_of(values: F64, sign: Sign) -> Scale:
    """The scale on which the items of a class have mean 0 and SD 1.

    Args:
        values: f64[n], similarities or margins of all items that the pool offers; of no item where n is 0, and then
            the scale is of no use, and says 0.
        sign: see `Scale`.
    """
    if not len(values):
        return Scale(0.0, 0.0, sign)
    sd = float(np.std(values))
    return Scale(float(np.mean(values)), sd if sd > 1e-9 else 0.0, sign)


def updated(b_algo: float, b_human: float, n: int) -> float:
    """A difficulty that `n` people's answers have moved from the machine's guess; see `update_difficulty`.

    Args:
        b_algo: as `Scale.b` gives it.
        b_human: logits on the same scale, from the answers.
        n: answers, at least 0.
    """
    return round(update_difficulty(b_algo, b_human, n), DECIMALS) + 0.0
