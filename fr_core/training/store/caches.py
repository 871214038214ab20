"""What a process remembers of the store: sessions as they last were, and pictures; what is used least is forgotten."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from fr_core.training.trials import Session

MAX_TRIALS = 200_000
"""Of all sessions that are remembered; some 200 MB at most, by less than 1 kB a trial."""

MAX_PICTURE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Remembered:
    """A session as the transaction of a version has left it."""

    version: int
    session: Session


class Sessions:
    """Sessions by their numbers; for several threads."""

    def __init__(self, max_trials: int = MAX_TRIALS) -> None:
        self._max_trials = max_trials
        self._lock = threading.Lock()
        self._sessions: OrderedDict[int, Remembered] = OrderedDict()
        self._trials = 0

    def get(self, session_no: int) -> Remembered | None:
        """What is remembered of a session."""
        with self._lock:
            found = self._sessions.get(session_no)
            if found is not None:
                self._sessions.move_to_end(session_no)
            return found

    def put(self, session_no: int, remembered: Remembered) -> None:
        """Remember a session, unless a later version of it is."""
        with self._lock:
            before = self._sessions.get(session_no)
            if before is not None:
                if before.version > remembered.version:
                    return
                self._trials -= _size(before)
            self._sessions[session_no] = remembered
            self._sessions.move_to_end(session_no)
            self._trials += _size(remembered)
            while self._trials > self._max_trials and len(self._sessions) > 1:
                _, oldest = self._sessions.popitem(last=False)
                self._trials -= _size(oldest)

    def keep_only(self, session_nos: Iterable[int]) -> None:
        """Forget all others."""
        with self._lock:
            for session_no in self._sessions.keys() - set(session_nos):
                self._trials -= _size(self._sessions.pop(session_no))


class Pictures:
    """Pictures by the number of their course and their own; for several threads."""

    def __init__(self, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._pictures: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, course_no: int, number: int) -> bytes | None:
        """A picture that is remembered."""
        with self._lock:
            found = self._pictures.get((course_no, number))
            if found is not None:
                self._pictures.move_to_end((course_no, number))
            return found

    def put(self, course_no: int, number: int, data: bytes) -> None:
        """Remember a picture."""
        with self._lock:
            if (course_no, number) in self._pictures:
                return
            self._pictures[course_no, number] = data
            self._bytes += len(data)
            while self._bytes > self._max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self._bytes -= len(oldest)

    def forget(self, course_no: int) -> None:
        """Forget those of a course."""
        with self._lock:
            for key in [key for key in self._pictures if key[0] == course_no]:
                self._bytes -= len(self._pictures.pop(key))


def _size(remembered: Remembered) -> int:
    return 1 + len(remembered.session.trials)
