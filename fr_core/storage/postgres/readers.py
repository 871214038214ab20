"""Keeps the connections that read: as many as read at once, up to a limit, each used again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fr_core.errors import ShuttingDown, StoreFailed, message
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.link import Link


class Readers:
    """Connections that read a schema; for several threads."""

    def __init__(self, server: Postgres, schema: str, name: str) -> None:
        self._server = server
        self._schema = schema
        self._name = name  # of the store, in sentences
        self._free = threading.BoundedSemaphore(server.connections)
        self._lock = threading.Lock()
        self._idle: list[Link] = []
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[Link]:
        """Yield a connection in a transaction of its own.

        Raises `StatementFailed`, `StoreFailed` if all are in use for too long, and `ShuttingDown`.
        """
        if not self._free.acquire(timeout=self._server.connect_timeout_s):
            raise StoreFailed(message("error.storage.postgres_connections_busy", limit=self._server.connections))
        try:
            link = self._taken() or Link(self._server, self._schema, reads=True)
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
        for link in idle:
            link.close()

    def _taken(self) -> Link | None:
        with self._lock:
            if self._closed:
                raise ShuttingDown(message("error.storage.closed", schema=self._name))
            return self._idle.pop() if self._idle else None

    def _give_back(self, link: Link) -> None:
        try:
            link.end_reading()
        finally:
            with self._lock:
                keep = not (self._closed or link.is_broken)
                if keep:
                    self._idle.append(link)
            if not keep:
                link.close()
