"""Runs work that goes on without its page; the pages of every server follow it, and can stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fr_client.errors import FrApiError
from fr_web.console.sessions import LONGEST_S
from fr_web.packing import Unreadable, packed, unpacked
from fr_web.shelf import SharedShelf

_STEP_S = 1.0  # between two looks at the work
_HEARD_S = 120.0  # after which other servers forget the work of one that has died
_MOST = 1_000  # works that have ended, without a shelf


@dataclass(slots=True)
class _Here:
    """A work of this process: the state that it keeps up to date, and what the shelf has of it."""

    state: Any
    said: str
    task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        return self.task is not None and not self.task.done()


class Works:
    """The works under their names, each with its state: a value that can be packed, if there is a `shelf`."""

    def __init__(self, shelf: SharedShelf | None) -> None:
        self._shelf = shelf
        self._here: dict[str, _Here] = {}  # the oldest first

    async def find(self, name: str) -> Any:
        """Return the state of a work, None if there is none, or it was stopped; raises `FrApiError`."""
        if name in self._here:
            return self._here[name].state
        found = None if self._shelf is None else await self._shelf.get(_entry(name))
        with suppress(Unreadable):  # another version of FR Core wrote it
            return None if found is None else unpacked(found.value)
        return None

    async def begin(self, name: str, state: object, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin a work, which changes its state; return False if a work has this name. Raises `FrApiError`."""
        if name in self._here:
            return False
        one = self._here[name] = _Here(state, packed(state))
        began = False
        try:
            began = self._shelf is None or bool(await self._shelf.put(_entry(name), one.said, 0, _HEARD_S, LONGEST_S))
        finally:
            if not began:
                del self._here[name]
        if not began:
            return False
        one.task = asyncio.create_task(self._run(name, one, work))
        resting = [key for key, each in self._here.items() if not each.runs]
        for key in resting[: max(len(resting) - _MOST, 0)]:
            del self._here[key]
        return True

    def runs_here(self, name: str) -> bool:
        """Return whether a work runs in this process."""
        return name in self._here and self._here[name].runs

    async def stop(self, name: str) -> None:
        """Stop a work, and forget its state; another server stops within a second. Raises `FrApiError`."""
        one = self._here.pop(name, None)
        if one is not None and one.task is not None:
            one.task.cancel()
            await asyncio.wait({one.task})
        if self._shelf is not None:
            await self._shelf.take(_entry(name))

    async def _run(self, name: str, one: _Here, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        working = asyncio.ensure_future(work())
        try:
            if self._shelf is not None:
                while await self._is_wanted(self._shelf, name, one, working):
                    await asyncio.wait({working}, timeout=_STEP_S)
                self._here.pop(name, None)
            else:
                await working
        finally:
            working.cancel()

    async def _is_wanted(self, shelf: SharedShelf, name: str, one: _Here, working: asyncio.Future[None]) -> bool:
        """Tell the shelf the state; return False if the work is over and told, or another server has stopped it."""
        is_over = working.done()
        try:
            found = await shelf.get(_entry(name), LONGEST_S if is_over else _HEARD_S)
            if found is None:
                return False
            said = packed(one.state)
            if said != one.said:  # the version is that of the shelf: an answer to an earlier `put` may have been lost
                if not await shelf.put(_entry(name), said, found.version, _HEARD_S, LONGEST_S):
                    return True
                one.said = said
        except FrApiError:  # of the database, which is away for a while: the next step tells it
            await asyncio.sleep(_STEP_S)
            return True
        return not is_over


def _entry(name: str) -> str:
    return f"work {name}"
