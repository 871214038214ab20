"""Keeps the connections that read: as many as read at once, up to a limit, each used again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fr_core.errors import ShuttingDown, StoreFailed, message
from fr_core.storage.driver_errors import StatementFailed
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.link import Link

# A connection that was idle for so long is closed: PostgreSQL has few, and a process of its own for each.
_IDLE_S = 60.0


class Readers:
    """Connections that read a schema; for several threads."""

    def __init__(self, server: Postgres, schema: str, name: str) -> None:
        self._server = server
        self._schema = schema
        self._store = schema.removeprefix("fr_")
        self._name = name  # of the store, in sentences
        self._free = threading.BoundedSemaphore(server.connections)
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Link]] = []  # with the time since when, the last one at the end
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[Link]:
        """Yield a connection in a transaction of its own.

        Raises `StatementFailed`, `StoreFailed` if all are in use for too long, and `ShuttingDown`.
        """
        self._acquire()
        try:
            link = self._taken() or self._new()
            try:
                link.begin_reading()
                yield link
            finally:
                self._give_back(link)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the idle connections now, and the others as they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, link in idle:
            self._end(link)

    def _acquire(self) -> None:
        if self._free.acquire(blocking=False):
            return
        pool = self._server.pool
        pool.waiting(self._store, 1)
        try:
            if self._free.acquire(timeout=self._server.connect_timeout_s):
                return
        finally:
            pool.waiting(self._store, -1)
        pool.timed_out(self._store)
        raise StoreFailed(message("error.storage.postgres_connections_busy", limit=self._server.connections))

    def _new(self) -> Link:
        link = Link(self._server, self._schema, reads=True)
        self._server.pool.connections(self._store, 1)
        return link

    def _end(self, link: Link) -> None:
        link.close()
        self._server.pool.connections(self._store, -1)

    def _taken(self) -> Link | None:
        with self._lock:
            if self._closed:
                raise ShuttingDown(message("error.storage.closed", schema=self._name))
            return self._idle.pop()[1] if self._idle else None

    def _give_back(self, link: Link) -> None:
        leaves: Link | None = link
        try:
            link.end_reading()
        except StatementFailed:  # all was read before
            link.close()
        now = time.monotonic()
        with self._lock:
            if not (self._closed or link.is_broken):
                self._idle.append((now, link))
                leaves = self._idle.pop(0)[1] if now - self._idle[0][0] > _IDLE_S else None
        if leaves is not None:
            self._end(leaves)
