"""Drawn strangers, who fill galleries up beyond the people of a set, and how like real people they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fr_core.runtime.ticket import current_ticket

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Strangers that are drawn and compared at once.
BLOCK = 4096
# People, one template each, that strangers are modelled on at most.
MOST_PEOPLE = 5000
# Of the comparisons of real people, shares at whose thresholds drawn ones are held against them.
SHARES = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, slots=True)
class Likeness:
    """The frequency at which drawn strangers are as similar to people as real strangers are.

    The share `real` of the comparisons of every two people, which are `count`, reaches `threshold`, and so does the
    share `drawn` of the comparisons of people with drawn strangers.
    """

    real: float
    count: int
    threshold: float
    drawn: float


class Strangers:
    """Draws templates from a normal distribution with the mean and the covariance of the people's, brought to length 1.

    The covariance is drawn towards that of a sphere, as far as it takes for strangers to be as alike to people, by the
    mean square of their similarities, as people are to each other: that of few people has too few directions. Tails are
    not matched: see `likeness`. `people` are unit vectors f32[n, D], n >= 1, of which the first `MOST_PEOPLE` count.
    """

    def __init__(self, people: F32, seed: int) -> None:
        self._people = people[:MOST_PEOPLE]
        self._seed = seed
        exact = self._people.astype(np.float64)
        self._mean = exact.mean(axis=0)
        covariance = np.cov(exact, rowvar=False, bias=True)
        sphere = float(np.trace(covariance)) / len(covariance)
        self.shrinkage = _shrinkage(exact, self._mean, covariance, sphere)
        values, axes = np.linalg.eigh(
            (1 - self.shrinkage) * covariance + self.shrinkage * sphere * np.eye(len(covariance))
        )
        self._scaled_axes = (axes * np.sqrt(np.maximum(values, 0.0))).T.astype(np.float32)

    def blocks(self, count: int) -> Iterator[F32]:
        """The first `count` strangers, always the same, in blocks f32[b, D]; raises `CallEnded`."""
        chance = np.random.default_rng(self._seed)
        mean = self._mean.astype(np.float32)
        for start in range(0, count, BLOCK):
            current_ticket().require_wanted()
            normal = chance.standard_normal((min(BLOCK, count - start), len(mean)), dtype=np.float32)
            drawn = normal @ self._scaled_axes + mean
            yield drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def likeness(self) -> tuple[Likeness, ...]:
        """Drawn strangers held against real ones, for those of `SHARES` that this many people show."""
        similarities = self._people @ self._people.T
        real = np.sort(similarities[np.triu_indices(len(similarities), 1)])
        drawn = np.concatenate([(self._people @ block.T).ravel() for block in self.blocks(BLOCK)])
        found = []
        for share in SHARES:
            reached = int(share * len(real))
            if reached:
                threshold = float(real[-reached])
                found.append(Likeness(share, reached, threshold, float((drawn >= threshold).mean())))
        return tuple(found)


def _shrinkage(people: F64, mean: F64, covariance: F64, sphere: float) -> float:
    """In [0, 1]: how far the covariance must go towards the sphere for the mean square similarity of real people."""
    n = len(people)
    if n < 2:
        return 1.0
    similarities = people @ people.T
    real = (float((similarities**2).sum()) - float((np.diag(similarities) ** 2).sum())) / (n * (n - 1))
    along = float(((people @ covariance) * people).sum(axis=1).mean())
    modelled = float(((people @ mean) ** 2).mean()) + along
    return float(np.clip((modelled - real) / (along - sphere), 0.0, 1.0)) if along > sphere else 0.0
