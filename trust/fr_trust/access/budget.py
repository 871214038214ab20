"""Limits for the calls and searches of a principal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fr_core.errors import InvalidField, message

MAX_REQUESTS_PER_S = 1e6
MAX_BURST = 1_000_000
MAX_SEARCHES_PER_DAY = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one principal. Raises `InvalidField`: a number is out of range."""

    requests_per_s: float  # calls and items in a second, in the long run; above 0, up to a million
    burst: int  # so many at once beyond that; from 1 to a million
    searches_per_day: int | None  # in a day that begins at midnight UTC; 0 = none at all, None = no limit

    def __post_init__(self) -> None:
        if not (math.isfinite(self.requests_per_s) and 0 < self.requests_per_s <= MAX_REQUESTS_PER_S):
            raise InvalidField(message("error.trust.calls_second_no_number"), field="requests_per_s")
        if not 1 <= self.burst <= MAX_BURST:
            raise InvalidField(message("error.trust.calls_once_not_million"), field="burst")
        if self.searches_per_day is not None and not 0 <= self.searches_per_day <= MAX_SEARCHES_PER_DAY:
            raise InvalidField(message("error.trust.searches_day_out_range"), field="searches_per_day")

    def at_most(self, other: Budget) -> Budget:
        """Return the lower of each limit of the two."""
        a_day = [limit for limit in (self.searches_per_day, other.searches_per_day) if limit is not None]
        return Budget(
            min(self.requests_per_s, other.requests_per_s), min(self.burst, other.burst), min(a_day, default=None)
        )

    def is_within(self, other: Budget) -> bool:
        """Return whether no limit is above that of another one."""
        return self.at_most(other) == self


UNLIMITED = Budget(MAX_REQUESTS_PER_S, MAX_BURST, None)
"""Of the owner of a server that asks nobody who calls, and of the server itself."""
