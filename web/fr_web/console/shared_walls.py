"""Walls that all servers of a database share: a class votes on any of them, and sees what its trainer shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fr_web.console.sessions import LONGEST_S
from fr_web.console.shared_sessions import SharedSessions
from fr_web.console.visit import Visit
from fr_web.console.walls import Vote, Wall
from fr_web.shelf import Copy, SharedShelf, read_of, told_of


class SharedWalls:
    """Keeps `walls` as they are on the shelf; each vote of a trainee is a separate entry, so none is lost."""

    def __init__(self, shelf: SharedShelf, sessions: SharedSessions, walls: dict[str, Wall]) -> None:
        self._shelf, self._sessions = shelf, sessions
        self._walls = walls
        self._copy = Copy(f"walls {shelf.secret.hex()}")

    async def fetch(self, visit: Visit) -> None:
        """Have the walls as the last request left them, on any server; raises `FrApiError`.

        `visit` may be of any visitor; the visits of the trainers are made from it.
        """
        for session_id in {one.visit.session_id for one in self._walls.values()}:
            await self._sessions.refresh(session_id)
        found = await self._shelf.get(self._copy.name)
        if found is None or found.version == self._copy.version:
            return
        await self._take(read_of(found.value), visit)
        self._copy.version, self._copy.said = found.version, told_of(self._entries())

    async def store(self, visit: Visit) -> None:
        """Leave the walls to the next request; raises `FrApiError`."""
        theirs = await self._copy.write(self._shelf, self._entries(), LONGEST_S, LONGEST_S, is_new=True)
        if theirs:
            await self._take(theirs | self._entries(), visit)

    def _entries(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for wall_id, one in self._walls.items():
            vote = one.vote
            opened = None if vote is None else (vote.vote_id, vote.is_open, vote.opened_s, sorted(vote.trainees))
            found[wall_id] = (one.visit.session_id, one.cohort_id, one.item_id, one.step, opened)
            if vote is not None:
                for trainee, rating in vote.given.items():
                    found[f"{vote.vote_id} {trainee}"] = rating
        return found

    async def _take(self, entries: dict[str, Any], visit: Visit) -> None:
        ids = {wall_id for wall_id, said in entries.items() if isinstance(said, tuple)}
        for wall_id in self._walls.keys() - ids:
            del self._walls[wall_id]
        for wall_id in ids:
            session_id, cohort_id, item_id, step, opened = entries[wall_id]
            one = self._walls.get(wall_id)
            if one is None:
                await self._sessions.fetch(session_id, uses=False)
                session = self._sessions.find(session_id)
                if session is None:  # the trainer has signed out
                    continue
                trainer = replace(visit, session=session, session_id=session_id)
                one = self._walls[wall_id] = Wall(trainer, cohort_id)
            if (one.item_id, one.step) != (item_id, step):
                one.item_id, one.step, one.asked_s = item_id, step, float("-inf")
            one.vote = _vote(opened, entries, one.vote)


def _vote(opened: Any, entries: dict[str, Any], before: Vote | None) -> Vote | None:
    if opened is None:
        return None
    vote_id, is_open, opened_s, trainees = opened
    vote = before if before is not None and before.vote_id == vote_id else Vote(set(), vote_id=vote_id)
    vote.is_open, vote.opened_s, vote.trainees = is_open, opened_s, set(trainees)
    for trainee in trainees:
        if (rating := entries.get(f"{vote_id} {trainee}")) is not None:
            vote.given[trainee] = rating
    return vote
