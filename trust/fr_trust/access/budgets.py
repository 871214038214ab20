"""Counts what everybody asks for: a token bucket for calls, and the searches of the day.

**The day and a clock that is set.** When the day of the searches ends is laid down once, when it begins, as a moment
of the monotonic clock, which nobody sets: the next midnight of the wall clock that is at least half a day away. So days
are those of UTC while the wall clock is right; a wall clock that is set forwards gives nobody searches before that
moment, and one that is set back takes from nobody those after it. When the day ends, the wall clock is asked anew, so
that a clock that was corrected counts from then on. However often and far it is set, a day has 12 to 36 hours, but for
the first one of a process, which ends at midnight.

**What is kept.** Of each principal a few numbers, in memory, for one process: where several take calls, each principal
has its budget in each, unless they share a database (`shared_budgets`). A principal that asks for nothing until its
bucket is full, and has not searched today, is forgotten; and when more than so many principals have to be kept, the one
is that has not called for longest, which can search anew. Those who call have valid keys or tokens, so that only who
holds very many can make that happen.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable

from fr_locales.messages import message
from fr_trust.access.budget import Budget
from fr_trust.errors import QuotaExceeded, RateLimited

MAX_PRINCIPALS = 100_000

_DAY_MS = 86_400_000
_LEAST_DAY_MS = _DAY_MS // 2
# Of those who have not called for longest, so many are looked at with each call: more than can come with one.
_LOOKED_AT = 2
# Of a call, which sums of seconds may be off by.
_ROUNDING = 1e-6


class _Account:
    """The remaining budget of one principal."""

    __slots__ = ("at_s", "budget", "searches", "tokens")

    def __init__(self, budget: Budget, at_s: float) -> None:
        self.budget = budget
        self.tokens = float(budget.burst)
        self.at_s = at_s
        self.searches = 0

    def fill(self, budget: Budget, now_s: float) -> None:
        if budget != self.budget:
            self.tokens = min(self.tokens, budget.burst)
            self.budget = budget
        self.tokens = min(budget.burst, self.tokens + max(0.0, now_s - self.at_s) * budget.requests_per_s)
        self.at_s = max(self.at_s, now_s)

    def is_idle(self, now_s: float) -> bool:
        """Return whether a new one would be the same."""
        missing = self.budget.burst - self.tokens
        return self.searches == 0 and (now_s - self.at_s) * self.budget.requests_per_s >= missing


class Budgets:
    """Counts for one process; for several threads.

    Args:
        monotonic_s: seconds of a clock that is never set.
        clock_ms: milliseconds since 1970, UTC, of a clock that may be set.
        max_principals: how many are kept at once.
    """

    def __init__(
        self, monotonic_s: Callable[[], float], clock_ms: Callable[[], int], max_principals: int = MAX_PRINCIPALS
    ) -> None:
        self._monotonic_s = monotonic_s
        self._clock_ms = clock_ms
        self._max_principals = max_principals
        self._lock = threading.Lock()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._day_ends_s = monotonic_s() + _to_midnight_ms(clock_ms(), 1) / 1000

    async def ready(self, principal_id: str, budget: Budget, *, call: bool, search: bool, left: bool = False) -> None:
        """Do nothing: everything is in memory, see `SharedBudgets.ready`."""

    def spend(self, principal_id: str, budget: Budget) -> None:
        """Count a call, or an item of a stream.

        Raises `RateLimited`: one too many, which is not counted. The metadata say `retry_after_s`.
        """
        with self._lock:
            self._spend(principal_id, budget, 1, 1)

    def spend_more(self, principal_id: str, budget: Budget, items: int) -> None:
        """Count more items of a call that is counted, on credit where the budget has fewer: later calls wait for them.

        Raises `RateLimited`: other items are on credit; these are not counted. The metadata say `retry_after_s`.
        """
        with self._lock:
            self._spend(principal_id, budget, items, 0)

    def search(self, principal_id: str, budget: Budget) -> None:
        """Count a search of the day, beside the call that it comes with.

        Raises `QuotaExceeded`: none is left today. The metadata say `retry_after_s`, when the next day begins.
        """
        with self._lock:
            now_s = self._monotonic_s()
            self._turn_day(now_s)
            if budget.searches_per_day is None:
                return
            account = self._account(principal_id, budget, now_s)
            if account.searches >= budget.searches_per_day:
                raise QuotaExceeded(
                    message("error.trust.no_search_left_today"), retry_after_s=rounded_up(self._day_ends_s - now_s)
                )
            account.searches += 1

    def searches_left(self, principal_id: str, budget: Budget) -> int | None:
        """Return how many searches somebody has left today; None = no limit. It counts nothing."""
        with self._lock:
            self._turn_day(self._monotonic_s())
            if budget.searches_per_day is None:
                return None
            account = self._accounts.get(principal_id)
            return max(0, budget.searches_per_day - (0 if account is None else account.searches))

    def __len__(self) -> int:
        """Of how many principals something is kept."""
        with self._lock:
            return len(self._accounts)

    def _spend(self, principal_id: str, budget: Budget, calls: int, least: int) -> None:
        account = self._account(principal_id, budget, self._monotonic_s())
        if least - account.tokens > _ROUNDING:
            wait_s = (1 - account.tokens) / budget.requests_per_s
            raise RateLimited(message("error.trust.more_asked_budget_key"), retry_after_s=rounded_up(wait_s))
        account.tokens -= calls

    def _account(self, principal_id: str, budget: Budget, now_s: float) -> _Account:
        account = self._accounts.get(principal_id)
        if account is None:
            account = self._accounts[principal_id] = _Account(budget, now_s)
        self._accounts.move_to_end(principal_id)
        account.fill(budget, now_s)
        for _ in range(_LOOKED_AT):
            oldest_id, oldest = next(iter(self._accounts.items()))
            if oldest is account or not (len(self._accounts) > self._max_principals or oldest.is_idle(now_s)):
                break
            del self._accounts[oldest_id]
        return account

    def _turn_day(self, now_s: float) -> None:
        if now_s < self._day_ends_s:
            return
        for account in self._accounts.values():
            account.searches = 0
        self._day_ends_s = now_s + _to_midnight_ms(self._clock_ms(), _LEAST_DAY_MS) / 1000


def _to_midnight_ms(now_ms: int, least_ms: int) -> int:
    """Return how far away the first midnight (UTC) is that is at least so far away."""
    return least_ms + -(now_ms + least_ms) % _DAY_MS


def rounded_up(seconds: float) -> str:
    """Return a wait as text, a millisecond or more."""
    return f"{max(1, math.ceil(seconds * 1000)) / 1000:.3f}"
