"""The ticket of a call: until when its work is wanted, and whether others go first.

Work is handed from thread to thread and waits in queues on its way. Its ticket goes with it, in a context variable, so
that a worker about to begin a piece of it can tell whether anybody still waits for the answer.
"""

import math
import time
from collections.abc import Callable
from contextvars import ContextVar

from fr_core.errors import CallEnded, message


class Ticket:
    """Says of a call whether it is still wanted; several threads may ask while another cancels.

    Args:
        deadline: time of `clock` after which nobody waits for the answer, in seconds; None = never.
        bulk: one of many pieces of a long job, which lets the calls of people who wait go first.
        clock: seconds, monotonic.
        caller: the caller whose share of scarce places the work uses; see `fr_core.sharing`.

    `begun`: whether some of its work has been taken on; the rest is then not refused for want of time.
    """

    def __init__(
        self,
        deadline: float | None = None,
        bulk: bool = False,
        clock: Callable[[], float] = time.monotonic,
        caller: str = "",
    ) -> None:
        self.deadline = deadline
        self.bulk = bulk
        self.caller = caller
        self.begun = False
        self._clock = clock
        self._cancelled = False

    def cancel(self) -> None:
        """Give up the answer: it is not awaited any more."""
        self._cancelled = True

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; infinite without one, 0 or less once it has passed."""
        return math.inf if self.deadline is None else self.deadline - self._clock()

    @property
    def wanted(self) -> bool:
        """Return whether somebody still waits for the answer."""
        return not self._cancelled and self.left_s > 0

    def require_wanted(self) -> None:
        """Return if the answer is still wanted.

        Raises `CallEnded`: the call was cancelled, or its deadline has passed.
        """
        if not self.wanted:
            raise CallEnded(message("error.runtime.call_cancelled_deadline_passed"))


_current: ContextVar[Ticket | None] = ContextVar("ticket", default=None)
_ALWAYS_WANTED = Ticket()


def current_ticket() -> Ticket:
    """Return the ticket of the call that this thread or task works for; outside of calls one that never ends."""
    return _current.get() or _ALWAYS_WANTED


def hold(ticket: Ticket) -> None:
    """Make `ticket` the one of this thread or task, and of the work that it starts from now on."""
    _current.set(ticket)
