"""Keeps answers within the term in which they were made: the term rides beside a call, in a context variable."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from fr_core.errors import ReplicaBehind, message
from fr_core.storage.leases import own_clock_s


class Term(NamedTuple):
    """A time in which a server may answer, as one of its processes knows it."""

    number: int  # greater than those of all earlier terms of the server
    ends_s: float  # of `own_clock_s`, which the processes of a machine share; a heartbeat moves it on


class Answering:
    """An answer in the making, or those of a stream, and the term in which it was made; for several threads.

    `clock_s`: as `own_clock_s`.
    """

    def __init__(self, clock_s: Callable[[], float] = own_clock_s) -> None:
        self.term: Term | None = None  # None: it rests on no memory that others must be able to rely on
        self._clock_s = clock_s
        self._lock = threading.Lock()

    def made_in(self, term: Term) -> None:
        """Note that a part was made in a term; parts of different terms make no answer."""
        with self._lock:
            known = self.term
            mixed = known is not None and known.number != term.number
            ends_s = -math.inf if mixed else max(term.ends_s, known.ends_s if known else term.ends_s)
            self.term = Term(known.number if known else term.number, ends_s)

    @property
    def is_over(self) -> bool:
        """Return whether the term has passed, as far as it was known when the answer was made; reads only a clock."""
        return self.term is not None and self._clock_s() >= self.term.ends_s

    def require(self) -> None:
        """Raise `ReplicaBehind` if the term has passed: another server may have deleted what the answer shows."""
        if self.is_over:
            raise ReplicaBehind(message("error.gallery.replica_cut_off"))


_answering: ContextVar[Answering | None] = ContextVar("answering", default=None)


@contextmanager
def answering(answer: Answering) -> Iterator[None]:
    """Let what is searched within the block, also in threads that have its context, be for an answer."""
    token = _answering.set(answer)
    try:
        yield
    finally:
        _answering.reset(token)


def made_in(term: Term | None) -> None:
    """Note for the answer of the context, if there is one, that a part was made in a term; None = in none."""
    answer = _answering.get()
    if answer is not None and term is not None:
        answer.made_in(term)
