"""What a process remembers of the store: courses, keys, sessions, pictures; what is used least is forgotten."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fr_training.trials import Session

V = TypeVar("V")

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


class Recent(Generic[V]):
    """What belongs to courses or cohorts, by their numbers; for several threads.

    Args:
        most: remembered at once, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[int, V] = OrderedDict()
        self._deleted: set[int] = set()  # some bytes for each that this process deletes: numbers never come again

    def get(self, number: int) -> V | None:
        """What is remembered of a number."""
        with self._lock:
            found = self._values.get(number)
            if found is not None:
                self._values.move_to_end(number)
            return found

    def put(self, number: int, value: V) -> None:
        """Remember what was read, unless its row was deleted meanwhile."""
        with self._lock:
            if number in self._deleted:
                return
            self._values[number] = value
            self._values.move_to_end(number)
            if len(self._values) > self._most:
                self._values.popitem(last=False)

    def delete(self, number: int) -> None:
        """Forget what was deleted, for good: somebody may still read what was there before."""
        with self._lock:
            self._deleted.add(number)
            self._values.pop(number, None)

    def is_deleted(self, number: int) -> bool:
        """Whether `delete` was called for it."""
        with self._lock:
            return number in self._deleted

    def keep_only(self, numbers: Iterable[int]) -> None:
        """Forget all others."""
        there = set(numbers)
        with self._lock:
            for number in self._values.keys() - there:
                del self._values[number]


class Pictures:
    """Pictures by the id of their course and their own number; for several threads."""

    def __init__(self, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._pictures: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, course_id: str, number: int) -> bytes | None:
        """A picture that is remembered."""
        with self._lock:
            found = self._pictures.get((course_id, number))
            if found is not None:
                self._pictures.move_to_end((course_id, number))
            return found

    def put(self, course_id: str, number: int, data: bytes) -> None:
        """Remember a picture."""
        with self._lock:
            if (course_id, number) in self._pictures:
                return
            self._pictures[course_id, number] = data
            self._bytes += len(data)
            while self._bytes > self._max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self._bytes -= len(oldest)

    def forget(self, course_id: str) -> None:
        """Forget those of a course."""
        self._drop(lambda held: held == course_id)

    def keep_only(self, course_ids: Iterable[str]) -> None:
        """Forget those of all other courses."""
        there = set(course_ids)
        self._drop(lambda held: held not in there)

    def _drop(self, gone: Callable[[str], bool]) -> None:
        with self._lock:
            for key in [key for key in self._pictures if gone(key[0])]:
                self._bytes -= len(self._pictures.pop(key))


def _size(remembered: Remembered) -> int:
    return 1 + len(remembered.session.trials)
