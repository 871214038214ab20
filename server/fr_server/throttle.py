"""What no flood gets past: what is let through of each kind, and how much was not."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable

MOST_PER_WINDOW = 10
"""So many of one kind are let through in a window of time."""

# Of whoever was heard of last; the others begin anew.
_MAX_KINDS = 10_000


class _Kind:
    """What was let through in the window that runs, and what was not since the last that was."""

    __slots__ = ("began_s", "held_back", "let_through")

    def __init__(self) -> None:
        self.began_s = -math.inf
        self.let_through = 0
        self.held_back = 0


class Throttle:
    """Lets through of each kind at most `MOST_PER_WINDOW` in a window of time, and counts the others; of one thread.

    Args:
        monotonic_s: seconds of a clock that is never set.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def held_back(self, kind: Hashable, window_s: float = 1.0) -> int | None:
        """Ask to be let through.

        Args:
            kind: what is counted together.
            window_s: seconds of its window.

        Returns:
            How many of the kind were not since the last that was, for whoever is let through; None where this one is
            not, and is counted for the next.
        """
        paced = self._kinds.setdefault(kind, _Kind())
        self._kinds.move_to_end(kind)
        if len(self._kinds) > _MAX_KINDS:
            self._kinds.popitem(last=False)
        now_s = self._monotonic_s()
        if now_s - paced.began_s >= window_s:
            paced.began_s, paced.let_through = now_s, 0
        if paced.let_through >= MOST_PER_WINDOW:
            paced.held_back += 1
            return None
        paced.let_through += 1
        held_back, paced.held_back = paced.held_back, 0
        return held_back
