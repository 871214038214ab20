"""Sessions that all servers of a database share: each request begins with what the last one left, on any of them.

A session lies on the shelf under its id, which only its browser has, and the drafts of a person under a name that only
the servers can make. Two requests at once each keep what they have changed. Photos that a page shows stay in the
process: another one asks the server for them again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fr_web.console.sessions import IDLE_S, LONGEST_S, Session, Sessions, session_key
from fr_web.shelf import Copy, SharedShelf, read_of, told_of

_FIELDS = ("key", "code", "who", "roles", "inquiry", "told", "launch", "score_sent", "sittings")


class SharedSessions(Sessions):
    """Gives one server the sessions of all."""

    def __init__(self, shelf: SharedShelf, **options: Any) -> None:
        super().__init__(secret=shelf.secret, **options)
        self._shelf = shelf
        self._copies: dict[bytes, Copy] = {}  # of sessions
        self._draft_copies: dict[str, Copy] = {}  # of the drafts of each person
        self._ending: set[asyncio.Task[Any]] = set()

    async def fetch(self, session_id: str, *, uses: bool = True) -> None:
        """As `Sessions.fetch`; without `uses`, that keeps no session alive.

        Raises `FrApiError` where the shelf cannot be read.
        """
        name, key = f"session {session_id}", session_key(session_id)
        found = await self._shelf.get(name, IDLE_S if uses else 0.0)
        if found is None:
            self._open.pop(key, None)
            self._copies.pop(key, None)
            return
        session, copy = self._open.get(key), self._copies.get(key)
        if session is None or copy is None or copy.version != found.version:
            values = read_of(found.value)
            if any(one not in values for one in _FIELDS):  # another version of FR Core wrote it
                return
            if session is None:
                session = self._open[key] = Session(values["key"], values["code"], values["who"], values["roles"])
            for one in _FIELDS:
                setattr(session, one, values[one])
            self._copies[key] = Copy(name, found.version, told_of(values))
        session.used_s = self._clock()
        session.begun_s = session.used_s - found.age_s
        self._forget_copies()
        await self._fetch_drafts(session)

    async def store(self, session_id: str) -> None:
        """As `Sessions.store`; raises `FrApiError` where the shelf cannot be written."""
        await asyncio.gather(*self._ending)
        session = self._open.get(session_key(session_id))
        if session is None:
            return
        copy = self._copies.setdefault(session_key(session_id), Copy(f"session {session_id}"))
        values = {one: getattr(session, one) for one in _FIELDS}
        values = await copy.write(self._shelf, values, IDLE_S, LONGEST_S, is_new=not copy.said)
        for one, value in values.items():
            setattr(session, one, value)
        copy = self._draft_copy(session)
        session.drafts.update(await copy.write(self._shelf, session.drafts, LONGEST_S, LONGEST_S, is_new=True))

    async def refresh(self, session_id: str) -> None:
        """As `Sessions.refresh`."""
        if await self._shelf.get(f"session {session_id}") is None:
            self._open.pop(session_key(session_id), None)

    def holds(self, session_id: str) -> bool:
        """As `Sessions.holds`; it was there when it was last fetched or refreshed: the shelf knows its time."""
        return session_key(session_id) in self._open

    def end(self, session_id: str) -> None:
        """As `Sessions.end`; the next `store` waits until it has ended everywhere."""
        super().end(session_id)
        self._copies.pop(session_key(session_id), None)
        ending = asyncio.ensure_future(self._shelf.take(f"session {session_id}"))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _fetch_drafts(self, session: Session) -> None:
        _, session.drafts = self._drafts.setdefault(session.who, (self._clock(), session.drafts))
        copy = self._draft_copy(session)
        found = await self._shelf.get(copy.name)
        if found is None or found.version == copy.version:
            return
        for one, value in read_of(found.value).items():
            if found.value[one] != copy.said.get(one):
                session.drafts[one] = value
        for one in copy.said.keys() - found.value.keys():
            session.drafts.pop(one, None)
        copy.version, copy.said = found.version, told_of(session.drafts)

    def _draft_copy(self, session: Session) -> Copy:
        name = f"drafts {self._shelf.secret.hex()} {session.who}"
        return self._draft_copies.setdefault(session.who, Copy(name))

    def _forget_copies(self) -> None:
        if len(self._copies) > 2 * len(self._open) + 1_000:
            self._copies = {key: copy for key, copy in self._copies.items() if key in self._open}
            people = {session.who for session in self._open.values()}
            self._draft_copies = {who: copy for who, copy in self._draft_copies.items() if who in people}
