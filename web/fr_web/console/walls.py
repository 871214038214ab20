"""The walls of classes, in memory: what a projector shows, and the vote of a class on it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fr_web.console.visit import Visit

RATINGS = range(-3, 4)


@dataclass(slots=True)
class Vote:
    """The ratings of a class for the item on its wall: the last one of each of the trainees, -3 to 3."""

    trainees: set[str]
    is_open: bool = True
    given: dict[str, int] = field(default_factory=dict, repr=False)
    vote_id: str = field(default_factory=lambda: secrets.token_hex(8))
    opened_s: float = field(default_factory=time.time)  # to compare with those of other servers

    @property
    def counts(self) -> list[int]:
        """Return how many gave each rating, from -3 on; [] while it is open, so that nobody follows the others."""
        given = [*self.given.values()]
        return [] if self.is_open else [given.count(rating) for rating in RATINGS]

    @property
    def state(self) -> tuple[str, bool, int]:
        """Return what changes when a page with it has to."""
        return self.vote_id, self.is_open, len(self.given)


@dataclass(slots=True)
class Wall:
    """A projector, which shows a cohort without a key what its trainer shows; item and step are "" before the first.

    `visit` is of the trainer who made its link; the link ends with the trainer's session. `content` is the item up to
    the step, as the server gave it to the trainer at `asked_s`: a class that looks at it at once asks the server once.
    """

    visit: Visit
    cohort_id: str
    item_id: str = ""
    step: str = ""
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    asked_s: float = 0.0
    vote: Vote | None = None

    def is_of(self, visit: Visit, cohort_id: str) -> bool:
        """Return whether a trainer made its link, for a cohort."""
        return (self.visit.session_id, self.cohort_id) == (visit.session_id, cohort_id)

    @property
    def holds(self) -> bool:
        """Return whether the trainer is still signed in."""
        return self.visit.desk.holds(self.visit)

    def show(self, content: Mapping[str, Any]) -> None:
        """Show an item up to a step: another item has no vote yet, and nobody votes beside the right answer."""
        item_id, step = content["item_id"], content["step"]
        if item_id != self.item_id:
            self.vote = None
        elif self.vote is not None and step == "truth":
            self.vote.is_open = False
        self.item_id, self.step = item_id, step
        self.content, self.asked_s = content, time.monotonic()
