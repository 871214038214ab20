"""Keeps who is signed in: in memory, for a limited time, and never in a page."""

import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias

from fr_api.v1 import access_pb2, common_pb2
from fr_locales.messages import Message
from fr_web.lti.launches import Launch
from fr_web.lti.tool import Score
from fr_web.packing import shared

Role: TypeAlias = access_pb2.Role.ValueType
Purpose: TypeAlias = common_pb2.Purpose.ValueType

IDLE_S, LONGEST_S = 30 * 60.0, 12 * 3600.0
_ID_BYTES = 32
# Of one network: a class of 60 may share an address, and each of them may mistype once.
_WRONG_AT_ONCE, _WRONG_EVERY_S, _MOST_NETWORKS = 60, 2.0, 10_000
_TABS = 3  # trials of which a session keeps the photos


@shared
@dataclass(frozen=True, slots=True)
class Inquiry:
    """The purpose of reading and searching an operational gallery, and the reference of its case."""

    purpose: Purpose
    case_reference: str


@dataclass(slots=True)
class Session:
    """Somebody who is signed in, with a key ("" where the server asks for none), and a trainee's code or "".

    `who` is the principal of the key, behind the pseudonym of a trainee. `sittings` has the server's id of each sitting
    that the trainee began, by its name. `shown` has the photos and the probes of the trials that pages show, by their
    ids: the right answer stands beside them, when the server no longer sends them. `drafts` has what a view keeps of
    unfinished work, by a name; the same person finds it again after signing in again. `told` is what the next page says
    of what was just done. `launch` is the launch from a learning platform, and `score_sent` the score that went to it.
    """

    key: str = field(repr=False)
    code: str = field(repr=False)
    who: str
    roles: frozenset[Role]
    begun_s: float = 0.0
    used_s: float = 0.0
    inquiry: Inquiry | None = None
    told: Message | None = None
    launch: Launch | None = field(default=None, repr=False)
    score_sent: Score | None = None
    sittings: dict[str, str] = field(default_factory=dict, repr=False)
    shown: dict[str, tuple[Sequence[Any], str]] = field(default_factory=dict, repr=False)
    drafts: dict[str, Any] = field(default_factory=dict, repr=False)

    def take_told(self) -> Message | None:
        """Return what a page says of what was just done, for one page."""
        told, self.told = self.told, None
        return told

    def keep_shown(self, trial_id: str, looks: Sequence[Any], probe: str) -> None:
        """Keep the photos and the probe of a trial, and those of the last trials of other tabs."""
        self.shown.pop(trial_id, None)
        self.shown[trial_id] = looks, probe
        for one in [*self.shown][:-_TABS]:
            del self.shown[one]


class Sessions:
    """The sessions of a process, each under the hash of a random id that only its browser has.

    Beyond `most` in all, and `most_of_one` of one person, the one that was not used for the longest time ends.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        most: int = 5_000,
        most_of_one: int = 50,
        secret: bytes = b"",
    ) -> None:
        self._clock = clock
        self._most, self._most_of_one = most, most_of_one
        self._secret = secret or secrets.token_bytes(32)
        self._open: dict[bytes, Session] = {}  # the one that was used last is the last
        self._drafts: dict[str, tuple[float, dict[str, Any]]] = {}  # of each person, and when they last signed in

    async def fetch(self, session_id: str) -> None:
        """Fetch the session of an id as the last request left it; here there is nothing to do."""

    async def store(self, session_id: str) -> None:
        """Store the session of an id for the next request; here there is nothing to do."""

    async def refresh(self, session_id: str) -> None:
        """Update whether the session of an id has ended, without using it; here `holds` knows."""

    def begin(self, session: Session) -> str:
        """Keep a session, and return its new id."""
        now_s = self._clock()
        session.begun_s = session.used_s = now_s
        for key in [key for key, one in self._open.items() if _is_over(one, now_s)]:
            del self._open[key]
        own = [key for key, one in self._open.items() if one.who == session.who]
        for key in own[: max(len(own) + 1 - self._most_of_one, 0)]:
            del self._open[key]
        if len(self._open) >= self._most:
            del self._open[next(iter(self._open))]
        self._drafts = {who: one for who, one in self._drafts.items() if now_s - one[0] <= LONGEST_S}
        _, session.drafts = self._drafts.get(session.who, (now_s, {}))
        self._drafts[session.who] = now_s, session.drafts
        session_id = self.new_id()
        self._open[session_key(session_id)] = session
        return session_id

    def find(self, session_id: str) -> Session | None:
        """Return the session of an id, and note that it is used; None if it has ended, or there never was one."""
        key, now_s = session_key(session_id), self._clock()
        found = self._open.pop(key, None)
        if found is None or _is_over(found, now_s):
            return None
        found.used_s = now_s
        self._open[key] = found
        return found

    def holds(self, session_id: str) -> bool:
        """Return whether the session of an id still is, without using it: a page that only waits keeps none alive."""
        found = self._open.get(session_key(session_id))
        return found is not None and not _is_over(found, self._clock())

    def end(self, session_id: str) -> None:
        """End a session, if there is one."""
        self._open.pop(session_key(session_id), None)

    def new_id(self) -> str:
        """Return an id that is none of a session yet."""
        return secrets.token_urlsafe(_ID_BYTES)

    def token(self, session_id: str) -> str:
        """Return what each form of a browser with this id carries, so that no other site can make one."""
        return hmac.new(self._secret, session_id.encode(), sha256).hexdigest()


class Attempts:
    """The attempts to sign in that each network has left: so many wrong ones at once, then one every two seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_s: dict[str, float] = {}  # when a network will have all of its attempts again

    def take(self, network: str) -> float:
        """Count an attempt, and return 0.0; where none is left, return how many seconds it will take, above 0."""
        now_s = self._clock()
        free_s = max(self._free_s.pop(network, now_s), now_s)
        wait_s = free_s - now_s - (_WRONG_AT_ONCE - 1) * _WRONG_EVERY_S
        self._free_s[network] = free_s if wait_s > 0 else free_s + _WRONG_EVERY_S
        if len(self._free_s) > _MOST_NETWORKS:
            del self._free_s[next(iter(self._free_s))]
        return max(wait_s, 0.0)

    def give_back(self, network: str) -> None:
        """Count one attempt less: it was not wrong."""
        if network in self._free_s:
            self._free_s[network] -= _WRONG_EVERY_S


def _is_over(session: Session, now_s: float) -> bool:
    return now_s - session.used_s > IDLE_S or now_s - session.begun_s > LONGEST_S


def session_key(session_id: str) -> bytes:
    """Return the key of a session in memory, which does not reveal its id."""
    return sha256(session_id.encode("utf-8", "surrogateescape")).digest()
