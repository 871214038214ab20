"""Counts the calls and searches of all principals across the servers of a database, as `budgets` does in a process.

Each process takes a block of calls, and of searches of the day, from the database, and spends it by itself. All
processes together never grant more than one budget (`fr_core.storage.grants`). They may grant somewhat less: calls and
searches of a block that one process holds are not there for the others, and those of a process that dies are lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import TypeVar

from fr_core.errors import FrError, for_one_caller
from fr_core.storage.grants import Grants
from fr_locales.messages import message
from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.budgets import MAX_PRINCIPALS, Budgets, rounded_up
from fr_trust.errors import QuotaExceeded, RateLimited

R = TypeVar("R")


class _Held:
    """The calls and searches that this process holds for one principal; fewer than 0 calls are on credit."""

    __slots__ = ("calls", "calls_from_s", "fetching", "granted", "searches", "searches_until_s")

    def __init__(self) -> None:
        self.calls = 0
        self.calls_from_s = 0.0  # when there will be calls again
        self.searches = 0
        self.searches_until_s = 0.0  # when the day of the searches ends
        self.granted = 0  # searches of today, to all processes, when that was last asked
        self.fetching: dict[str, asyncio.Task[int]] = {}  # of calls and of searches, the one that runs


class SharedBudgets:
    """Counts for all servers of a database; for one event loop. `account_of` turns the id of a principal into bytes."""

    def __init__(
        self,
        grants: Grants,
        account_of: Callable[[str], bytes],
        monotonic_s: Callable[[], float] = time.monotonic,
        max_principals: int = MAX_PRINCIPALS,
    ) -> None:
        self._grants = grants
        self._account_of = account_of
        self._monotonic_s = monotonic_s
        self._max_principals = max_principals
        self._asking = asyncio.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    async def ready(self, principal_id: str, budget: Budget, *, call: bool, search: bool, left: bool = False) -> None:
        """Have what the next of these methods needs; it is to be called at once, without waiting for anything.

        Args:
            call: for `spend`: have a call at hand, if there is one.
            search: for `search`: have a search at hand, if there is one.
            left: for `searches_left`: know what others have been granted.

        Raises `StoreFailed`, and nothing is counted.
        """
        if budget == UNLIMITED:
            return
        held = self._of(principal_id)
        if call:
            await self._have(held, "calls", self._lacks_call, lambda: self._fetch_calls(held, principal_id, budget))
        if search and budget.searches_per_day is not None:
            most = budget.searches_per_day
            await self._have(
                held, "searches", self._lacks_search, lambda: self._fetch_searches(held, principal_id, most)
            )
        if left:
            held.granted = await self._in_thread(lambda: self._grants.used(self._account_of(principal_id)))

    def spend(self, principal_id: str, budget: Budget) -> None:
        """As `Budgets.spend`, straight after `ready`."""
        if budget == UNLIMITED:
            return
        held = self._of(principal_id)
        if held.calls < 1:
            raise self._rate_limited(held, budget)
        held.calls -= 1

    def spend_more(self, principal_id: str, budget: Budget, items: int) -> None:
        """As `Budgets.spend_more`; it needs no `ready`."""
        if budget == UNLIMITED:
            return
        held = self._of(principal_id)
        if held.calls < 0:
            raise self._rate_limited(held, budget)
        held.calls -= items

    def search(self, principal_id: str, budget: Budget) -> None:
        """As `Budgets.search`, straight after `ready`."""
        if budget.searches_per_day is None:
            return
        held = self._of(principal_id)
        left_s = held.searches_until_s - self._monotonic_s()
        if held.searches < 1 or left_s <= 0:
            raise QuotaExceeded(message("error.trust.no_search_left_today"), retry_after_s=rounded_up(left_s))
        held.searches -= 1

    def searches_left(self, principal_id: str, budget: Budget) -> int | None:
        """As `Budgets.searches_left`, straight after `ready`; those that other processes hold do not count."""
        if budget.searches_per_day is None:
            return None
        held = self._of(principal_id)
        own = 0 if self._lacks_search(held) else held.searches
        return max(0, budget.searches_per_day - held.granted) + own

    def _rate_limited(self, held: _Held, budget: Budget) -> RateLimited:
        wait_s = max(0.0, held.calls_from_s - self._monotonic_s()) - held.calls / budget.requests_per_s
        return RateLimited(message("error.trust.more_asked_budget_key"), retry_after_s=rounded_up(wait_s))

    def _of(self, principal_id: str) -> _Held:
        held = self._held.setdefault(principal_id, _Held())
        self._held.move_to_end(principal_id)
        if len(self._held) > self._max_principals:
            self._held.popitem(last=False)
        return held

    def _lacks_call(self, held: _Held) -> bool:
        return held.calls < 1 and self._monotonic_s() >= held.calls_from_s

    def _lacks_search(self, held: _Held) -> bool:
        return held.searches < 1 or self._monotonic_s() >= held.searches_until_s

    async def _have(
        self,
        held: _Held,
        what: str,
        lacks: Callable[[_Held], bool],
        fetch: Callable[[], Coroutine[None, None, int]],
    ) -> None:
        """Fetch until there is something. The callers of a principal share a fetch, and none that ends stops it."""
        while lacks(held):
            task = held.fetching.get(what)
            if task is None or task.done():
                task = held.fetching[what] = asyncio.create_task(fetch())
            try:
                if not await asyncio.shield(task):
                    return
            except FrError as error:
                raise for_one_caller(error) from error

    async def _fetch_calls(self, held: _Held, principal_id: str, budget: Budget) -> int:
        account, rate, burst = self._account_of(principal_id), budget.requests_per_s, budget.burst
        block = await self._in_thread(lambda: self._grants.take(account, rate, burst))
        held.calls += block.granted
        held.calls_from_s = self._monotonic_s() + block.wait_s
        return block.granted

    async def _fetch_searches(self, held: _Held, principal_id: str, most: int) -> int:
        account, before_s = self._account_of(principal_id), self._monotonic_s()
        block = await self._in_thread(lambda: self._grants.use(account, most))
        held.searches, held.searches_until_s = block.granted, before_s + block.wait_s
        return block.granted

    async def _in_thread(self, work: Callable[[], R]) -> R:
        async with self._asking:  # there is one connection, and other work needs threads too
            return await asyncio.to_thread(work)


Counting = Budgets | SharedBudgets
"""Counts calls and searches: `ready`, and then at once `spend`, `search` or `searches_left`."""
