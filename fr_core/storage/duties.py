"""Assigns the jobs that one process does for all that share the stores, on one machine or on several."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from fr_core.storage.leases import LASTS_S, Hold, LeaseEvent, Leases, hold

T = TypeVar("T")


class Duties:
    """Keeps the lease of each job that this process has begun to do, until it ends; another process then takes over.

    `told` is called with the name of a job and what happened to its lease, as `Hold` says.
    """

    def __init__(
        self,
        leases: Leases,
        lasts_s: float = LASTS_S,
        told: Callable[[str, LeaseEvent], None] = lambda name, event: None,
    ) -> None:
        self._leases = leases
        self._told = told
        self._lasts_s = lasts_s
        self._lock = threading.Lock()
        self._closed = False
        self._holds: dict[str, Hold] = {}

    def alone(self, name: str, job: Callable[[], T]) -> Callable[[], T | None]:
        """Return a job that does nothing, and returns None, where another process has its lease.

        It raises as `Leases.take` and the job.
        """
        return lambda: job() if self._has(name) else None

    def close(self) -> None:
        """Release every lease; harmless when done twice."""
        with self._lock:
            self._closed = True
            holds, self._holds = self._holds, {}
        for one in holds.values():
            one.end()

    def _has(self, name: str) -> bool:
        with self._lock:
            if self._closed:
                return False
            held = self._holds.get(name)
            if held is not None and held.is_held:
                return True
            if held is not None:
                del self._holds[name]
                held.end()
            if (taken := hold(self._leases, name, self._lasts_s, told=partial(self._told, name))) is not None:
                self._holds[name] = taken
            return taken is not None
