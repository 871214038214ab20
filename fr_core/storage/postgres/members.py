"""Registers servers in PostgreSQL.

Only each server's own clock decides. A term ends at its server's clock some time after the last beat began.
Another server takes it for dead when it has seen the same beat for longer than that by its own clock, and then deletes
the row, so that no later beat can go on with the term.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from fr_core.storage import members
from fr_core.storage.leases import own_clock_s
from fr_core.storage.members import LASTS_S, Itself, Member
from fr_core.storage.postgres.leases import PostgresLeases
from fr_core.storage.postgres.registry import Registry
from fr_core.storage.protocol import Row

# Clocks of machines may run at different speeds: those of good ones by 0.05 %, NTP's largest correction of a drift
# (RFC 5905); this is far more.
_SLOWER_CLOCK = 1.1

_JOIN = """
INSERT INTO servers (server_id, name, address, version, processes, since, beat, heard)
VALUES (?, ?, ?, ?, ?, clock_timestamp(), 1, clock_timestamp()) ON CONFLICT (server_id) DO NOTHING
"""
_BEAT = "UPDATE servers SET beat = beat + 1, heard = clock_timestamp() WHERE server_id = ? RETURNING 1"
_NOTE = """
INSERT INTO applied (server_id, scope, number)
SELECT s.server_id, n.key, n.value::bigint FROM servers s, json_each_text(?) n WHERE s.server_id = ?
ON CONFLICT (server_id, scope) DO UPDATE SET number = excluded.number
"""
_FORGET = "DELETE FROM applied WHERE server_id = ? AND scope = ?"
_LEAVE = "DELETE FROM servers WHERE server_id = ?"
_GONE = "DELETE FROM servers WHERE server_id = ? AND beat = ?"
_LOOK = """
SELECT server_id, beat, name, address, version, processes, (extract(epoch FROM since) * 1000)::bigint,
       greatest(extract(epoch FROM clock_timestamp() - heard), 0)::float8,
       (SELECT coalesce(json_object_agg(scope, number), '{}')::text FROM applied a WHERE a.server_id = s.server_id)
FROM servers s ORDER BY since, server_id
"""


class PostgresMembers:
    """The servers of a database, as one of them sees them; see `Members`. It registers at once.

    Args:
        lasts_s: seconds that a term lasts beyond its last beat; the same for all servers of a database.
        clock_s: as `own_clock_s`.
        folder: as for `PostgresLeases`.

    Raises as `Registry.run`.
    """

    def __init__(
        self,
        registry: Registry,
        itself: Itself,
        lasts_s: float = LASTS_S,
        clock_s: Callable[[], float] = own_clock_s,
        folder: Path | None = None,
    ) -> None:
        self._registry = registry
        self.itself = itself
        self.leases = PostgresLeases(registry, itself.name, clock_s, folder)
        self._lasts_s = lasts_s
        self._clock_s = clock_s
        self._lock = threading.Lock()  # of all that follows
        self._beating = threading.Lock()
        self._left = False
        self._term = 0
        self._server_id = ""
        self._until_s = float("-inf")
        self._unseen: dict[str, int] = {}  # what was noted, and others do not see yet
        self._seen: dict[str, tuple[int, float]] = {}  # of each server the last beat, and when it was first seen
        self.beat()

    @property
    def server_id(self) -> str:
        """As `Members.server_id`."""
        return self._server_id

    @property
    def term(self) -> int | None:
        """As `Members.term`."""
        with self._lock:
            return self._term if self._clock_s() < self._until_s else None

    @property
    def ends_s(self) -> float:
        """As `Members.ends_s`."""
        return self._until_s

    def beat(self) -> None:
        """As `Members.beat`."""
        with self._beating:
            if self._left:
                return
            if not self._goes_on():
                self._join()
        self.flush()
        self.members()

    def _goes_on(self) -> bool:
        """Lengthen the term; returns whether it goes on. One that is over by the own clock stays so."""
        before_s = self._clock_s()
        if self.term is None or not self._registry.run(_BEAT, (self._server_id,)):
            return False
        with self._lock:
            # The others may have taken this server for gone, if the statement took so long.
            goes_on = self._clock_s() < self._until_s
            if goes_on:
                self._until_s = before_s + self._lasts_s
        return goes_on

    def _join(self) -> None:
        before = self._server_id
        with self._lock:
            self._until_s = float("-inf")
        if before:
            self._registry.run(_LEAVE, (before,))  # it may still be there, and hold others up
        server_id, before_s = secrets.token_hex(8), self._clock_s()
        itself = self.itself
        self._registry.run(_JOIN, (server_id, itself.name, itself.address, itself.version, itself.processes))
        with self._lock:
            self._server_id = server_id
            self._term += 1
            self._until_s = before_s + self._lasts_s
            self._unseen = {}  # what was applied in another term may be out of date

    def note(self, scope: str, number: int) -> None:
        """As `Members.note`."""
        with self._lock:
            self._unseen[scope] = number

    def forget(self, scope: str) -> None:
        """As `Members.forget`."""
        with self._lock:
            self._unseen.pop(scope, None)
            server_id = self._server_id
        self._registry.run(_FORGET, (server_id, scope))

    def flush(self) -> None:
        """As `Members.flush`."""
        with self._lock:
            unseen, self._unseen = self._unseen, {}
            server_id = self._server_id
        if not unseen:
            return
        try:
            self._registry.run(_NOTE, (json.dumps(unseen), server_id))
        except BaseException:
            with self._lock:
                if server_id == self._server_id:
                    self._unseen = unseen | self._unseen
            raise

    def behind(self, scope: str, number: int) -> tuple[Member, ...]:
        """As `Members.behind`."""
        self.flush()
        return tuple(one for one in self.members() if one.applied.get(scope, -1) < number)

    def members(self) -> tuple[Member, ...]:
        """As `Members.members`; deletes those that are surely gone."""
        rows = self._registry.run(_LOOK)
        gone = self._surely_gone((row[0], row[1]) for row in rows)
        for server_id, beat in gone:
            self._registry.run(_GONE, (server_id, beat))
        ids = {server_id for server_id, _ in gone}
        return tuple(_member(row) for row in rows if row[0] not in ids)

    def leave(self) -> None:
        """As `Members.leave`."""
        with self._beating:
            self._left = True
            with self._lock:
                self._until_s = float("-inf")
            self._registry.run(_LEAVE, (self._server_id,))

    def close(self) -> None:
        """Close the connection to the database; it does not leave."""
        self.leases.close()

    def _surely_gone(self, found: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        now_s = self._clock_s()
        with self._lock:
            seen, self._seen = self._seen, {}
            for server_id, beat in found:
                before = seen.get(server_id)
                self._seen[server_id] = before if before is not None and before[0] == beat else (beat, now_s)
            least_s = self._lasts_s * _SLOWER_CLOCK
            return [
                (server_id, beat)
                for server_id, (beat, since_s) in self._seen.items()
                if server_id != self._server_id and now_s - since_s > least_s
            ]


def _member(row: Row) -> Member:
    server_id, _, name, address, version, processes, since_ms, heard_s, applied = row
    return Member(server_id, Itself(name, address, version, processes), since_ms, heard_s, json.loads(applied))


_IMPLEMENTS: type[members.Members] = PostgresMembers


def registered(registry: Registry) -> tuple[Member, ...]:
    """Return the servers that are registered, the oldest first; those that died lately may be among them."""
    return tuple(map(_member, registry.run(_LOOK)))
