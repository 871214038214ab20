"""Which pictures are to be made of which photos; the pictures of a course are numbered in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fr_training.answers import Degraded
from fr_training.bank.pool import PoolPhoto


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """A picture to be made.

    Attributes:
        photo: number of the pool's photo.
        degraded: what is to be done to it; None where nothing is. Never POSE: a turned head cannot be rendered.
        strength: of what is done, in the unit of `fr_training.bank.degradations`; 0 where nothing is.
    """

    photo: int
    degraded: Degraded | None = None
    strength: float = 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A photo as it is shown.

    Attributes:
        photo: of the pool.
        degraded: see `PictureSpec`.
        strength: see `PictureSpec`.
    """

    photo: PoolPhoto
    degraded: Degraded | None = None
    strength: float = 0.0

    @property
    def told(self) -> str | dict[str, str | float]:
        """As a manifest tells it: the photo's hash, and what was done to it."""
        if self.degraded is None:
            return self.photo.sha256
        return {"degraded": str(self.degraded), "sha256": self.photo.sha256, "strength": self.strength}


@dataclass(slots=True)
class PictureBook:
    """The pictures of a course while it is made; each is in it once."""

    _shown: list[Shown] = field(default_factory=list)
    _numbers: dict[PictureSpec, int] = field(default_factory=dict)

    def numbers(self, shown: Sequence[Shown]) -> tuple[int, ...]:
        """The numbers of pictures, from 0; new ones are taken up."""
        return tuple(map(self._number, shown))

    def _number(self, one: Shown) -> int:
        spec = PictureSpec(one.photo.number, one.degraded, one.strength)
        if spec not in self._numbers:
            self._numbers[spec] = len(self._shown)
            self._shown.append(one)
        return self._numbers[spec]

    def shown(self, numbers: Sequence[int]) -> list[Shown]:
        """What pictures show, by their numbers."""
        return [self._shown[number] for number in numbers]

    @property
    def specs(self) -> tuple[PictureSpec, ...]:
        """All pictures, in the order of their numbers."""
        return tuple(self._numbers)
