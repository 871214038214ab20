"""Figures that the pairs cannot give are left undefined, and say why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.intervals import UndefinedRate

T = TypeVar("T")


class Undefined(dict[str, str]):
    """Name of a figure -> what the pairs lack."""

    def unless(self, name: str, figure: Callable[[], T]) -> T | None:
        """The figure, or None and a reason under its name.

        Raises:
            CallEnded: the caller's ticket is no longer wanted.
        """
        current_ticket().require_wanted()
        try:
            return figure()
        except UndefinedRate as error:
            self[name] = str(error)
            return None
