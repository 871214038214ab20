"""Assigns the jobs that one process does for all that share the stores, on one machine or on several."""

import threading
from collections.abc import Callable

from fr_core.storage.leases import LASTS_S, Hold, Leases, hold
from fr_server.telemetry.shared import Shared


class Duties:
    """Keeps the lease of each job that this process has begun to do, until it ends; another process then takes over."""

    def __init__(self, leases: Leases, lasts_s: float = LASTS_S, shared: Shared | None = None) -> None:
        self._leases = leases
        self._shared = shared or Shared()
        self._lasts_s = lasts_s
        self._lock = threading.Lock()
        self._closed = False
        self._holds: dict[str, Hold] = {}

    def alone(self, name: str, job: Callable[[], None]) -> Callable[[], None]:
        """Return a job that does nothing where another process has its lease; raises as `Leases.take` and the job."""

        def run() -> None:
            if self._has(name):
                job()

        return run

    def close(self) -> None:
        """Release every lease; harmless when done twice."""
        with self._lock:
            self._closed = True
            holds, self._holds = self._holds, {}
        for name, one in holds.items():
            one.end()
            self._shared.lease(name, "released")

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
                self._shared.lease(name, "lost")
            if (taken := hold(self._leases, name, self._lasts_s)) is not None:
                self._holds[name] = taken
                self._shared.lease(name, "taken")
            return taken is not None
