"""Registers the servers that are alive, and notes which changes of others each has applied.

A server answers only within a *term*: from its registration until its own clock says that the others may take it for
dead. No clock of another machine can lengthen a term.

An erasure is safe to acknowledge once `behind` returns no server: each that may still answer has applied it. So a
server that applies changes for its answers keeps to three rules:

1. a new term: read the truth after the term began, apply all of it, and `note` it; only then answer;
2. ask for `term` before an answer is made, and again before it is sent: refuse unless both are that term;
3. `note` what it has applied, and `flush` where others wait for that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fr_core.errors import FrError
from fr_core.storage.leases import Leases

LASTS_S = 15.0
"""The seconds for which a dead server holds up an erasure, and one without PostgreSQL goes on to answer."""

_BEATS = 5  # in the time that a term lasts without one, so that several may fail

log = logging.getLogger("fr_core.storage.members")


@dataclass(frozen=True, slots=True)
class Itself:
    """The description of a server, for people."""

    name: str
    address: str  # that clients reach it at, "HOST:PORT"; "" if it does not know
    version: str  # of FR Core
    processes: int = 1  # that answer calls


@dataclass(frozen=True, slots=True)
class Member:
    """A server that is registered. Times are by the clock of the database."""

    server_id: str  # of one term
    itself: Itself
    since_ms: int  # when its term began, milliseconds since 1970, UTC
    heard_s: float  # seconds since its last heartbeat
    applied: Mapping[str, int] = field(default_factory=dict)  # the last number of each scope that it has noted


class Members(Protocol):
    """The registered servers, as one of them sees them; for several threads.

    Every method but `term` and `note` raises `StoreFailed` where the database fails.
    """

    @property
    def itself(self) -> Itself:
        """Return the words in which this server tells of itself."""

    @property
    def leases(self) -> Leases:
        """Return the leases of this server, which need no connection of their own."""

    @property
    def server_id(self) -> str:
        """Return the id of this server in its present term, or its last one."""

    @property
    def term(self) -> int | None:
        """Return the number of this server's term, or None outside of one: then it must not answer."""

    def beat(self) -> None:
        """Continue the term; if it is over, begin a new one, with another id and number."""

    def note(self, scope: str, number: int) -> None:
        """Note that everything of a scope up to a number is applied; others see it with the next beat or `flush`."""

    def forget(self, scope: str) -> None:
        """Remove the note of a scope that no longer exists."""

    def flush(self) -> None:
        """Show the notes to others now."""

    def behind(self, scope: str, number: int) -> tuple[Member, ...]:
        """Return the servers that may answer and have not noted that number of a scope, or a greater one."""

    def members(self) -> tuple[Member, ...]:
        """Return all servers that may answer, the oldest first."""

    def leave(self) -> None:
        """End the term, so that no server waits for this one, which must not answer any more."""

    def close(self) -> None:
        """Release connections; harmless when done twice."""


class SoleMember:
    """The only server of a store."""

    server_id = ""

    def __init__(self, itself: Itself, leases: Leases) -> None:
        self.itself = itself
        self.leases = leases
        self._applied: dict[str, int] = {}
        self.term: int | None = 1

    def beat(self) -> None:
        """Do nothing: its term lasts until it leaves."""

    def note(self, scope: str, number: int) -> None:
        """As `Members.note`."""
        self._applied[scope] = number

    def forget(self, scope: str) -> None:
        """As `Members.forget`."""
        self._applied.pop(scope, None)

    def flush(self) -> None:
        """Do nothing: there are no others."""

    def behind(self, scope: str, number: int) -> tuple[Member, ...]:
        """As `Members.behind`."""
        return tuple(one for one in self.members() if one.applied.get(scope, -1) < number)

    def members(self) -> tuple[Member, ...]:
        """As `Members.members`."""
        return () if self.term is None else (Member("", self.itself, 0, 0.0, dict(self._applied)),)

    def leave(self) -> None:
        """As `Members.leave`."""
        self.term = None

    def close(self) -> None:
        """As `Members.close`."""
        self.leases.close()


_IMPLEMENTS: type[Members] = SoleMember


class Heartbeat:
    """Sends the heartbeats of a server from a thread, from now until `close`, which also leaves.

    `failed` is called in that thread with the error of each beat that fails.
    """

    def __init__(
        self, members: Members, lasts_s: float = LASTS_S, failed: Callable[[FrError], None] = lambda error: None
    ) -> None:
        self._members = members
        self._failed = failed
        self._every_s = lasts_s / _BEATS
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="members", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and leave; where the database fails, the others see the end of the term by themselves."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        try:
            self._members.leave()
        except FrError as error:
            log.warning("The other servers will learn later that this one has ended: %s", error.what)

    def _run(self) -> None:
        failed = False
        while not self._ended.wait(self._every_s):
            try:
                self._members.beat()
            except FrError as error:
                if not failed:
                    log.warning("The other servers are not told that this one lives, until that works: %s", error.what)
                failed = True
                self._failed(error)
            else:
                if failed:
                    log.info("The other servers are told again that this one lives")
                failed = False
